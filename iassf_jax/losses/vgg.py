"""Perceptual term on the features of a VGG-16 from a local file (FusionDN's distance, U2Fusion's weights)."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import CheckpointError, ConfigError
from iassf_jax.ops import conv, depthwise_conv, rgb_to_gray

Image = Float[Array, "b h w c"]
PerImage = Float[Array, " b"]
Layer = tuple[Array, Array]  # kernel [3 3 i o], bias [o]

SCALINGS = ("caffe", "torchvision")
_BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # layers between the poolings
_TEMPERATURE = 3200.0  # U2Fusion's, for features of Caffe-scaled images
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, eq=False)
class VggPerceptual:
    """(fused, visible, infrared) -> distance of the luma's features from both sources', for each image.

    A source counts by how much its features vary from pixel to pixel.
    """

    blocks: tuple[tuple[Layer, ...], ...]
    scaling: str = "caffe"  # of the images that the weights were trained with, one of SCALINGS

    def __call__(self, fused: Image, visible: Image, infrared: Float[Array, "b h w k"]) -> PerImage:
        sources = [self.features(_luma(x)) for x in (visible, infrared)]
        weights = self._source_weights(sources)
        features = self.features(_luma(fused))
        distances = [
            jnp.stack([_mean(jnp.square(f - s)) for f, s in zip(features, source, strict=True)]).mean(axis=0)
            for source in sources
        ]
        return (weights * jnp.stack(distances)).sum(axis=0)

    def features(self, luma: Float[Array, "b h w 1"]) -> list[Array]:
        """Return the output of the last layer of each block, for grey images in [0,1]."""
        x, taps = self._scaled(luma), []
        for index, block in enumerate(self.blocks):
            x = nn.max_pool(x, (2, 2), (2, 2)) if index else x
            for kernel, bias in block:
                x = nn.relu(conv(x, kernel, bias, padding="zero"))
            taps.append(x)
        return taps

    def _scaled(self, luma: Float[Array, "b h w 1"]) -> Image:
        x = jnp.tile(luma, (1, 1, 1, 3))
        if self.scaling == "caffe":
            return 255.0 * x - jnp.asarray(_CAFFE_MEAN)[None, None, None]
        return (x - jnp.asarray(_MEAN)[None, None, None]) / jnp.asarray(_DEVIATION)[None, None, None]

    def _source_weights(self, sources: list[list[Array]]) -> Float[Array, "2 b"]:
        activity = jnp.stack(
            [jnp.stack([_mean(jnp.square(_detail(f))) for f in features]).mean(0) for features in sources]
        )
        if self.scaling == "caffe":
            activity = activity / _TEMPERATURE
        else:
            activity = activity / jnp.maximum(activity.mean(axis=0, keepdims=True), 1e-12)
        return jax.lax.stop_gradient(jax.nn.softmax(activity, axis=0))


def load_vgg(path: str | Path, *, scaling: str = "caffe") -> VggPerceptual:
    """Read a VGG-16 with the names of torchvision ("features.0.weight", ...), .safetensors or .npz.

    Args:
      path: a local file.
      scaling: what the weights were trained with: "caffe" (blue, green, red up to 255, less their means), or
        "torchvision" (red, green, blue up to 1, normalised).

    Raises:
      CheckpointError: the file is missing or damaged, lacks a layer, or its layers do not fit each other.
      ConfigError: an unknown scaling.
    """
    if scaling not in SCALINGS:
        raise ConfigError(f"vgg_scaling is {scaling!r}; expected one of {', '.join(SCALINGS)}")
    stored = _read(Path(path))
    channels, blocks = 3, []
    for numbers in _BLOCKS:
        block = []
        for kernel, bias in _layers(stored, numbers, str(path)):
            if kernel.shape[:3] != (3, 3, channels) or bias.shape != kernel.shape[3:]:
                raise CheckpointError(
                    f"{path}: a layer has a kernel {kernel.shape} and a bias {bias.shape} behind {channels} "
                    "channels; expected the 3x3 convolutions of a VGG-16"
                )
            channels = kernel.shape[3]
            block.append((jnp.asarray(kernel), jnp.asarray(bias)))
        blocks.append(tuple(block))
    return VggPerceptual(tuple(blocks), scaling)


def _layers(
    stored: Mapping[str, np.ndarray], numbers: tuple[int, ...], path: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in numbers:
        names = f"features.{number}.weight", f"features.{number}.bias"
        missing = [name for name in names if name not in stored]
        if missing:
            raise CheckpointError(f"{path} lacks {', '.join(missing)}, which a VGG-16 of torchvision has")
        kernel, bias = (stored[name].astype(np.float32) for name in names)
        yield np.moveaxis(kernel, (2, 3, 1, 0), (0, 1, 2, 3)) if kernel.ndim == 4 else kernel, bias


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; expected the weights of a VGG-16")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return dict(stored)
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or neither .safetensors nor .npz ({error})") from error


def _detail(x: Image) -> Image:
    """Each pixel's difference from the mean of its eight neighbours, zeros outside."""
    kernel = np.full((3, 3, x.shape[-1]), 1 / 8, np.float32)
    kernel[1, 1] = -1.0
    return depthwise_conv(x, jnp.asarray(kernel), padding="zero")


def _luma(image: Image) -> Float[Array, "b h w 1"]:
    image = image.astype(jnp.float32)
    return rgb_to_gray(image) if image.shape[-1] == 3 else image


def _mean(x: Image) -> PerImage:
    return x.mean(axis=(1, 2, 3))
