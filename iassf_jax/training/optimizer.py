"""The learning-rate schedule and the optimizer, from the configuration's `optimizer` group."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from iassf_jax.core.errors import ConfigError

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


def _adamw(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    return optax.adamw(
        rate, options["b1"], options["b2"], options["eps"], weight_decay=options["weight_decay"], mask=mask
    )


def _lion(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    return optax.lion(rate, options["b1"], options["b2"], weight_decay=options["weight_decay"], mask=mask)


def _lamb(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    return optax.lamb(
        rate, options["b1"], options["b2"], options["eps"], weight_decay=options["weight_decay"], mask=mask
    )


def _sgd(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(options["weight_decay"], mask), optax.sgd(rate, momentum=options["b1"])
    )


OPTIMIZERS: dict[str, Callable[[Schedule, Mapping[str, Any], Any], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "lion": _lion,
    "lamb": _lamb,
    "sgd": _sgd,
}


def make_schedule(options: Mapping[str, Any], *, steps: int) -> Schedule:
    """Return the learning rate as a function of the number of finished steps.

    Linear over `warmup_steps`, then half a cosine from `learning_rate` to `final_learning_rate`, which
    the run's last step uses. `hold_steps` > 1 keeps the rate for that many steps: with the length of an epoch
    this is the released code's schedule, rate(e) = final + (first - final) (1 + cos(pi e / E)) / 2.
    """
    first, final = options["learning_rate"], options["final_learning_rate"]
    warmup, hold = options["warmup_steps"], options["hold_steps"]
    span = max(steps - warmup - hold, 1)

    def schedule(count: Int[Array, ""]) -> Float[Array, ""]:
        done = jnp.asarray(count, jnp.int32)
        held = (done - warmup) // hold * hold
        progress = jnp.clip(held.astype(jnp.float32) / span, 0.0, 1.0)
        cosine = final + (first - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        rising = first * (done + 1).astype(jnp.float32) / (warmup + 1)
        return jnp.where(done < warmup, rising, cosine)

    return schedule


def make_optimizer(options: Mapping[str, Any], *, steps: int) -> optax.GradientTransformation:
    """Return the optimizer that `options` (the configuration's `optimizer` group) describes.

    Raises:
      ConfigError: an unknown name or decay rule, or numbers that make no schedule.
    """
    _check(options, steps)
    mask = {"all": None, "kernels": _kernels}[options["decay"]]
    optimizer = OPTIMIZERS[options["name"]](make_schedule(options, steps=steps), options, mask)
    if options["clip_norm"] is not None:
        optimizer = optax.chain(optax.clip_by_global_norm(options["clip_norm"]), optimizer)
    return _under_standard_promotion(optimizer)


def _under_standard_promotion(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Let optax raise a Python float to the integer step count, which strict promotion forbids."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return optimizer.update(updates, state, params)

    return optax.GradientTransformation(optimizer.init, update)


def _kernels(params: optax.Params) -> Any:
    """Leave biases, norms and single factors out of the decay."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _check(options: Mapping[str, Any], steps: int) -> None:
    for key, known in (("name", tuple(OPTIMIZERS)), ("decay", ("all", "kernels"))):
        if options[key] not in known:
            raise ConfigError(f"config.optimizer.{key} is {options[key]!r}; there are {', '.join(known)}")
    if options["hold_steps"] < 1:
        raise ConfigError(f"config.optimizer.hold_steps is {options['hold_steps']}; it must be at least 1")
    warmup = options["warmup_steps"]
    if not 0 <= warmup < steps:
        raise ConfigError(
            f"config.optimizer.warmup_steps is {warmup}; it must be under config.steps = {steps}"
        )
    if options["clip_norm"] is not None and options["clip_norm"] <= 0.0:
        raise ConfigError("config.optimizer.clip_norm must be positive; 'none' turns clipping off")
