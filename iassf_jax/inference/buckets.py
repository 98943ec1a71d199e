"""Which padded shapes a folder of images of mixed sizes is computed in.

Every shape costs a compilation (tens of seconds), every padded pixel costs time on each image, and padding
shifts the statistics that the networks take over the whole image. So sizes are kept exactly when there are
few of them, and merged two by two, cheapest first, when there are many.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

Size = tuple[int, int]  # (height, width) in pixels

MAX_SHAPES = 4
MULTIPLE = 32  # merged shapes are rounded up to this


@dataclass(frozen=True)
class _Group:
    """Sizes computed in one shape, with the number of images and their pixels without padding."""

    shape: Size
    sizes: frozenset[Size]
    images: int


def plan_buckets(
    sizes: Iterable[Size],
    *,
    max_shapes: int = MAX_SHAPES,
    multiple: int = MULTIPLE,
    max_area: int | None = None,
) -> dict[Size, Size]:
    """Map every distinct size to the padded shape it is computed in.

    Up to `max_shapes` distinct sizes are all kept as they are, so that results equal those of single images.
    More are rounded up to `multiple` and merged into at most `max_shapes` shapes, at each step the two whose
    merger adds the fewest padded pixels over the images given (a size counts as often as it occurs).

    Args:
        sizes: one (height, width) for each image.
        max_shapes: number of shapes, at least 1.
        multiple: what the sides of merged shapes are a multiple of.
        max_area: pixels that no merger may exceed; where it forbids mergers, more shapes remain.
    """
    counts: dict[Size, int] = {}
    for size in sizes:
        counts[size] = counts.get(size, 0) + 1
    if len(counts) <= max_shapes:
        return {size: size for size in counts}
    groups = _round_up(counts, multiple)
    while len(groups) > max_shapes:
        pair = _cheapest_merger(groups, max_area)
        if pair is None:
            break
        merged = _merge(groups[pair[0]], groups[pair[1]])
        groups = [group for index, group in enumerate(groups) if index not in pair] + [merged]
    return {size: group.shape for group in groups for size in group.sizes}


def pad_image(image: Shaped[np.ndarray, "h w *c"], shape: Size) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """Pad at the bottom and right by reflection without repeating the edge; `[:h, :w]` is the inverse."""
    (height, width), (target_height, target_width) = image.shape[:2], shape
    pads = [(0, target_height - height), (0, target_width - width)] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, pads, mode="reflect")


def _round_up(counts: dict[Size, int], multiple: int) -> list[_Group]:
    groups: dict[Size, _Group] = {}
    for (height, width), images in sorted(counts.items()):
        shape = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        group = _Group(shape, frozenset({(height, width)}), images)
        groups[shape] = _merge(groups[shape], group) if shape in groups else group
    return list(groups.values())


def _merge(a: _Group, b: _Group) -> _Group:
    shape = (max(a.shape[0], b.shape[0]), max(a.shape[1], b.shape[1]))
    return _Group(shape, a.sizes | b.sizes, a.images + b.images)


def _cheapest_merger(groups: list[_Group], max_area: int | None) -> tuple[int, int] | None:
    """Indices of the two groups whose merger adds the fewest pixels; None when `max_area` forbids all."""
    shapes = np.array([group.shape for group in groups], np.int64)
    images = np.array([group.images for group in groups], np.int64)
    areas = shapes[:, 0] * shapes[:, 1]
    joint = np.maximum(shapes[:, None, 0], shapes[None, :, 0]) * np.maximum(
        shapes[:, None, 1], shapes[None, :, 1]
    )
    added = (joint - areas[:, None]) * images[:, None] + (joint - areas[None, :]) * images[None, :]
    forbidden = np.tri(len(groups), dtype=bool)
    if max_area is not None:
        forbidden |= joint > max_area
    if forbidden.all():
        return None
    first, second = np.unravel_index(
        np.argmin(np.where(forbidden, np.iinfo(np.int64).max, added)), added.shape
    )
    return int(first), int(second)
