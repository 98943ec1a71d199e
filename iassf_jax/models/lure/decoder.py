"""LURE's image decoder: latents of all levels, of one image or fused from two, to an image."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import correlation, torch_uniform
from iassf_jax.models.lure.attention import pointwise
from iassf_jax.models.lure.blocks import BlockOptions, NAFBlock
from iassf_jax.models.lure.encoder import Latents
from iassf_jax.ops.pixel_shuffle import pixel_shuffle

DECODERS = ("wide", "light")
_OUTPUT_SCALE = (
    0.1  # of the last convolution's initial kernel; without it the first outputs are far from [0,1]
)


class Decoder(nn.Module):
    """From the coarsest level upwards: upsample, add the level's latent, NAFBlocks.

    `widths` are the channels of each level. Where they differ from the latent's, a 1x1 convolution takes the
    latent to them.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...]  # NAFBlocks of each level
    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(self, latents: Latents) -> Float[Array, "b h w 3"]:
        x = None
        for level in reversed(range(len(self.widths))):
            latent = self._project(latents[level].astype(self.options.dtype), level)
            x = latent if x is None else self._upsample(x, level) + latent
            for index in range(1, self.blocks[level] + 1):
                block = NAFBlock(
                    self.options.sca_window, self.options.dtype, name=f"level_{level + 1}_block_{index}"
                )
                x = block(x)
        head = nn.Conv(
            3, (3, 3), padding="SAME", kernel_init=self._head_init, conv_general_dilated=correlation,
            dtype=self.options.dtype, name="head",
        )  # fmt: skip
        return head(x)

    def _project(self, latent: Float[Array, "b h w z"], level: int) -> Float[Array, "b h w c"]:
        width, channels = self.widths[level], latent.shape[-1]
        if width == channels:
            return latent
        name = f"level_{level + 1}_in"
        return pointwise(width, channels, name=name, use_bias=True, dtype=self.options.dtype)(latent)

    def _upsample(self, x: Float[Array, "b h w c"], level: int) -> Float[Array, "b h2 w2 c2"]:
        name = f"level_{level + 1}_up"
        return pixel_shuffle(
            pointwise(4 * self.widths[level], x.shape[-1], name=name, dtype=self.options.dtype)(x), 2
        )

    def _head_init(self, key, shape, dtype=jnp.float32) -> Array:
        return _OUTPUT_SCALE * torch_uniform(9 * self.widths[0])(key, shape, dtype)
