"""Results of `evaluation.degraded` as Markdown, CSV and JSON, and the probes of the latents."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from iassf_jax.evaluation.degraded import (
    DEGRADED,
    LEARNED,
    RESTORATION,
    RESTORED,
    RULE,
    TOLD,
    UNTOLD,
    DegradedEvaluation,
    Latents,
)
from iassf_jax.evaluation.latent_probe import linear_probe, nearest_neighbour_probe
from iassf_jax.evaluation.lure_published import SOURCE, published_degraded, published_fusion
from iassf_jax.metrics import METRICS
from iassf_jax.metrics.folders import Measurements
from iassf_jax.metrics.report import rank, shown, summaries
from iassf_jax.metrics.summary import Comparison, compare, summarise

_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
_PSNR, _SSIM = RESTORATION
_MODALITIES = {"visible": False, "infrared": True}
_PROBE_FOLDS = 5


def probes(latents: Latents) -> dict[str, dict[str, float]]:
    """Return for each modality how well probes tell its degradations apart, and what chance would give.

    The two modalities are probed apart: the network is told which one an image is of.
    """
    return {
        name: {
            "linear": _linear(*vectors),
            "nearest": nearest_neighbour_probe(*vectors),
            "chance": float(np.bincount(vectors[1]).max() / len(vectors[1])),
        }
        for name, vectors in _by_modality(latents)
    }


def linear_probes(latents: Latents) -> dict[str, float]:
    """Return "linear" of `probes` for each modality."""
    return {name: _linear(*vectors) for name, vectors in _by_modality(latents)}


def _by_modality(latents: Latents) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Yield (name, (features, labels, scenes)) of the modalities that can be probed."""
    for name, infrared in _MODALITIES.items():
        chosen = np.flatnonzero(np.array(latents.infrared) == infrared)
        _, labels = np.unique(np.array(latents.kinds)[chosen], return_inverse=True)
        _, scenes = np.unique(np.array(latents.scenes)[chosen], return_inverse=True)
        if len(set(labels.tolist())) > 1 and len(set(scenes.tolist())) > 1:
            yield name, (latents.features[chosen], labels, scenes)


def _linear(features: np.ndarray, labels: np.ndarray, scenes: np.ndarray) -> float:
    return linear_probe(features, labels, scenes, folds=min(_PROBE_FOLDS, int(scenes.max()) + 1))


def gains(restoration: Mapping[str, Measurements]) -> dict[str, Comparison]:
    """Return for each degradation by how many dB the restored image is closer to the clean one."""
    return {
        kind: compare(run.of(RESTORED, _PSNR), run.of(DEGRADED, _PSNR))
        for kind, run in restoration.items()
        if DEGRADED in run.values
    }


def tables_markdown(evaluation: DegradedEvaluation, *, data_set: str | None = None) -> str:
    """Return all tables; with `data_set` LURE's published values stand beside the fusion's."""
    count = len(evaluation.fusion.names)
    sections = [
        (f"Restoration, {count} scenes", restoration_markdown(evaluation.restoration)),
        ("Fusion of clean pairs", _fusion(evaluation.fusion, published_fusion(data_set) if data_set else {})),
        *(
            (f"Fusion under {name}", _fusion(run, published_degraded(name)) + _told(run))
            for name, run in evaluation.degraded_fusion.items()
        ),
    ]
    if found := probes(evaluation.latents):
        sections.append(("Degradation in the latents", _probes(found)))
    return "\n".join(f"## {title}\n\n{text}" for title, text in sections)


def images_csv(evaluation: DegradedEvaluation) -> str:
    """Return a line for each part, condition, method and scene."""
    text = io.StringIO()
    metrics = list(dict.fromkeys(m for _, _, run in _parts(evaluation) for m in run.metrics))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "condition", "method", "name", *metrics])
    for part, condition, run in _parts(evaluation):
        for method, rows in run.values.items():
            for name, row in zip(run.names, rows, strict=True):
                values = dict(zip(run.metrics, row, strict=True))
                cells = (_cell(values.get(metric, math.nan)) for metric in metrics)
                writer.writerow([part, condition, method, name, *cells])
    return text.getvalue()


