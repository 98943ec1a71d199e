"""Schedulers of a sweep: who looks at the validations of all points while they train, and what it does then.

A sweep file says which one by `get_scheduler()`, which returns a plain mapping:

    {"name": "asha", "reduction_factor": 3, "grace_period": 4000}
    {"name": "pbt", "interval": 4000, "mutations": {"optimizer.learning_rate": (1e-4, 1e-3)}}

The other entries are the fields of the classes here.
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from iassf_jax.core.errors import ConfigError
from iassf_jax.sweeps.stacked import TRACED, program_key

TOKEN = "takeover"  # in a trial's parameters: names its last takeover, "" before the first
STRENGTH = "haze_options.strength"
# Validation is in haze of the strength that is trained in, so another strength would make it another measure.
MUTABLE = tuple(option for option in TRACED if option not in ("seed", STRENGTH))


@dataclasses.dataclass(frozen=True)
class Asha:
    """Ends the worse points early: of those that come to a rung, one in `reduction_factor` goes on."""

    grace_period: int | None = None  # steps of the first rung; None is the first validation
    reduction_factor: int | float = 4  # each rung is at so many times the steps of the one before
    brackets: int = 1  # groups of points; each one's first rung is one rung later

    def __post_init__(self) -> None:
        _expect(self.grace_period is None or self.grace_period > 0, self, "grace_period", "steps above 0")
        _expect(self.reduction_factor > 1, self, "reduction_factor", "more than 1")
        _expect(self.brackets >= 1, self, "brackets", "at least 1")


@dataclasses.dataclass(frozen=True)
class Pbt:
    """Population based training: the worse points take over the state of better ones, and other options.

    Jaderberg et al., Population Based Training of Neural Networks, 2017.
    """

    interval: int  # steps between two looks at a point; a multiple of eval_every and checkpoint_every
    # What a takeover changes: option -> a range (low, high), or a list of values in increasing order
    mutations: Mapping[str, Any]
    quantile: int | float = 0.25  # share of the points that take over, and that are taken from
    resample: int | float = 0.25  # how often a new value is drawn; otherwise it is near that of the donor
    factors: Sequence[int | float] = (0.8, 1.25)  # a value of a range is multiplied by one of them
    synchronous: bool = False  # wait for all points, so that equal steps are compared

    def __post_init__(self) -> None:
        _expect(self.interval > 0, self, "interval", "steps above 0")
        _expect(0 < self.quantile <= 0.5, self, "quantile", "above 0 up to 0.5")
        _expect(0 <= self.resample <= 1, self, "resample", "0 up to 1")
        factors_fit = len(self.factors) == 2 and all(factor > 0 for factor in self.factors)
        _expect(factors_fit, self, "factors", "two factors above 0")
        _expect(bool(self.mutations), self, "mutations", "at least one option")
        for option, values in self.mutations.items():
            _check_mutation(option, values)


Scheduler = Asha | Pbt
_KINDS: dict[str, type[Asha] | type[Pbt]] = {"asha": Asha, "pbt": Pbt}
NAMES = ("none", *_KINDS)


def read_scheduler(name: str | None, given: Mapping[str, Any] | None) -> Scheduler | None:
    """Return the scheduler that is asked for; None trains all points to their end.

    Args:
      name: one of `NAMES`, which counts more than the sweep file; None is that of the file.
      given: what `get_scheduler()` of the sweep file returned, or None. Its options are used where it is of
        that name.

    Raises:
      ConfigError: an unknown name or option, or values that make no sense.
    """
    options = dict(given or {})
    own = options.pop("name", "none")
    name = own if name is None else name
    if name not in NAMES:
        raise ConfigError(f"scheduler {name!r}; expected one of {', '.join(NAMES)}")
    if name == "none":
        return None
    if name == "pbt" and own != "pbt":
        raise ConfigError(
            "pbt must be told what it may change: give the sweep file a get_scheduler() that returns "
            '{"name": "pbt", "interval": STEPS, "mutations": {"optimizer.learning_rate": (LOW, HIGH)}}'
        )
    kind = _KINDS[name]
    try:
        return kind(**(options if name == own else {}))
    except TypeError as error:
        known = ", ".join(field.name for field in dataclasses.fields(kind))
        raise ConfigError(f"get_scheduler(): {error}; the options of {name} are {known}") from error


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What points are compared by."""

    metric: str
    mode: str  # the "max" or the "min" is the best
    steps: int  # of every point
    eval_every: int


