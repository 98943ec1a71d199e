"""Measures folders of images matched by name; what cannot be measured is listed, never dropped silently."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_pipelines.decode import ImageError, image_size, images_by_stem, read_infrared, read_visible
from iassf_jax.core.errors import InputError
from iassf_jax.metrics.baselines import BASELINES
from iassf_jax.metrics.canvas import canvases
from iassf_jax.metrics.host import evaluate, why_not_computed
from iassf_jax.metrics.missing import Missing
from iassf_jax.metrics.models import SHIPPED, Models

Method = Path | str  # a folder of fused images, or the name of a baseline


@dataclasses.dataclass
class Measurements:
    """Values of every method and image, NaN where there is none.

    Attributes:
      names: of the images, sorted.
      metrics: names of the metrics.
      values: for each method an array [image, metric].
      problems: images or files without values, with the reason.
      not_computed: metrics without a value for some image, with the reason.
      no_value: metric -> method -> number of images without a value though nothing was against one.
    """

    names: list[str]
    metrics: list[str]
    values: dict[str, np.ndarray]
    problems: list[str]
    not_computed: dict[str, str]
    no_value: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def of(self, method: str, metric: str) -> np.ndarray:
        """The values of one metric for one method, image by image."""
        return self.values[method][:, self.metrics.index(metric)]


@dataclasses.dataclass(frozen=True)
class _Programs:
    """With what images are measured; `canvases` lets images of different sizes share a compiled program.

    What images lack is collected in `missing`.
    """

    precision: str
    models: Models
    canvases: Mapping[tuple[int, int], tuple[int, int]]
    missing: Missing


def measure_folders(
    visible: Path,
    infrared: Path,
    methods: Mapping[str, Method],
    *,
    metrics: Sequence[str],
    reference: Path | None = None,
    precision: str = "float32",
    models: Models = SHIPPED,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Measurements:
    """Measure every method on the images whose names occur in `visible` and `infrared`.

    A method without an image, or with one that cannot be read or has another size, gets NaN for it and a line
    in `problems`; so does a name that several files of a folder have.

    Raises:
      InputError: a folder is missing, no name occurs in both source folders, or a metric is unknown.
    """
    why_not_computed(metrics, (0, 0))  # refuses unknown names before any work
    sources = {"visible": _by_stem(visible), "infrared": _by_stem(infrared)}
    if reference is not None:
        sources["reference"] = _by_stem(reference)
    fused = {name: _by_stem(method) for name, method in methods.items() if isinstance(method, Path)}
    names = sorted(set.intersection(*(set(files) for files in sources.values())))
    if not names:
        firsts = "; ".join(f"{kind}: {', '.join(sorted(files)[:3])}" for kind, files in sources.items())
        raise InputError(f"no name occurs in all folders ({firsts or 'no images'})")
    run = Measurements(names, list(metrics), {}, [*_unmatched(sources, names), *_unmatched(fused, names)], {})
    run.values = {name: np.full((len(names), len(metrics)), math.nan) for name in methods}
    sizes = _sizes(path for name in names for path in sources["visible"][name])
    programs = _Programs(precision, models, canvases(sizes), Missing())
    for i, name in enumerate(names):
        files = {kind: by_name[name] for kind, by_name in sources.items()}
        _measure_scene(run, i, files, methods, fused, programs)
        on_done(i + 1, len(names))
    run.not_computed = programs.missing.not_computed(len(names))
    run.no_value = programs.missing.no_value
    return run


def _measure_scene(
    run: Measurements,
    index: int,
    files: Mapping[str, Sequence[Path]],
    methods: Mapping[str, Method],
    fused: Mapping[str, Mapping[str, Sequence[Path]]],
    programs: _Programs,
) -> None:
    name = run.names[index]
    try:
        images = {kind: _read(kind, _only(kind, paths)) for kind, paths in files.items()}
    except (ImageError, InputError) as error:
        run.problems.append(f"{name}: {error}")
        return
    for method, given in methods.items():
        try:
            if isinstance(given, str):
                image = BASELINES[given](images["visible"], images["infrared"])
            elif name in fused[method]:
                image = read_visible(_only("fused", fused[method][name]))
            else:
                run.problems.append(f"{name}: {method} has no fused image of this name")
                continue
            values = _evaluate(run, images, image, programs, (name, method))
        except (ImageError, ValueError) as error:
            run.problems.append(f"{name}, {method}: {error}")
            continue
        run.values[method][index] = [values[metric] for metric in run.metrics]


def _evaluate(
    run: Measurements,
    images: Mapping[str, np.ndarray],
    fused: UInt8[np.ndarray, "h w 3"],
    programs: _Programs,
    place: tuple[str, str],
) -> dict[str, float]:
    reference = images.get("reference")
    size = (fused.shape[0], fused.shape[1])
    reasons = why_not_computed(run.metrics, size, has_reference=reference is not None, models=programs.models)
    values = evaluate(
        images["visible"],
        images["infrared"],
        fused,
        reference=reference,
        names=run.metrics,
        precision=programs.precision,
        models=programs.models,
        canvas=programs.canvases.get(size),
    )
    programs.missing.add(*place, values, reasons)
    return values


def _read(kind: str, path: Path) -> UInt8[np.ndarray, "h w *c"]:
    if kind != "infrared":
        return read_visible(path)
    image = read_infrared(path)
    if image.dtype != np.uint8:
        raise InputError(f"{path} has {image.dtype} pixels; metrics need 8-bit infrared, as it was fused")
    return image


def _sizes(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    for path in paths:
        with contextlib.suppress(ImageError):  # reported when the image is read
            yield image_size(path)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    try:
        return images_by_stem(folder)
    except ImageError as error:
        raise InputError(str(error)) from error


def _only(kind: str, paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise InputError(f"several {kind} images have this name: {', '.join(path.name for path in paths)}")
    return paths[0]


def _unmatched(folders: Mapping[str, Mapping[str, Sequence[Path]]], names: Sequence[str]) -> list[str]:
    known = set(names)
    return [
        f"{name}: only in {folder}, not in all source folders"
        for folder, files in folders.items()
        for name in sorted(set(files) - known)
    ]
