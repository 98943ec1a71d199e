"""LURE's fusion: cross attention between the latents, added to a rule through a zero convolution."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.recomputing import repeated
from iassf_jax.models.layers.restormer import GDFN, LayerNorm
from iassf_jax.models.lure.attention import ChannelCrossAttention, WindowCrossAttention, pointwise
from iassf_jax.models.lure.blocks import BlockOptions
from iassf_jax.models.lure.encoder import Latents
from iassf_jax.models.lure.rules import fuse_by_rule

Map = Float[Array, "b h w c"]
FUSION_ATTENTIONS = ("channel", "window")


class FusionBlock(nn.Module):
    """Each of the two maps attends to the other, then passes a feed-forward network of its own."""

    attention: str = "channel"  # one of FUSION_ATTENTIONS
    reverse_softmax: bool = False  # "window": attend to what is least alike
    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(self, visible: Map, infrared: Map) -> tuple[Map, Map]:
        v, i = LayerNorm(name="norm_1_v")(visible), LayerNorm(name="norm_1_i")(infrared)
        return self._half(visible, v, i, "v"), self._half(infrared, i, v, "i")

    def _half(self, x: Map, query: Map, source: Map, side: str) -> Map:
        x = x + self._attention(f"attention_{side}")(query, source)
        feed_forward = GDFN(self.options.ffn_factor, self.options.dtype, name=f"feed_forward_{side}")
        return x + feed_forward(LayerNorm(name=f"norm_2_{side}")(x))

    def _attention(self, name: str) -> nn.Module:
        heads, dtype = self.options.heads, self.options.dtype
        if self.attention == "window":
            return WindowCrossAttention(heads, self.reverse_softmax, dtype=dtype, name=name)
        return ChannelCrossAttention(heads, dtype, name=name)


class Fusion(nn.Module):
    """Latents of the visible and of the infrared image -> latents of the fused image, level by level.

    The learned part ends in a 1x1 convolution that starts at zero (ControlNet's idea), so that the fusion
    starts as the rule alone. Without a rule it starts like any other layer.
    """

    blocks: tuple[int, ...]  # of each level
    rule: str = "l1norm"  # see rules.fuse_by_rule
    l1_radius: int = 1
    attention: str = "channel"
    reverse_softmax: bool = False
    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(self, visible: Latents, infrared: Latents) -> Latents:
        prior = self.by_rule(visible, infrared)
        return tuple(
            base + self._learned(level, v, i)
            for level, (base, v, i) in enumerate(zip(prior, visible, infrared, strict=True))
        )

    @nn.nowrap
    def by_rule(self, visible: Latents, infrared: Latents) -> Latents:
        """Return what the rule alone makes of the latents; needs no parameters."""
        pairs = zip(visible, infrared, strict=True)
        return tuple(fuse_by_rule(v, i, rule=self.rule, l1_radius=self.l1_radius) for v, i in pairs)

    def _learned(self, level: int, visible: Map, infrared: Map) -> Map:
        c, dtype, number = visible.shape[-1], self.options.dtype, level + 1
        block = repeated(FusionBlock, remat=self.options.remat)
        for index in range(1, self.blocks[level] + 1):
            visible, infrared = block(
                self.attention, self.reverse_softmax, self.options, name=f"level_{number}_block_{index}"
            )(visible, infrared)
        both = jnp.concatenate([visible, infrared], axis=-1)
        joined = pointwise(c, 2 * c, name=f"level_{number}_join", use_bias=True, dtype=dtype)(both)
        last = f"level_{number}_out"
        if self.rule == "none":
            return pointwise(c, c, name=last, use_bias=True, dtype=dtype)(joined)
        return nn.Dense(c, kernel_init=nn.initializers.zeros, dtype=dtype, name=last)(joined)
