"""DistilBERT's encoder (Sanh, Debut, Chaumond, Wolf, "DistilBERT", 2019), for inference only."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

_EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class DistilBertConfig:
    """Sizes, under the names of a model folder's config.json."""

    dim: int = 768
    n_layers: int = 6
    n_heads: int = 12
    hidden_dim: int = 3072
    vocab_size: int = 30_522
    max_position_embeddings: int = 512


class DistilBert(nn.Module):
    """Token numbers to a vector for each token: embeddings, then layers normalised behind their residuals."""

    config: DistilBertConfig = DistilBertConfig()

    @nn.compact
    def __call__(self, ids: Int[Array, "n l"], mask: Bool[Array, "n l"]) -> Float[Array, "n l d"]:
        """Return the last layer's output.

        Args:
          ids: token numbers, at most `max_position_embeddings` in a sentence.
          mask: False for padding, which no token attends to.
        """
        c = self.config
        words = nn.Embed(c.vocab_size, c.dim, name="word_embeddings")(ids)
        positions = nn.Embed(c.max_position_embeddings, c.dim, name="position_embeddings")
        x = words + positions(jnp.arange(ids.shape[1]))[None]
        x = _norm("embeddings_norm")(x)
        for index in range(c.n_layers):
            x = _Layer(c, name=f"layer_{index}")(x, mask)
        return x


class _Layer(nn.Module):
    config: DistilBertConfig

    @nn.compact
    def __call__(self, x: Float[Array, "n l d"], mask: Bool[Array, "n l"]) -> Float[Array, "n l d"]:
        c = self.config
        x = _norm("sa_layer_norm")(x + self._attend(x, mask))
        hidden = jax.nn.gelu(nn.Dense(c.hidden_dim, name="lin1")(x), approximate=False)
        return _norm("output_layer_norm")(x + nn.Dense(c.dim, name="lin2")(hidden))

    def _attend(self, x: Float[Array, "n l d"], mask: Bool[Array, "n l"]) -> Float[Array, "n l d"]:
        c, (n, length, _) = self.config, x.shape
        q, k, v = (
            nn.Dense(c.dim, name=name)(x).reshape(n, length, c.n_heads, -1)
            for name in ("q_lin", "k_lin", "v_lin")
        )
        scores = jnp.einsum("nqhd,nkhd->nhqk", q / math.sqrt(q.shape[-1]), k)
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(scores.dtype).min)
        context = jnp.einsum("nhqk,nkhd->nqhd", jax.nn.softmax(scores, axis=-1), v)
        return nn.Dense(c.dim, name="out_lin")(context.reshape(n, length, c.dim))


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=_EPSILON, use_fast_variance=False, name=name)