def summary_json(evaluation: DegradedEvaluation, settings: Mapping[str, Any]) -> str:
    """Return settings, summaries of every part, gains and paired differences, and the probes."""
    content: dict[str, Any] = {"settings": dict(settings), "gain_db": {}, "fusion_minus_rule": {}}
    content["gain_db"] = {kind: vars(gain) for kind, gain in gains(evaluation.restoration).items()}
    content["fusion_minus_rule"] = _differences(evaluation.fusion, LEARNED, RULE)
    content["told_minus_untold"] = {
        name: _differences(run, TOLD, UNTOLD)
        for name, run in evaluation.degraded_fusion.items()
        if UNTOLD in run.values
    }
    for part, condition, run in _parts(evaluation):
        content.setdefault(part, {})[condition] = {
            method: {metric: vars(value) for metric, value in row.items()}
            for method, row in summaries(run).items()
        }
    content["probes"] = probes(evaluation.latents)
    return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _parts(evaluation: DegradedEvaluation) -> Iterator[tuple[str, str, Measurements]]:
    yield from (("restoration", kind, run) for kind, run in evaluation.restoration.items())
    yield "fusion", "PD", evaluation.fusion
    yield from (("fusion", name, run) for name, run in evaluation.degraded_fusion.items())


def restoration_markdown(restoration: Mapping[str, Measurements]) -> str:
    """Return PSNR and SSIM before and after, and the gain, by degradation."""
    gained = gains(restoration)
    lines = [["", "PSNR before", "PSNR after", "gain (dB) [95 %]", "SSIM before", "SSIM after"]]
    for kind, run in restoration.items():
        before, after = ([summarise(run.of(m, metric)).mean for metric in RESTORATION] for m in _pair(run))
        gain = gained.get(kind)
        text = "" if gain is None else _difference(gain, 2)
        first = ["", ""] if gain is None else [f"{before[0]:.2f}", f"{before[1]:.4f}"]
        lines.append([kind, first[0], f"{after[0]:.2f}", text, first[1], f"{after[1]:.4f}"])
    return _table(lines)


def _pair(run: Measurements) -> tuple[str, str]:
    """Names of what comes before and after; a clean image has but one."""
    methods = list(run.values)
    return methods[0], methods[-1]


def _fusion(run: Measurements, published: Mapping[str, Mapping[str, float]]) -> str:
    means = summaries(run)
    titles = [f"{METRICS[m].title}{_ARROWS[METRICS[m].direction]}" for m in run.metrics]
    lines = [["", *titles]]
    for method, row in means.items():
        cells = [(rank(means, method, m), shown(row[m].mean)) for m in run.metrics]
        lines.append([method, *(f"**{text}**" if place == 1 else text for place, text in cells)])
    if any(metric in run.metrics for row in published.values() for metric in row):
        lines.append([f"*{SOURCE}*", *[""] * len(run.metrics)])
        for method, values in published.items():
            lines.append([method, *(shown(values[m]) if m in values else "" for m in run.metrics)])
    return _table(lines)


def _told(run: Measurements) -> str:
    if UNTOLD not in run.values:
        return ""
    better = compare(run.of(TOLD, _SSIM), run.of(UNTOLD, _SSIM))
    return f"\nSSIM to the fusion of the clean pair, {TOLD} less {UNTOLD}: {_difference(better, 4)}.\n"


def _difference(found: Comparison, digits: int) -> str:
    """With its interval where there is one: not of one scene, nor where values are infinite."""
    value = "–" if found.count == 0 else f"{found.difference:+.{digits}f}"
    if found.infinite:
        return f"{value} ({found.count} of {found.count + found.infinite} scenes: {found.infinite} infinite)"
    return value if math.isnan(found.low) else f"{value} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def _probes(found: Mapping[str, Mapping[str, float]]) -> str:
    lines = [["accuracy of a probe", "linear", "nearest neighbour", "chance"]]
    lines += [
        [name, *(f"{values[key]:.3f}" for key in ("linear", "nearest", "chance"))]
        for name, values in found.items()
    ]
    return _table(lines)


def _table(lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:])) + "\n"


def _differences(run: Measurements, first: str, second: str) -> dict[str, dict[str, float]]:
    return {metric: vars(compare(run.of(first, metric), run.of(second, metric))) for metric in run.metrics}


def _cell(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _plain(value) for key, value in content.items()}
    return None if isinstance(content, float) and not math.isfinite(content) else content
