"""What training changes: the step, the parameters and the optimizer's moments."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from iassf_jax.core.rng import stream_key

_SIDE = 32  # pixels; parameters do not depend on the image size


@flax.struct.dataclass
class TrainState:
    """A pytree; the network and the optimizer themselves are closed over by the step."""

    step: Any  # int32 scalar: number of finished steps
    params: Any  # nested dictionary of float32 arrays
    opt_state: Any


def init_state(model: nn.Module, optimizer: optax.GradientTransformation, *, seed: int) -> TrainState:
    """Return the state of a fresh run: a function of the network, the optimizer and the seed.

    One compiled function makes it, so that under shardings the parameters are born where they live.
    """
    # Runs once, and on a CPU hundreds of random draws take long to optimise: half a minute on two cores.
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    options = quick if jax.default_backend() == "cpu" else None
    return jax.jit(_initializer(model, optimizer), compiler_options=options)(stream_key(seed, "init"))


def abstract_state(model: nn.Module, optimizer: optax.GradientTransformation) -> Any:
    """Return the state's shapes, types and place on the first device, without computing anything."""
    shapes = jax.eval_shape(_initializer(model, optimizer), stream_key(0, "init"))
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes)


def _initializer(
    model: nn.Module, optimizer: optax.GradientTransformation
) -> Callable[[jax.Array], TrainState]:
    def init(key: jax.Array) -> TrainState:
        image = jnp.zeros((1, _SIDE, _SIDE, 3), jnp.float32)
        params = model.init(key, image, image[..., :1])["params"]
        return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params))

    return init
