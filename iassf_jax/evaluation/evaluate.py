"""A network, and rivals without learning, on data sets: images, and metrics of every image.

Fused images are measured against the clear visible and the infrared image, as the paper's tables are;
restored images (and the hazy input, and what the dark channel prior makes of it) against the clear one. All
values are those of 8-bit images, as they would be written to files.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from data_pipelines.decode import ImageError
from iassf_jax.core.errors import IassfError, InputError
from iassf_jax.core.images import to_uint8
from iassf_jax.evaluation.baselines import (
    DARK_CHANNEL,
    RESTORED,
    check_names,
    fuse_by,
    remove_haze,
    uses_dark_channel,
)
from iassf_jax.evaluation.measuring import Measurer, Row
from iassf_jax.evaluation.scenes import Place, Scene, SceneHaze, describe_scene, transmission_of_pair
from iassf_jax.inference import Fuser, FusionResult
from iassf_jax.inference.buckets import MAX_SHAPES, Size, plan_buckets
from iassf_jax.inference.inputs import SMALLEST_SIDE, format_size, prepare_pair
from iassf_jax.metrics import RESTORATION, Models, why_not_computed
from iassf_jax.metrics.canvas import canvases
from iassf_jax.metrics.folders import Measurements
from iassf_jax.metrics.missing import Missing
from iassf_jax.metrics.models import SHIPPED

INPUT = "hazy input"
_READERS = 4  # threads that decode the next batch
_SCENE_ERRORS = (IassfError, ImageError, OSError, MemoryError, jax.errors.JaxRuntimeError)

Colour = UInt8[np.ndarray, "h w 3"]
Pictures = Mapping[str, UInt8[np.ndarray, "h w *c"]]


@dataclasses.dataclass(frozen=True)
class Options:
    """What is computed.

    Attributes:
      method: name of the network in the tables.
      metrics: keys of `METRICS` for fused images.
      baselines: rivals, see `baselines`.
      haze: puts clear scenes into haze; None takes the hazy images of the files.
      batch: images that the network is given at a time.
      max_shapes: padded shapes for images of mixed sizes, see `inference.buckets`.
      models: of learned metrics.
      devices: images are measured one on each of these at a time; without, on the default device.
    """

    method: str
    metrics: Sequence[str]
    baselines: tuple[str, ...] = ()
    haze: SceneHaze | None = None
    batch: int = 1
    max_shapes: int = MAX_SHAPES
    models: Models = SHIPPED
    devices: Sequence[jax.Device] = ()


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Results in the order of the places; what failed is in `fusion.problems` only.

    `fusion` has the network's and the baselines' fused images, `restoration` the restored ones; both hold the
    scenes of `scenes`, by names "DATA/NAME".
    """

    scenes: Sequence[Scene]
    fusion: Measurements
    restoration: Measurements


@dataclasses.dataclass(frozen=True)
class _Done:
    """The values of one scene: method -> metric -> value."""

    scene: Scene
    fusion: Mapping[str, Mapping[str, float]]
    restoration: Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class _Made:
    """The images of one scene, still to be measured."""

    scene: Scene
    clear: Colour
    infrared: UInt8[np.ndarray, "h w"]
    fused: Mapping[str, Colour]
    restored: Mapping[str, Colour]

    def fused_rows(self) -> dict[str, Row]:
        return {name: Row(self.clear, self.infrared, image) for name, image in self.fused.items()}

    def restored_rows(self) -> dict[str, Row]:
        return {
            name: Row(self.clear, self.infrared, image, self.clear) for name, image in self.restored.items()
        }


