"""All scenes of a mixture as one array of each kind, to be put on the device."""

from typing import Any

import numpy as np
from jaxtyping import Num

from data_pipelines.cropping import IMAGE_KEYS, extend
from data_pipelines.mixtures import Mixture


def resident_bytes(mixture: Mixture, *, crop: int) -> int:
    """Return how much memory `stack_scenes` takes."""
    count, height, width = _shape(mixture, crop)
    first = mixture.components[0]
    return count * height * width * (4 + 3 * first.has_haze + 4 * first.has_depth)


def stack_scenes(mixture: Mixture, *, crop: int) -> dict[str, Num[np.ndarray, "n h w c"]]:
    """Decode every scene and return "visible_clear", "infrared" and, as far as they are read, "visible_hazy"
    (uint8) and "depth" (float32).

    All arrays have the largest height and width; smaller scenes lie in their top left corner, extended by
    reflection to hold a crop, and what lies beyond is never shown.

    Args:
      mixture: the scenes, in the order of `Mixture.names`.
      crop: side of the crops that will be cut.

    Raises:
      ImageError: an image cannot be read.
    """
    count, height, width = _shape(mixture, crop)
    arrays: dict[str, Any] = {}
    examples = (part[index] for part in mixture.components for index in range(len(part)))
    for number, example in enumerate(examples):
        for key, image in extend(example, crop).items():
            if key not in IMAGE_KEYS:
                continue
            if key not in arrays:
                arrays[key] = np.zeros((count, height, width, image.shape[2]), image.dtype)
            arrays[key][number, : image.shape[0], : image.shape[1]] = image
    return arrays


def _shape(mixture: Mixture, crop: int) -> tuple[int, int, int]:
    sizes = [part.size(index) for part in mixture.components for index in range(len(part))]
    return len(sizes), max(crop, *(size[0] for size in sizes)), max(crop, *(size[1] for size in sizes))