def compare(scheduler: Scheduler, configs: Sequence[ConfigDict]) -> Comparison:
    """Return by what the scheduler compares points of these configurations.

    Raises:
      ConfigError: it cannot, or they cannot take over from each other.
    """
    name = next(name for name, kind in _KINDS.items() if isinstance(scheduler, kind))
    kinds = {(config.best_metric, config.best_mode, config.steps, config.eval_every) for config in configs}
    if len(kinds) != 1:
        raise ConfigError(f"{name} compares points of equal best_metric, best_mode, steps and eval_every")
    comparison = Comparison(*kinds.pop())
    if not (comparison.metric and comparison.eval_every and all(config.data.val for config in configs)):
        raise ConfigError(f"{name} needs validation: data.val, eval_every and best_metric")
    if len({config.haze_options.strength for config in configs}) > 1:
        raise ConfigError(f"{name} cannot compare points of different {STRENGTH}: validation has it too")
    mutations = scheduler.mutations if isinstance(scheduler, Pbt) else ()
    if comparison.metric == "loss/total" and ("alpha" in mutations or len({c.alpha for c in configs}) > 1):
        raise ConfigError(f"{name} cannot compare points of different alpha by loss/total: alpha weighs it")
    if isinstance(scheduler, Pbt):
        _check_population(scheduler, configs, comparison)
    elif scheduler.grace_period is not None and scheduler.grace_period > comparison.steps:
        raise ConfigError(f"grace_period is {scheduler.grace_period}, but config.steps {comparison.steps}")
    return comparison


def explore(mutations: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a trial that takes over, mutated by Ray, with values in range and a token."""
    kept = {
        option: min(max(parameters[option], values[0]), values[1])
        for option, values in mutations.items()
        if isinstance(values, tuple)
    }
    return {**parameters, **kept, TOKEN: uuid.uuid4().hex}


def _check_population(pbt: Pbt, configs: Sequence[ConfigDict], comparison: Comparison) -> None:
    if len(configs) < 2:
        raise ConfigError("pbt needs at least two points: one alone has nobody to take over from")
    if len({program_key(config) for config in configs}) > 1:
        raise ConfigError(f"the points of pbt may differ in {', '.join(TRACED)}; these differ in more")
    for name in ("eval_every", "checkpoint_every"):
        every = min(config[name] for config in configs)
        if any(config[name] < 1 or pbt.interval % config[name] for config in configs):
            raise ConfigError(
                f"interval is {pbt.interval}; it must be a multiple of config.{name}, which is {every}: "
                "points take over from a checkpoint that was validated"
            )
    if pbt.interval >= comparison.steps:
        raise ConfigError(f"interval is {pbt.interval}; expected less than config.steps = {comparison.steps}")


def _check_mutation(option: str, values: Any) -> None:
    if option not in MUTABLE:
        raise ConfigError(
            f"mutations: {option!r} cannot change while a point trains; these can: {', '.join(MUTABLE)}"
        )
    numbers = isinstance(values, list | tuple) and all(isinstance(value, int | float) for value in values)
    if isinstance(values, tuple) and numbers and len(values) == 2 and values[0] < values[1]:
        return
    if isinstance(values, list) and numbers and values and values == sorted(set(values)):
        return
    raise ConfigError(
        f"mutations: {option} has {values!r}; expected a range (low, high) or a list of increasing values"
    )


def _expect(holds: bool, scheduler: Scheduler, field: str, expected: str) -> None:
    if not holds:
        raise ConfigError(f"get_scheduler(): {field} is {getattr(scheduler, field)!r}; expected {expected}")
