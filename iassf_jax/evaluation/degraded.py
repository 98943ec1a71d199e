"""How well a network that is told what is wrong with its images restores and fuses them, by degradation.

For each degradation: the restored image against the clean one. For clean pairs: the network's fusion against
that of its rule alone. For pairs with something wrong: the fusion told so against the fusion told nothing,
both also compared with what the network makes of the clean pair.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from data_pipelines.degradations import DEGRADATIONS
from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.degraded_programs import DegradedPrograms
from iassf_jax.evaluation.degraded_scenes import SINGLE, Condition, Degrader
from iassf_jax.metrics import evaluate
from iassf_jax.metrics.folders import Measurements
from iassf_jax.text import CLEAN

DEGRADED, RESTORED, RECONSTRUCTED = "degraded", "restored", "reconstructed"
LEARNED, RULE = "learned", "rule alone"
TOLD, UNTOLD = "told", "told nothing"
RESTORATION = ("restoration_psnr", "restoration_ssim")
FUSION = ("cc", "q_scd", "psnr", "ssim", "ms_ssim", "q_sf", "ag", "sd", "en", "psnr_tang_half")

Gray = UInt8[np.ndarray, "h w 1"]
Colour = UInt8[np.ndarray, "h w 3"]
Pictures = Callable[[str, Mapping[str, np.ndarray]], None]


@dataclasses.dataclass(frozen=True)
class DegradedOptions:
    """What is evaluated."""

    kinds: tuple[str, ...] = SINGLE  # degradations of single images, which are restored
    conditions: tuple[Condition, ...] = ()  # degradations of pairs, which are fused
    metrics: tuple[str, ...] = FUSION  # of fused images
    seed: int = 0  # of what is drawn for the degradations
    haze: str = "reside_its"  # recipe of HZ
    neutral: bool = True  # fuse also without telling what is wrong


@dataclasses.dataclass(frozen=True)
class Latents:
    """Means over the pixels of every level's latents, one vector for each image."""

    features: Float32[np.ndarray, "n d"]
    kinds: list[str]  # degradation, "PD" for none
    infrared: list[bool]
    scenes: list[str]


@dataclasses.dataclass(frozen=True)
class DegradedEvaluation:
    """Results; every `Measurements` has a value for each method, scene and metric.

    Attributes:
      restoration: degradation -> "degraded" and "restored" against the clean image; "PD visible" and
        "PD infrared" have "reconstructed", which is what encoding and decoding leaves of a clean image.
      fusion: "learned" and "rule alone" of clean pairs.
      degraded_fusion: condition -> "told" and "told nothing" against the clean sources; the metrics of
        restoration are against the network's own fusion of the clean pair.
      latents: of all restored images.
    """

    restoration: dict[str, Measurements]
    fusion: Measurements
    degraded_fusion: dict[str, Measurements]
    latents: Latents


def evaluate_degraded(
    programs: DegradedPrograms,
    examples: Iterable[Mapping[str, Any]],
    options: DegradedOptions,
    *,
    on_pictures: Pictures = lambda name, images: None,
    on_done: Callable[[int], None] = lambda done: None,
) -> DegradedEvaluation:
    """Evaluate all conditions on all scenes.

    Args:
      programs: the network.
      examples: of `data_pipelines.folder.evaluation_examples`.
      options: what is evaluated.
      on_pictures: called with "SCENE CONDITION" and the images of each.
      on_done: called after every scene with how many are done.

    Raises:
      InputError: no examples, or a text backend that lacks a prompt.
    """
    collected = _Collected(options, programs, on_pictures)
    for done, example in enumerate(examples, start=1):
        collected.add(example)
        on_done(done)
    return collected.results()


