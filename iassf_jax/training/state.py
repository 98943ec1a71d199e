"""What training changes: the step, the parameters, their running mean, the optimizer's moments."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.sharding import Mesh

from iassf_jax.core.rng import stream_key
from iassf_jax.training.loss_scale import initial_loss_scale
from iassf_jax.training.sharding import Rules, state_shardings

_SIDE = 32  # pixels; parameters do not depend on the image size


@flax.struct.dataclass
class TrainState:
    """A pytree; the network and the optimizer themselves are closed over by the step."""

    step: Any  # int32 scalar: number of finished steps
    params: Any  # nested dictionary of float32 arrays
    opt_state: Any
    ema: Any = flax.struct.field(default_factory=dict)  # running mean of the parameters; empty when it is off
    loss_scale: Any = None  # a LossScale, or None

    @property
    def best_params(self) -> Any:
        """Return the parameters to validate and to use: the running mean where there is one."""
        return self.ema or self.params


Initializer = Callable[[], TrainState]


def make_initializer(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    ema: bool = False,
    loss_scaling: str = "none",
) -> Initializer:
    """Return a pure function that makes the state of a fresh run."""

    def init() -> TrainState:
        image = jnp.zeros((1, _SIDE, _SIDE, 3), jnp.float32)
        params = model.init(stream_key(seed, "init"), image, image[..., :1])["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            ema=jax.tree.map(jnp.copy, params) if ema else {},
            loss_scale=initial_loss_scale(loss_scaling),
        )

    return init


def init_state(initializer: Initializer, shardings: Any = None) -> TrainState:
    """Return the state of a fresh run.

    One compiled function makes it, so that under `shardings` (see `abstract_state`) every array is born where
    it lives. The values do not depend on the shardings.
    """
    # Runs once, and on a CPU hundreds of random draws take long to optimise: half a minute on two cores.
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    options = quick if jax.default_backend() == "cpu" else None
    return jax.jit(initializer, out_shardings=shardings, compiler_options=options)()


def abstract_state(initializer: Initializer, *, mesh: Mesh, rules: Rules) -> tuple[Any, Any]:
    """Return the state's shapes and types with their places, and the places alone; computes nothing.

    Raises:
      ConfigError: see `sharding.state_shardings`.
    """
    shapes = jax.eval_shape(initializer)
    shardings = state_shardings(shapes, mesh, rules)
    placed = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )
    return placed, shardings
