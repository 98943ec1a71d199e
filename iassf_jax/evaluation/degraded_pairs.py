"""How well real pairs of a manifest are restored, by degradation; see `data_pipelines.restoration_pairs`."""

from collections.abc import Callable

import numpy as np

from data_pipelines.restoration_pairs import PairExamples
from iassf_jax.evaluation.degraded import DEGRADED, RESTORATION, RESTORED
from iassf_jax.evaluation.degraded_programs import DegradedPrograms
from iassf_jax.evaluation.degraded_scenes import Degrader
from iassf_jax.metrics import evaluate
from iassf_jax.metrics.folders import Measurements


def evaluate_pairs(
    programs: DegradedPrograms,
    examples: PairExamples,
    *,
    seed: int = 0,
    haze: str = "reside_its",
    on_done: Callable[[int], None] = lambda done: None,
) -> dict[str, Measurements]:
    """Return for each task "degraded" and "restored" against the clean image.

    Args:
      programs: the network.
      examples: pairs; a degraded image that is not there is made, at the middle strength.
      seed, haze: of those that are made, see `Degrader`.
      on_done: called after every pair with how many are done.

    Raises:
      ImageError: an image that cannot be read.
    """
    degrader = Degrader(seed=seed, haze=haze)
    rows: dict[str, tuple[list[str], dict[str, list[list[float]]]]] = {}
    for index, pair in enumerate(examples.pairs):
        example = examples[index]
        clean, degraded = example["visible_clear"], example["visible_hazy"]
        if pair.degraded is None:
            source = example["infrared"] if pair.infrared else clean
            degraded = np.broadcast_to(degrader.image(pair.name, source, pair.task), clean.shape)
        restored, _ = programs.restore(degraded, pair.task, infrared=pair.infrared)
        names, values = rows.setdefault(pair.task, ([], {DEGRADED: [], RESTORED: []}))
        names.append(pair.name)
        for method, image in ((DEGRADED, degraded), (RESTORED, restored)):
            found = evaluate(clean, clean, np.asarray(image), reference=clean, names=RESTORATION)
            values[method].append([found[metric] for metric in RESTORATION])
        on_done(index + 1)
    return {
        task: Measurements(names, list(RESTORATION), {m: np.array(v) for m, v in values.items()}, [], {})
        for task, (names, values) in rows.items()
    }