class _Collected:
    """Values of all scenes so far."""

    def __init__(self, options: DegradedOptions, programs: DegradedPrograms, on_pictures: Pictures):
        self._options, self._programs, self._on_pictures = options, programs, on_pictures
        self._degrader = Degrader(seed=options.seed, haze=options.haze)
        self._names: list[str] = []
        self._rows: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = {}
        self._latents: list[tuple[np.ndarray, str, bool, str]] = []

    def add(self, example: Mapping[str, Any]) -> None:
        """Restore and fuse one scene."""
        self._names.append(example["name"])
        for infrared in (False, True):
            self._restore(example, CLEAN, infrared)
        for kind in self._options.kinds:
            self._restore(example, kind, DEGRADATIONS[kind].modality == 1)
        clean = self._fuse_clean(example)
        for condition in self._options.conditions:
            self._fuse(example, condition, clean)

    def results(self) -> DegradedEvaluation:
        """Return what the scenes so far gave.

        Raises:
          InputError: there were none.
        """
        if not self._names:
            raise InputError("there are no scenes to evaluate")
        features, kinds, infrared, scenes = (list(column) for column in zip(*self._latents, strict=True))
        parts: dict[str, dict[str, Measurements]] = {}
        for (part, name), values in self._rows.items():
            parts.setdefault(part, {})[name] = _measurements(self._names, values)
        return DegradedEvaluation(
            parts["restoration"],
            parts["clean"][CLEAN],
            parts.get("fusion", {}),
            Latents(np.stack(features), kinds, infrared, scenes),
        )

    def _restore(self, example: Mapping[str, Any], kind: str, infrared: bool) -> None:
        clean = example["infrared"] if infrared else example["visible_clear"]
        degraded = self._degrader.image(example["name"], clean, kind)
        restored, pooled = self._programs.restore(degraded, kind, infrared=infrared)
        self._latents.append((pooled, kind, infrared, example["name"]))
        reference = np.broadcast_to(clean, restored.shape)
        if kind == CLEAN:
            row, images = f"{CLEAN} {'infrared' if infrared else 'visible'}", {RECONSTRUCTED: restored}
        else:
            row, images = kind, {DEGRADED: np.broadcast_to(degraded, restored.shape), RESTORED: restored}
            self._on_pictures(f"{example['name']} {kind}", {**images, "clean": reference})
        for method, image in images.items():
            values = evaluate(reference, reference, image, reference=reference, names=RESTORATION)
            self._note("restoration", row, method, values)

    def _fuse_clean(self, example: Mapping[str, Any]) -> Colour:
        visible, infrared = example["visible_clear"], example["infrared"]
        learned = self._programs.fuse(visible, infrared, Condition())
        ruled = self._programs.fuse_by_rule(visible, infrared)
        for method, fused in ((LEARNED, learned), (RULE, ruled)):
            values = evaluate(visible, infrared, fused, names=self._options.metrics)
            self._note("clean", CLEAN, method, values)
        images = {"visible": visible, "infrared": infrared, RULE: ruled, LEARNED: learned}
        self._on_pictures(f"{example['name']} {CLEAN}", images)
        return learned

    def _fuse(self, example: Mapping[str, Any], condition: Condition, clean: Colour) -> None:
        scene = self._degrader.scene(example, condition)
        told = {TOLD: condition} | ({UNTOLD: Condition()} if self._options.neutral else {})
        fused = {
            method: self._programs.fuse(scene.visible, scene.infrared, said) for method, said in told.items()
        }
        names = (*self._options.metrics, *RESTORATION)
        for method, image in fused.items():
            values = evaluate(scene.clean_visible, scene.clean_infrared, image, reference=clean, names=names)
            self._note("fusion", condition.name, method, values)
        sources = {"visible": scene.visible, "infrared": scene.infrared}
        self._on_pictures(f"{scene.name} {condition.name}", {**sources, **fused, "clean pair": clean})

    def _note(self, part: str, name: str, method: str, values: dict[str, float]) -> None:
        self._rows.setdefault((part, name), {}).setdefault(method, []).append(values)


def _measurements(names: Sequence[str], rows: Mapping[str, Sequence[Mapping[str, float]]]) -> Measurements:
    metrics = list(next(iter(rows.values()))[0])
    values = {
        method: np.array([[row[metric] for metric in metrics] for row in found])
        for method, found in rows.items()
    }
    return Measurements(list(names), metrics, values, [], {})
