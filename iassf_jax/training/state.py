"""What training changes: the step, the parameters and the optimizer's moments."""

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Int

from iassf_jax.core.rng import stream_key

_SIDE = 32  # pixels; parameters do not depend on the image size


@flax.struct.dataclass
class TrainState:
    """A pytree; the network and the optimizer themselves are closed over by the step."""

    step: Int[Array, ""]  # number of finished steps
    params: optax.Params
    opt_state: optax.OptState


def init_state(model: nn.Module, optimizer: optax.GradientTransformation, *, seed: int) -> TrainState:
    """Return the state of a fresh run: a function of the network, the optimizer and the seed.

    One compiled function makes it, so that under shardings the parameters are born where they live.
    """

    def init(key: jax.Array) -> TrainState:
        image = jnp.zeros((1, _SIDE, _SIDE, 3), jnp.float32)
        params = model.init(key, image, image[..., :1])["params"]
        return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params))

    return jax.jit(init)(stream_key(seed, "init"))
