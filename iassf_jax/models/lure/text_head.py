"""From a sentence vector to the description that guides LURE, and to the task that it names."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import torch_uniform

TEXT_NORMS = ("l2", "layernorm")


class TextHead(nn.Module):
    """Returns (description [b d], logits over the classes [b n]), float32.

    "l2": linear layer, then unit length (as InstructIR). "layernorm": layer norm of the sentence vector, then
    the linear layer. The logits serve the loss only.
    """

    features: int = 256  # of the description
    classes: int = 6
    norm: str = "l2"  # one of TEXT_NORMS

    @nn.compact
    def __call__(self, sentence: Float[Array, "b s"]) -> tuple[Float[Array, "b d"], Float[Array, "b n"]]:
        s = sentence.astype(jnp.float32)
        if self.norm == "layernorm":
            s = nn.LayerNorm(epsilon=1e-5, name="norm")(s)
        description = self._dense(self.features, s.shape[-1], "describe")(s)
        if self.norm == "l2":
            energy = jnp.square(description).sum(axis=-1, keepdims=True)
            description = description * jax.lax.rsqrt(jnp.maximum(energy, 1e-24))
        return description, self._dense(self.classes, self.features, "classify")(description)

    def _dense(self, features: int, fan_in: int, name: str) -> nn.Dense:
        return nn.Dense(features, kernel_init=torch_uniform(fan_in), name=name)
