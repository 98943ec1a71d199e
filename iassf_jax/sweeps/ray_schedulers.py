"""The schedulers of `sweeps.schedulers` as Ray Tune's; needs Ray to be imported.

The classes are at the top of a module because Tune pickles them.
"""

import functools
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining, TrialScheduler

from iassf_jax.sweeps.schedulers import Comparison, Pbt, Scheduler, explore


class RecordingASHA(ASHAScheduler):  # type: ignore[misc]
    """Tells trials that were ended early from those that ended with the command."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.ended: set[str] = set()  # names of trials

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        """Decide what becomes of a trial."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.STOP:
            self.ended.add(str(trial))
        return decision


class PopulationGoingOn(PopulationBasedTraining):  # type: ignore[misc]
    """Goes on where the trial that the others wait for leaves: it has diverged, failed or ended.

    Ray's own looks at the trials when the last of them reports, and so would wait for ever.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return a trial to start, or None."""
        chosen = super().choose_trial_to_run(tune_controller)
        left = [trial for trial in tune_controller.get_trials() if not trial.is_finished()]
        if chosen is None and left and all(trial.status == "PAUSED" for trial in left):
            self._next_perturbation_sync += self._perturbation_interval
            chosen = super().choose_trial_to_run(tune_controller)
        return chosen


def make_ray_scheduler(scheduler: Scheduler, comparison: Comparison) -> Any:
    """Return Ray's object."""
    compared = {"time_attr": "step", "metric": comparison.metric, "mode": comparison.mode}
    if isinstance(scheduler, Pbt):
        distributions = {option: _distribution(values) for option, values in scheduler.mutations.items()}
        return PopulationGoingOn(
            perturbation_interval=scheduler.interval,
            hyperparam_mutations=distributions,
            quantile_fraction=scheduler.quantile,
            resample_probability=scheduler.resample,
            perturbation_factors=tuple(scheduler.factors),
            custom_explore_fn=functools.partial(explore, dict(scheduler.mutations)),
            synch=scheduler.synchronous,
            **compared,
        )
    return RecordingASHA(
        max_t=comparison.steps,
        grace_period=scheduler.grace_period or min(comparison.eval_every, comparison.steps),
        reduction_factor=scheduler.reduction_factor,
        brackets=scheduler.brackets,
        **compared,
    )


def _distribution(values: tuple[Any, Any] | list[Any]) -> Any:
    """Return what new values are drawn from: evenly on a logarithmic scale where a range is positive."""
    if isinstance(values, list):
        return [float(value) for value in values]
    low, high = map(float, values)
    return tune.loguniform(low, high) if low > 0 else tune.uniform(low, high)
