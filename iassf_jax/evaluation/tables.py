"""Results of an evaluation as files: per image, in all, and by haze density, light and data set."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from iassf_jax.evaluation.evaluate import Evaluation
from iassf_jax.evaluation.scenes import DENSITIES, LIGHTS, UNKNOWN, Scene
from iassf_jax.metrics.folders import Measurements
from iassf_jax.metrics.report import summaries, to_json, to_markdown

FACTS = tuple(field.name for field in dataclasses.fields(Scene) if field.name != "name")
_TITLES = {"density": "Haze", "light": "Light", "data": "Data"}
_PARTS = {"fusion": "Fused images", "restoration": "Restored images"}


def strata(evaluation: Evaluation) -> Iterator[tuple[str, str, Evaluation]]:
    """Yield (fact, value, the part of the evaluation with it) for what takes more than one value."""
    order = {"density": (*DENSITIES, UNKNOWN), "light": LIGHTS}
    for fact in _TITLES:
        found = [getattr(scene, fact) for scene in evaluation.scenes]
        values = [value for value in order.get(fact, dict.fromkeys(found)) if value in found]
        for value in values if len(values) > 1 else ():
            yield fact, value, _part(evaluation, [i for i, other in enumerate(found) if other == value])


def images_csv(evaluation: Evaluation, part: str) -> str:
    """Return a row for each method and image with the scene's facts; `part` is "fusion" or "restoration".

    The columns "method" and "name" are those of `iassf measure`; an empty cell has no value.
    """
    run: Measurements = getattr(evaluation, part)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "name", *FACTS, *run.metrics])
    for method, values in run.values.items():
        for scene, row in zip(evaluation.scenes, values, strict=True):
            facts = (getattr(scene, fact) for fact in FACTS)
            writer.writerow([method, scene.name, *(_cell(value) for value in (*facts, *row))])
    return text.getvalue()


def summary_json(evaluation: Evaluation, settings: Mapping[str, Any], models: Mapping[str, str]) -> str:
    """Return settings, summaries and paired comparisons in all, and summaries of every stratum.

    Args:
      evaluation: the results.
      settings: what was evaluated and how.
      models: model files that took the place of the shipped ones.
    """
    content: dict[str, Any] = {"settings": dict(settings)}
    for part in _PARTS:
        run = getattr(evaluation, part)
        content[part] = json.loads(to_json(run, summaries(run), models))
    content["strata"] = {}
    for fact, value, subset in strata(evaluation):
        content["strata"].setdefault(fact, {})[value] = {
            "images": len(subset.scenes),
            **{part: _plain(getattr(subset, part)) for part in _PARTS},
        }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def tables_markdown(evaluation: Evaluation) -> str:
    """Return the tables of means in all and of every stratum, the best and second best marked."""
    sections = [("All", evaluation)]
    sections += [(f"{_TITLES[fact]}: {value}", subset) for fact, value, subset in strata(evaluation)]
    lines = []
    for title, subset in sections:
        count = len(subset.scenes)
        lines.append(f"## {title}, {count} image{'s' * (count != 1)}\n")
        for part, heading in _PARTS.items():
            lines.append(f"{heading}\n\n{to_markdown(summaries(getattr(subset, part)))}")
    return "\n".join(lines)


def _part(evaluation: Evaluation, chosen: list[int]) -> Evaluation:
    def part(run: Measurements) -> Measurements:
        values = {method: rows[chosen] for method, rows in run.values.items()}
        return Measurements([run.names[i] for i in chosen], run.metrics, values, [], {})

    scenes = [evaluation.scenes[i] for i in chosen]
    return Evaluation(scenes, part(evaluation.fusion), part(evaluation.restoration))


def _plain(run: Measurements) -> dict[str, Any]:
    return {
        method: {
            metric: {name: _finite(value) for name, value in vars(summary).items()}
            for metric, summary in row.items()
        }
        for method, row in summaries(run).items()
    }


def _finite(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else repr(float(value))
