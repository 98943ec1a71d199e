"""The learning-rate schedule and the optimizer, from the configuration's `optimizer` group."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from iassf_jax.core.errors import ConfigError
from iassf_jax.training.joining import on_joined

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


def _adamw(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    return optax.chain(on_joined(_adam(options)), *_decay_and_rate(rate, options, mask))


def _lion(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    direction = on_joined(optax.scale_by_lion(options["b1"], options["b2"]))
    return optax.chain(direction, *_decay_and_rate(rate, options, mask))


def _lamb(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    decay, scale = _decay_and_rate(rate, options, mask)
    return optax.chain(on_joined(_adam(options)), decay, optax.scale_by_trust_ratio(), scale)


def _sgd(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    decay, scale = _decay_and_rate(rate, options, mask)
    return optax.chain(decay, on_joined(optax.trace(options["b1"])), scale)


def _adam(options: Mapping[str, Any]) -> optax.GradientTransformation:
    return optax.scale_by_adam(options["b1"], options["b2"], options["eps"])


def _decay_and_rate(
    rate: Schedule, options: Mapping[str, Any], mask: Any
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    decay = optax.add_decayed_weights(options["weight_decay"], mask)
    return decay, optax.scale_by_learning_rate(rate)


def _muon(rate: Schedule, options: Mapping[str, Any], mask: Any) -> optax.GradientTransformation:
    """Orthogonalised momentum for kernels, as matrices of all inputs by outputs; AdamW for all else."""
    return optax.contrib.muon(
        rate,
        beta=options["b1"],
        eps=options["eps"],
        weight_decay=options["weight_decay"],
        weight_decay_mask=mask,
        adam_b1=options["b1"],
        adam_b2=options["b2"],
        adam_weight_decay=options["weight_decay"],
        muon_weight_dimension_numbers=_matrices,
    )


def _matrices(params: optax.Params) -> Any:
    def dimensions(leaf: Any) -> optax.contrib.MuonDimensionNumbers | None:
        if leaf.ndim < 2:
            return None
        inputs = tuple(range(leaf.ndim - 1))
        return optax.contrib.MuonDimensionNumbers(reduction_axis=inputs, output_axis=(leaf.ndim - 1,))

    return jax.tree.map(dimensions, params)


OPTIMIZERS: dict[str, Callable[[Schedule, Mapping[str, Any], Any], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "lion": _lion,
    "lamb": _lamb,
    "muon": _muon,
    "sgd": _sgd,
}


def make_schedule(options: Mapping[str, Any], *, steps: int) -> Schedule:
    """Return the learning rate as a function of the number of finished steps.

    Linear over `warmup_steps`, then half a cosine from `learning_rate` to `final_learning_rate`, which
    the run's last step uses. `hold_steps` > 1 keeps the rate for that many steps: with the length of an epoch
    this is the released code's schedule, rate(e) = final + (first - final) (1 + cos(pi e / E)) / 2.
    """
    rates = options["learning_rate"], options["final_learning_rate"]
    warmup, hold = options["warmup_steps"], options["hold_steps"]
    span = max(steps - warmup - hold, 1)

    def schedule(count: Int[Array, ""]) -> Float[Array, ""]:
        # Rates may be numbers or arguments of the program: behind the barrier both are rounded alike.
        first, final = lax.optimization_barrier((jnp.float32(rates[0]), jnp.float32(rates[1])))
        done = jnp.asarray(count, jnp.int32)
        held = (done - warmup) // hold * hold
        progress = jnp.clip(held.astype(jnp.float32) / span, 0.0, 1.0)
        cosine = final + (first - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        rising = first * (done + 1).astype(jnp.float32) / (warmup + 1)
        # A branch, which XLA computes once, and not again in the loop of each of hundreds of parameters.
        return lax.cond(done < warmup, lambda: rising, lambda: cosine)

    return schedule


def make_optimizer(options: Mapping[str, Any], *, steps: int) -> optax.GradientTransformation:
    """Return the optimizer that `options` (the configuration's `optimizer` group) describes.

    Parameters of a group in `rates` have an optimizer of their own, with its factor on the rate; those of
    factor 0 are frozen: no update, no decay, no moments, no part in the norm that is clipped.

    Raises:
      ConfigError: an unknown name or decay rule, or numbers that make no schedule; from `init`, a pattern of
        `rates` that finds no parameter.
    """
    _check(options, steps)
    mask = {"all": None, "kernels": _kernels}[options["decay"]]
    schedule, make = make_schedule(options, steps=steps), OPTIMIZERS[options["name"]]
    optimizer = make(schedule, options, mask)
    if options["rates"]:
        groups = _groups(options["rates"])
        factors = [*(factor for _, factor in groups), 1.0]
        parts = {
            str(index): make(_times(schedule, factor), options, mask) if factor else optax.set_to_zero()
            for index, factor in enumerate(factors)
        }
        optimizer = optax.partition(parts, lambda params: _labels(params, groups))
    if options["clip_norm"] is not None:
        optimizer = optax.chain(on_joined(optax.clip_by_global_norm(options["clip_norm"])), optimizer)
    if any(factor == 0 for _, factor in options["rates"]):
        optimizer = optax.chain(_without_frozen(_groups(options["rates"])), optimizer)
    optimizer = _with_known_groups(optimizer, _groups(options["rates"]))
    return _under_standard_promotion(optimizer)


Groups = Sequence[tuple[re.Pattern[str], float]]


def _groups(rates: Sequence[Sequence[Any]]) -> Groups:
    return [(re.compile(pattern), float(factor)) for pattern, factor in rates]


def _group(path: tuple[Any, ...], groups: Groups) -> int:
    """Return the number of the first group whose pattern is found in the path; the last one is the rest."""
    return next((i for i, (pattern, _) in enumerate(groups) if pattern.search(_name(path))), len(groups))


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _with_known_groups(
    optimizer: optax.GradientTransformation, groups: Groups
) -> optax.GradientTransformation:
    """Refuse parameters among which a pattern finds none: it would be without effect, and is misspelt."""

    def init(params: Any) -> Any:
        names = [_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        for pattern, _ in groups:  # what it finds may be in the group of an earlier one
            if not any(map(pattern.search, names)):
                top = ", ".join(sorted({name.partition("/")[0] for name in names}))
                raise ConfigError(
                    f"config.optimizer.rates: {pattern.pattern!r} is found in no parameter's path; the paths "
                    f"begin with {top} (parameters.txt of a run lists them)"
                )
        return optimizer.init(params)

    return optax.GradientTransformation(init, optimizer.update)


def _labels(params: Any, groups: Groups) -> Any:
    return jax.tree.map_with_path(lambda path, _: str(_group(path, groups)), params)


def _without_frozen(groups: Groups) -> optax.GradientTransformation:
    factors = [*(factor for _, factor in groups), 1.0]

    def update(updates: Any, params: Any) -> Any:
        return jax.tree.map_with_path(
            lambda path, leaf: leaf if factors[_group(path, groups)] else jnp.zeros_like(leaf), updates
        )

    return optax.stateless(update)


def _times(schedule: Schedule, factor: float) -> Schedule:
    return lambda count: factor * schedule(count)


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
    for entry in options["rates"]:
        _check_rate(entry)
    if options["hold_steps"] < 1:
        raise ConfigError(f"config.optimizer.hold_steps is {options['hold_steps']}; it must be at least 1")
    warmup = options["warmup_steps"]
    if not 0 <= warmup < steps:
        raise ConfigError(
            f"config.optimizer.warmup_steps is {warmup}; it must be under config.steps = {steps}"
        )
    if options["clip_norm"] is not None and options["clip_norm"] <= 0.0:
        raise ConfigError("config.optimizer.clip_norm must be positive; 'none' turns clipping off")


def _check_rate(entry: Any) -> None:
    try:
        pattern, factor = entry
        re.compile(pattern)
        if not float(factor) >= 0:
            raise ValueError("a negative factor")
    except (TypeError, ValueError, re.error) as error:
        raise ConfigError(
            f"config.optimizer.rates has {entry!r} ({error}); expected pairs of a regular expression and a "
            "factor from 0 up, as (('^fusion/', 0.5),)"
        ) from error
