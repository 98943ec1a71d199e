"""Prompt generation and embedding (IASSF, section III-B and III-D, Eqs. 1 and 2; after PromptIR)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.layers.initializers import torch_conv, torch_dense
from iassf_jax.models.layers.restormer import RestormerOptions, restormer_block
from iassf_jax.models.prompts import PromptPool

PROMPT_MODES = ("pool", "channel")


class PromptGeneration(nn.Module):
    """Turns what two features do not share into a prompt: Conv3x3(Conv1x1(W * P)) (PGM, Eq. 2).

    W comes from the difference of the features by Conv3x3, mean over the image, linear layer, softmax. The
    paper gives W the shape of a feature, which such a network cannot produce; there are two readings:

    "pool": one weight for each prompt of a pool, W * P is the weighted sum of the prompts;
    "channel": one weight for each channel (times c, so that they average 1), W * P scales the channels of a
    single prompt.
    """

    mode: str = "pool"  # one of PROMPT_MODES
    num_prompts: int = 5  # prompts in the pool; mode "channel" has one
    size: int = 64  # side of a stored prompt, pixels; resized bilinearly to the feature's size
    pointwise_first: bool = True  # the order of Eq. 2; the 3x3 convolution comes first otherwise
    dtype: Any = jnp.float32

    def __post_init__(self):
        if self.mode not in PROMPT_MODES:
            raise ConfigError(f"prompt_mode must be one of {PROMPT_MODES}, not {self.mode!r}")
        super().__post_init__()

    @nn.compact
    def __call__(self, difference: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        prompt = self._weighted_prompt(difference)
        c = prompt.shape[-1]
        convolutions = [
            torch_dense(c, c, name="pointwise", use_bias=False, dtype=self.dtype),
            torch_conv(c, c, 3, name="spatial", padding=1, use_bias=False, dtype=self.dtype),
        ]
        for convolution in convolutions if self.pointwise_first else reversed(convolutions):
            prompt = convolution(prompt)
        return prompt

    def _weighted_prompt(self, difference: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = difference.shape
        pooled_mode = self.mode == "pool"
        filtered = torch_conv(c, c, 3, name="weight_conv", padding=1, dtype=self.dtype)(difference)
        mean = filtered.astype(jnp.float32).mean(axis=(1, 2))
        logits = torch_dense(self.num_prompts if pooled_mode else c, c, name="weight_linear")(mean)
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        pool = PromptPool(c, self.num_prompts if pooled_mode else 1, self.size, name="pool")
        if pooled_mode:
            return pool(weights, (h, w))
        return pool(jnp.ones((b, 1), self.dtype), (h, w)) * (c * weights)[:, None, None, :]


class PromptEmbedding(nn.Module):
    """Mixes a prompt into a feature: Restormer block on both, then Conv1x1 and Conv3x3 (PEB); no residual.

    Without a prompt the same layers work on the feature alone, at its own width.
    """

    heads: int = 1
    attention: bool = True  # False leaves the Restormer block out
    options: RestormerOptions = RestormerOptions()

    @nn.compact
    def __call__(
        self, feature: Float[Array, "b h w c"], prompt: Float[Array, "b h w c"] | None
    ) -> Float[Array, "b h w c"]:
        c, dtype = feature.shape[-1], self.options.dtype
        joint = feature if prompt is None else jnp.concatenate([feature, prompt], axis=-1)
        if self.attention:
            joint = restormer_block(self.heads, self.options, name="block")(joint)
        mixed = torch_dense(c, joint.shape[-1], name="pointwise", use_bias=False, dtype=dtype)(joint)
        return torch_conv(c, c, 3, name="spatial", padding=1, use_bias=False, dtype=dtype)(mixed)
