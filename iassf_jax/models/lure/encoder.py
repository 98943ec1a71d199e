"""LURE's image encoder: an image, a description of what is wrong with it, its modality -> latents."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from iassf_jax.models.layers.initializers import correlation, torch_uniform
from iassf_jax.models.lure.attention import pointwise
from iassf_jax.models.lure.blocks import BaseBlock, BlockOptions, bottleneck, tga_block

Feature = Float[Array, "b h w c"]
Latents = tuple[Array, ...]
"""One map [b, h/2^i, w/2^i, c_i] for each level i = 0, 1, ..., all of one image."""

REDUCTIONS = ("last", "first")


class EncoderLevel(nn.Module):
    """One resolution of the encoder; returns (feature for the next level, latent).

    The feature u holds base and degradation. A linear branch takes both to the latent's width, a deep one
    guided by the text finds the degradation, and their difference is the latent (inner residual).
    """

    latent: int  # channels of the latent
    base_blocks: int  # pairs of BaseBlock and TGABlock that make u
    degradation_blocks: int  # pairs of TGABlock and BottleNeck of the deep branch
    reduce: str = "last"  # which BottleNeck goes from the level's width to the latent's
    inner_residual: bool = True  # without it the deep branch is the latent
    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(
        self, x: Feature, text: Float[Array, "b d"], modality: Int[Array, " b"]
    ) -> tuple[Feature, Float[Array, "b h w z"]]:
        for index in range(1, self.base_blocks + 1):
            x = BaseBlock(self.options, name=f"base_{index}")(x, modality)
            x = tga_block(self.options, name=f"base_text_{index}")(x, text)
        width, branch = x.shape[-1], x
        for index in range(1, self.degradation_blocks + 1):
            branch = tga_block(self.options, name=f"degradation_text_{index}")(branch, text)
            reduced = index == self.degradation_blocks or self.reduce == "first"
            features = self.latent if reduced else width
            branch = bottleneck(features, self.options, name=f"degradation_{index}")(branch)
        if not self.inner_residual:
            return x, branch
        linear = pointwise(self.latent, width, name="linear", use_bias=True, dtype=self.options.dtype)
        return x, linear(x) - branch


class Encoder(nn.Module):
    """3x3 convolution, then levels with a 2x2 convolution of stride 2 between them.

    No residual leads from the image to the output: it would favour learning the degradation over representing
    the image. Sides must be multiples of 2^(levels - 1).
    """

    widths: tuple[int, ...]
    latents: tuple[int, ...]
    base_blocks: tuple[int, ...]
    degradation_blocks: tuple[int, ...]
    reduce: str = "last"
    inner_residual: bool = True
    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 3"], text: Float[Array, "b d"], modality: Int[Array, " b"]
    ) -> Latents:
        dtype = self.options.dtype
        text = text.astype(dtype)
        x = _conv(self.widths[0], 3, 3, name="stem", dtype=dtype)(image.astype(dtype))
        latents = []
        for level, width in enumerate(self.widths):
            if level:
                fan_in = self.widths[level - 1]
                x = _conv(width, fan_in, 2, name=f"down_{level}", stride=2, dtype=dtype)(x)
            x, latent = EncoderLevel(
                self.latents[level],
                self.base_blocks[level],
                self.degradation_blocks[level],
                self.reduce,
                self.inner_residual,
                self.options,
                name=f"level_{level + 1}",
            )(x, text, modality)
            latents.append(latent)
        return tuple(latents)


def _conv(features: int, fan_in: int, side: int, *, name: str, stride: int = 1, dtype=jnp.float32) -> nn.Conv:
    return nn.Conv(
        features,
        (side, side),
        strides=stride,
        padding="VALID" if stride > 1 else "SAME",
        kernel_init=torch_uniform(fan_in * side * side),
        conv_general_dilated=correlation,
        dtype=dtype,
        name=name,
    )