def evaluate_places(
    fuser: Fuser,
    places: Sequence[Place],
    options: Options,
    *,
    on_images: Callable[[Scene, Pictures], None] = lambda scene, pictures: None,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Fuse and measure all scenes; one that fails is reported with the reason, the others go on.

    Args:
      fuser: the network.
      places: see `scenes.list_places`.
      options: what is computed.
      on_images: called with each scene and its images "hazy", "restored", "fused", "haze" (the density) and
        those of the baselines by their names.
      on_done: called with the numbers of scenes done and in all.

    Raises:
      InputError: no scenes, none that could be evaluated, or unknown metrics or baselines.
    """
    if not places:
        raise InputError("there are no scenes to evaluate")
    check_names(options.baselines)
    why_not_computed(options.metrics, (0, 0))  # refuses unknown names before any work
    run = _Run(fuser, places, options, on_images)
    total = len(places)
    with ThreadPoolExecutor(_READERS) as readers:
        for numbers, examples in run.read(readers):
            run.compute(numbers, examples)
            on_done(len(run.done) + len(run.problems), total)
    return run.result()


class _Run:
    """The state of one evaluation; every method runs in the calling thread."""

    def __init__(
        self,
        fuser: Fuser,
        places: Sequence[Place],
        options: Options,
        on_images: Callable[[Scene, Pictures], None],
    ):
        self.fuser, self.places, self.options, self.on_images = fuser, places, options, on_images
        self.done: dict[int, _Done] = {}
        self.problems: dict[int, str] = {}
        self.missing = Missing()
        self._measurer = Measurer(
            options.devices, canvases=canvases(place.size for place in places), models=options.models
        )

    def read(self, readers: ThreadPoolExecutor) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
        """Yield batches of scenes of one shape with their numbers; the next one is read meanwhile."""
        waiting: list[tuple[list[int], list[Future]]] = []
        for numbers in [*self._batches(), None]:
            if numbers is not None:
                futures = [readers.submit(self._read, number) for number in numbers]
                waiting.append((numbers, futures))
            if len(waiting) > (numbers is not None):
                yield self._collect(*waiting.pop(0))

    def compute(self, numbers: Sequence[int], examples: Sequence[Mapping[str, Any]]) -> None:
        """Fuse and measure a batch."""
        if not numbers:
            return
        try:
            hazed = [self._haze(example) for example in examples]
            pairs = [
                prepare_pair(hazy, example["infrared"], "full")
                for (hazy, _, _), example in zip(hazed, examples, strict=True)
            ]
            shape = self._shapes[_size(examples[0])]
            if shape is None:
                results = [self.fuser.fuse_prepared([pair])[0] for pair in pairs]
            else:
                results = self.fuser.fuse_prepared(pairs, shape=shape, batch=self.options.batch)
        except _SCENE_ERRORS as error:
            for number in numbers:
                self._fail(number, error)
            return
        made = {}
        done = zip(numbers, examples, hazed, results, strict=True)
        for number, example, (hazy, haze, mean), result in done:
            scene = describe_scene(self.places[number].data, example, haze=haze, mean_transmission=mean)
            try:
                made[number] = self._made(scene, example, hazy, result)
            except _SCENE_ERRORS as error:
                self._fail(number, error)
        self._measure(made)

    def result(self) -> Evaluation:
        """Put the scenes' values together.

        Raises:
          InputError: not one scene could be evaluated.
        """
        numbers = sorted(self.done)
        found = [self.done[number] for number in numbers]
        names = [f"{done.scene.data}/{done.scene.name}" for done in found]
        problems = [self.problems[number] for number in sorted(self.problems)]
        if not found:
            raise InputError(f"none of {len(problems)} scenes could be evaluated: {'; '.join(problems[:3])}")
        fusion = _measurements(names, self.options.metrics, [done.fusion for done in found])
        restoration = _measurements(names, RESTORATION, [done.restoration for done in found])
        fusion.problems, fusion.not_computed = problems, self.missing.not_computed(len(found))
        fusion.no_value = self.missing.no_value
        return Evaluation([done.scene for done in found], fusion, restoration)

    def _batches(self) -> list[list[int]]:
        """Numbers of the scenes, put together by the shape in which the network computes them."""
        sizes = {number: place.size for number, place in enumerate(self.places)}
        for number, size in sizes.items():
            if min(size) < SMALLEST_SIDE:
                self._fail(number, InputError(f"is {format_size(size)}: below {SMALLEST_SIDE} pixels"))
        sizes = {number: size for number, size in sizes.items() if number not in self.problems}
        whole = [size for size in sizes.values() if not self.fuser.needs_tiling(size)]
        self._shapes: dict[Size, Size | None] = dict.fromkeys(sizes.values())
        self._shapes |= plan_buckets(whole, max_shapes=self.options.max_shapes, max_area=self.fuser.tile**2)
        by_shape: dict[Size | None, list[int]] = {}
        for number, size in sizes.items():
            by_shape.setdefault(self._shapes[size], []).append(number)
        return [
            numbers[start : start + self.options.batch]
            for numbers in by_shape.values()
            for start in range(0, len(numbers), self.options.batch)
        ]

    def _read(self, number: int) -> dict[str, Any]:
        place = self.places[number]
        return place.examples[place.index]

    def _collect(
        self, numbers: Sequence[int], futures: Sequence[Future]
    ) -> tuple[list[int], list[dict[str, Any]]]:
        kept, examples = [], []
        for number, future in zip(numbers, futures, strict=True):
            try:
                examples.append(future.result())
                kept.append(number)
            except _SCENE_ERRORS as error:
                self._fail(number, error)
        return kept, examples

    def _haze(self, example: Mapping[str, Any]) -> tuple[Colour, str, float]:
        if self.options.haze is not None:
            return self.options.haze(example)
        hazy = example["visible_hazy"]
        return hazy, "file", transmission_of_pair(example["visible_clear"], hazy)

    def _made(self, scene: Scene, example: Mapping[str, Any], hazy: Colour, result: FusionResult) -> "_Made":
        """Make the rivals' images and hand all images out."""
        options, infrared = self.options, example["infrared"][:, :, 0]
        visible = {"": hazy, RESTORED: result.restored}
        restored = {options.method: result.restored, INPUT: hazy}
        if uses_dark_channel(options.baselines):
            restored[DARK_CHANNEL] = visible[DARK_CHANNEL] = remove_haze(hazy)
        rivals = {name: fuse_by(name, visible, infrared) for name in options.baselines}
        network = {"restored": result.restored, "fused": result.fused, "haze": to_uint8(result.haze_density)}
        self.on_images(scene, {"hazy": hazy, **network, **rivals})
        fused = {options.method: result.fused, **rivals}
        return _Made(scene, example["visible_clear"], infrared, fused, restored)

    def _measure(self, made: Mapping[int, "_Made"]) -> None:
        """Measure scenes, those of one size together."""
        by_size: dict[Size, list[int]] = {}
        for number, scene in made.items():
            by_size.setdefault((scene.clear.shape[0], scene.clear.shape[1]), []).append(number)
        for size, numbers in by_size.items():
            reasons = why_not_computed(self.options.metrics, size, models=self.options.models)
            try:
                scenes = [made[number] for number in numbers]
                fusion = self._values([scene.fused_rows() for scene in scenes], self.options.metrics)
                restoration = self._values([scene.restored_rows() for scene in scenes], RESTORATION)
            except _SCENE_ERRORS as error:
                for number in numbers:
                    self._fail(number, error)
                continue
            for number, scene, *values in zip(numbers, scenes, fusion, restoration, strict=True):
                self.done[number] = _Done(scene.scene, *values)
                for method, own in values[0].items():
                    self.missing.add(number, method, own, reasons)

    def _values(
        self, scenes: Sequence[Mapping[str, Row]], metrics: Sequence[str]
    ) -> list[dict[str, dict[str, float]]]:
        """Return scene by scene method -> metric -> value."""
        rows = [row for methods in scenes for row in methods.values()]
        values = iter(self._measurer(rows, metrics))
        return [{method: next(values) for method in methods} for methods in scenes]

    def _fail(self, number: int, error: BaseException) -> None:
        place = self.places[number]
        self.problems[number] = f"{place.data}/{place.name}: {' '.join(str(error).split())[:400]}"


def _measurements(
    names: list[str], metrics: Sequence[str], found: Sequence[Mapping[str, Mapping[str, float]]]
) -> Measurements:
    methods = list(found[0]) if found else []
    values = {
        method: np.array([[done[method].get(metric, math.nan) for metric in metrics] for done in found])
        for method in methods
    }
    return Measurements(names, list(metrics), values, [], {})


def _size(example: Mapping[str, Any]) -> Size:
    height, width = example["visible_clear"].shape[:2]
    return height, width
