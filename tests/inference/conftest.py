"""Networks simple enough to know their results, with the call of the real ones."""

from collections.abc import Callable

import jax.numpy as jnp
import pytest
from flax import linen as nn

from iassf_jax.inference import Fuser

TRACED: list[tuple[int, ...]] = []  # shapes the networks below were compiled for


class KnownNetwork(nn.Module):
    """`kind`: identity, constant (0.25), mean (of the whole image), broken (NaN)."""

    kind: str
    uses_haze_density: bool = True

    @nn.compact
    def __call__(self, hazy, infrared, *, haze_density=None):
        TRACED.append(hazy.shape)
        scale = self.param("scale", nn.initializers.ones, ())
        assert haze_density is None or self.uses_haze_density
        density = hazy.mean(-1) if haze_density is None else haze_density
        fused = {
            "identity": hazy,
            "constant": jnp.full_like(hazy, 0.25),
            "mean": jnp.broadcast_to(hazy.mean((1, 2, 3), keepdims=True), hazy.shape),
            "broken": hazy / (hazy - hazy),
        }[self.kind]
        restored = jnp.broadcast_to(infrared, hazy.shape)
        return {"fused": scale * fused, "restored": restored, "haze_density": density * 1.5}


@pytest.fixture
def traced() -> list[tuple[int, ...]]:
    TRACED.clear()
    return TRACED


@pytest.fixture
def known_fuser() -> Callable[..., Fuser]:
    def make(kind: str = "identity", *, uses_haze_density: bool = True, **options) -> Fuser:
        variables = {"params": {"scale": jnp.ones(())}}
        return Fuser(KnownNetwork(kind, uses_haze_density), variables, **options)

    return make
