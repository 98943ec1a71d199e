"""A trained network as a function from a pair of images to the fused image."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Float32, UInt8

from iassf_jax import models
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import InfraredRange, to_uint8
from iassf_jax.inference.buckets import Size, pad_image
from iassf_jax.inference.inputs import SMALLEST_SIDE, PreparedPair, format_size, prepare_pair
from iassf_jax.inference.programs import check_finite, estimate_density, finish_whole, fuse_tile, fuse_whole
from iassf_jax.inference.tiling import OVERLAP_SHARE, choose_tile, count_tiles, map_tiles


@dataclass(frozen=True)
class FusionResult:
    """What a pair of images becomes, at the size of the pair."""

    fused: UInt8[np.ndarray, "h w 3"]
    restored: UInt8[np.ndarray, "h w 3"]  # the visible image without haze
    haze_density: Float32[np.ndarray, "h w"]  # in [0,1], 1 where the haze is densest
    tiles: int = 1  # in how many tiles the pair was computed


class Fuser:
    """A network ready to fuse images of any size from 16x16 up.

        fuser = Fuser.from_pretrained("runs/first")
        result = fuser(visible, infrared)
        result.fused, result.restored, result.haze_density

    Each new image size compiles the network once (tens of seconds on a CPU); `fuse_prepared` pads several
    sizes to one shape. Images of more than `tile` x `tile` pixels are computed in overlapping tiles that
    share one haze density, taken from a smaller copy of the whole image; the networks' other statistics of
    the whole image (norms, prompt weights) are then those of each tile, and the overlaps blend what differs.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        *,
        ir_range: InfraredRange = "auto",
        tile: int | None = None,
        batch: int = 1,
        devices: Sequence[jax.Device] = (),
    ):
        """Take a network and its variables.

        Args:
            model: network with the call of `iassf_jax.models`.
            variables: its parameters; moved to the default device, or copied to all `devices`.
            ir_range: how infrared becomes [0,1], see `core.images.infrared_to_unit`.
            tile: side of the largest square computed in one piece; chosen by memory when None.
            batch: tiles computed at a time.
            devices: split batches over these, where their number divides the batch.

        Raises:
            InputError: a tile or batch that is too small.
        """
        if batch < 1:
            raise InputError(f"batch {batch}: expected at least 1")
        if len(devices) > 1 and getattr(model, "pallas", False):
            model = model.clone(pallas=False)  # XLA does not split kernels over devices
        self.ir_range = ir_range
        self.tile = choose_tile(tile, model)
        self._model, self._batch = model, batch
        self._conditions: dict[str, Any] = {}
        self._rows: jax.sharding.NamedSharding | None = None
        if len(devices) > 1:
            mesh = jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)
            self._rows = NamedSharding(mesh, PartitionSpec("data"))
            self._place: Any = NamedSharding(mesh, PartitionSpec())
        else:
            self._place = devices[0] if devices else None
        self._variables = jax.device_put(variables, self._place)
        # Ablations without a haze density refuse one; then every tile computes on its own.
        self._shares_density = getattr(model, "uses_haze_density", True)
        self._fuse_whole, self._fuse_tile, self._estimate_density = (
            jax.jit(partial(program, model)) for program in (fuse_whole, fuse_tile, estimate_density)
        )
        self._finish_whole = jax.jit(finish_whole)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike, **options: Any) -> "Fuser":
        """Load a packaged name, a run's folder, a weights file or a released checkpoint; options as `Fuser`.

        Raises:
            CheckpointError: the source is missing, damaged or made for another network.
        """
        description, variables = load_pretrained(source if isinstance(source, str) else Path(source))
        return cls(models.create(description), variables, **options)

    def describe(
        self,
        *,
        text: str | None = None,
        task_visible: str | None = None,
        task_infrared: str | None = None,
    ) -> None:
        """Say what is wrong with the images from now on, to a network that takes such descriptions.

            fuser.describe(text="the visible image is hazy, the thermal one has low contrast")

        Args:
            text: in words; of an image of which they say nothing, nothing is wrong.
            task_visible, task_infrared: a degradation by its name, such as "HZ" and "LC", in place of what
                the words say of that image.

        Raises:
            InputError: the network takes no descriptions, or there is no such degradation of that image.
        """
        conditions = getattr(self._model, "conditions", None)
        if conditions is None:
            raise InputError(f"the network {type(self._model).__name__} takes no description of the images")
        made = conditions(text=text, task_visible=task_visible, task_infrared=task_infrared)
        self._conditions = jax.device_put(made, self._place)

    def __call__(self, visible: np.ndarray | Array, infrared: np.ndarray | Array) -> FusionResult:
        """Fuse one pair.

        Args:
            visible: uint8 [H,W,3] RGB or [H,W] grey.
            infrared: uint8, uint16 or float [H,W] or [H,W,3], aligned with `visible`.

        Raises:
            InputError: another type or shape, sides below 16, different sizes, values that are not finite.
            CheckpointError: the network's result is not finite.
        """
        return self.fuse_prepared([prepare_pair(visible, infrared, self.ir_range)])[0]

    def fuse_batch(
        self, visible: Sequence[np.ndarray | Array], infrared: Sequence[np.ndarray | Array]
    ) -> list[FusionResult]:
        """Fuse pairs of one size in one call of the network.

        Raises:
            InputError: as for one pair; no images, unequal numbers or different sizes.
            CheckpointError: the network's result is not finite.
        """
        if len(visible) != len(infrared) or not len(visible):
            raise InputError(
                f"{len(visible)} visible and {len(infrared)} infrared images: expected as many of each"
            )
        pairs = [prepare_pair(*pair, self.ir_range) for pair in zip(visible, infrared, strict=True)]
        sizes = sorted({_size(pair) for pair in pairs})
        if len(sizes) > 1:
            raise InputError(f"a batch needs images of one size, got {', '.join(map(format_size, sizes))}")
        if self.needs_tiling(sizes[0]):
            return [self.fuse_prepared([pair])[0] for pair in pairs]
        return self.fuse_prepared(pairs)

    def needs_tiling(self, size: Size) -> bool:
        """Whether an image of (height, width) is computed in tiles."""
        return size[0] * size[1] > self.tile**2

    def fuse_prepared(
        self,
        pairs: Sequence[PreparedPair],
        *,
        shape: Size | None = None,
        batch: int | None = None,
        on_tiles: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[FusionResult]:
        """Fuse the results of `prepare_pair` in one call of the network; a single large pair is tiled.

        Args:
            pairs: at least one.
            shape: (height, width) that all pairs are padded to, by reflection at the bottom and right; the
                outputs are cropped. Without it the pairs must have one size and nothing is padded.
            batch: number of images the network is compiled for; missing ones repeat the last.
            on_tiles: called with the number of tiles done and of all tiles while a large pair is computed.

        Raises:
            CheckpointError: the network's result is not finite.
        """
        if len(pairs) == 1 and self.needs_tiling(_size(pairs[0])):
            return [self._fuse_tiled(*pairs[0], on_tiles)]
        shape = shape or _size(pairs[0])
        missing = (batch or len(pairs)) - len(pairs)
        full = [*pairs, *[pairs[-1]] * missing]
        visible = np.stack([pad_image(pair[0], shape) for pair in full])
        infrared = np.stack([pad_image(pair[1], shape) for pair in full])
        if self._rows is not None and len(full) % self._rows.num_devices == 0:
            visible, infrared = jax.device_put((visible, infrared), self._rows)
        results = self._fuse_whole(self._variables, visible, infrared, self._conditions)
        outputs = jax.device_get(self._finish_whole(results))
        check_finite(outputs["finite"])
        return [_crop(outputs, index, _size(pair)) for index, pair in enumerate(pairs)]

    def _fuse_tiled(
        self,
        visible: UInt8[np.ndarray, "h w 3"],
        infrared: Float32[np.ndarray, "h w 1"],
        on_tiles: Callable[[int, int], None],
    ) -> FusionResult:
        density = self._density_of_smaller_copy(visible, infrared)
        tile, overlap = (self.tile, self.tile), self.tile // OVERLAP_SHARE

        def run(tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            shared = tiles[2][..., 0] if self._shares_density else None
            return jax.device_get(
                self._fuse_tile(self._variables, tiles[0], tiles[1], self._conditions, shared)
            )

        images = (visible, infrared, density[:, :, None])
        fused, restored = map_tiles(
            run, images, tile=tile, overlap=overlap, batch=self._batch, on_tiles=on_tiles
        )
        check_finite(np.isfinite(fused).all() and np.isfinite(restored).all())
        count = count_tiles(_size((visible, infrared)), tile, overlap)
        return FusionResult(to_uint8(fused), to_uint8(restored), np.clip(density, 0.0, 1.0), tiles=count)

    def _density_of_smaller_copy(
        self, visible: UInt8[np.ndarray, "h w 3"], infrared: Float32[np.ndarray, "h w 1"]
    ) -> Float32[np.ndarray, "h w"]:
        height, width = _size((visible, infrared))
        scale = math.sqrt(self.tile**2 / (height * width))
        small = (max(SMALLEST_SIDE, int(width * scale)), max(SMALLEST_SIDE, int(height * scale)))
        small_visible = cv2.resize(visible, small, interpolation=cv2.INTER_AREA)
        small_infrared = cv2.resize(infrared, small, interpolation=cv2.INTER_AREA)
        density = self._estimate_density(
            self._variables, small_visible[None], small_infrared[None, ..., None], self._conditions
        )
        return cv2.resize(np.asarray(density)[0], (width, height), interpolation=cv2.INTER_LINEAR)


def _crop(outputs: Mapping[str, np.ndarray], index: int, size: Size) -> FusionResult:
    height, width = size
    # Copies, so that keeping one result does not keep the whole padded batch in memory.
    fused, restored, density = (
        outputs[name][index, :height, :width].copy() for name in ("fused", "restored", "haze_density")
    )
    return FusionResult(fused, restored, density)


def _size(pair: PreparedPair) -> Size:
    return pair[0].shape[0], pair[0].shape[1]
