"""The schedulers of `sweeps.schedulers` as Ray Tune's."""

import functools
import uuid
from collections.abc import Mapping
from typing import Any

from iassf_jax.sweeps.schedulers import Asha, Comparison, Pbt, Scheduler

TOKEN = "takeover"  # in a trial's parameters: names its last takeover, "" before the first


def make_ray_scheduler(scheduler: Scheduler, comparison: Comparison, *, ended: set[str]) -> Any:
    """Return Ray's object; the names of trials that it ends early are added to `ended`."""
    compared = {"time_attr": "step", "metric": comparison.metric, "mode": comparison.mode}
    if isinstance(scheduler, Pbt):
        return _population_based(scheduler, compared)
    return _recording_asha(scheduler, comparison, compared, ended)


def explore(mutations: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a trial that takes over, mutated by Ray, with values in range and a token."""
    kept = {
        option: min(max(parameters[option], values[0]), values[1])
        for option, values in mutations.items()
        if isinstance(values, tuple)
    }
    return {**parameters, **kept, TOKEN: uuid.uuid4().hex}


def _recording_asha(asha: Asha, comparison: Comparison, compared: Mapping[str, Any], ended: set[str]) -> Any:
    from ray.tune.schedulers import ASHAScheduler, TrialScheduler

    class RecordingASHA(ASHAScheduler):  # type: ignore[misc]
        """Tells trials that were ended early from those that ended with the command."""

        def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
            decision: str = super().on_trial_result(tune_controller, trial, result)
            if decision == TrialScheduler.STOP:
                ended.add(str(trial))
            return decision

    return RecordingASHA(
        max_t=comparison.steps,
        grace_period=asha.grace_period or min(comparison.eval_every, comparison.steps),
        reduction_factor=asha.reduction_factor,
        brackets=asha.brackets,
        **compared,
    )


def _population_based(pbt: Pbt, compared: Mapping[str, Any]) -> Any:
    from ray.tune.schedulers import PopulationBasedTraining

    return PopulationBasedTraining(
        perturbation_interval=pbt.interval,
        hyperparam_mutations={option: _distribution(values) for option, values in pbt.mutations.items()},
        quantile_fraction=pbt.quantile,
        resample_probability=pbt.resample,
        perturbation_factors=tuple(pbt.factors),
        custom_explore_fn=functools.partial(explore, dict(pbt.mutations)),
        synch=pbt.synchronous,
        **compared,
    )


def _distribution(values: tuple[Any, Any] | list[Any]) -> Any:
    """Return what new values are drawn from: evenly on a logarithmic scale where a range is positive."""
    from ray import tune

    if isinstance(values, list):
        return [float(value) for value in values]
    low, high = map(float, values)
    return tune.loguniform(low, high) if low > 0 else tune.uniform(low, high)
