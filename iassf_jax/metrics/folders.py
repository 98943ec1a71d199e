"""Measures folders of images matched by name; what cannot be measured is listed, never dropped silently."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from data_pipelines.decode import ImageError, image_size, list_images, read_infrared, read_visible
from iassf_jax.core.errors import InputError
from iassf_jax.metrics.baselines import BASELINES
from iassf_jax.metrics.canvas import canvases
from iassf_jax.metrics.host import evaluate, why_not_computed
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
    """

    names: list[str]
    metrics: list[str]
    values: dict[str, np.ndarray]
    problems: list[str]
    not_computed: dict[str, str]

    def of(self, method: str, metric: str) -> np.ndarray:
        """The values of one metric for one method, image by image."""
        return self.values[method][:, self.metrics.index(metric)]


@dataclasses.dataclass(frozen=True)
class _Programs:
    """With what images are measured; `canvases` lets images of different sizes share a compiled program."""

    precision: str
    models: Models
    canvases: Mapping[tuple[int, int], tuple[int, int]]


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
    in `problems`.

    Raises:
      InputError: a folder is missing, no name occurs in both source folders, or a metric is unknown.
    """
    why_not_computed(metrics, (0, 0))  # refuses unknown names before any work
    sources = {"visible": _by_name(visible), "infrared": _by_name(infrared)}
    if reference is not None:
        sources["reference"] = _by_name(reference)
    fused = {name: _by_name(method) for name, method in methods.items() if isinstance(method, Path)}
    names = sorted(set.intersection(*(set(files) for files in sources.values())))
    if not names:
        firsts = "; ".join(f"{kind}: {', '.join(sorted(files)[:3])}" for kind, files in sources.items())
        raise InputError(f"no name occurs in all folders ({firsts or 'no images'})")
    run = Measurements(names, list(metrics), {}, [*_unmatched(sources, names), *_unmatched(fused, names)], {})
    run.values = {name: np.full((len(names), len(metrics)), math.nan) for name in methods}
    programs = _Programs(precision, models, canvases(_sizes(sources["visible"][name] for name in names)))
    for i, name in enumerate(names):
        files = {kind: by_name[name] for kind, by_name in sources.items()}
        _measure_scene(run, i, files, methods, fused, programs)
        on_done(i + 1, len(names))
    return run


def _measure_scene(
    run: Measurements,
    index: int,
    files: Mapping[str, Path],
    methods: Mapping[str, Method],
    fused: Mapping[str, Mapping[str, Path]],
    programs: _Programs,
) -> None:
    name = run.names[index]
    try:
        images = {kind: _read(kind, path) for kind, path in files.items()}
    except (ImageError, InputError) as error:
        run.problems.append(f"{name}: {error}")
        return
    for method, given in methods.items():
        try:
            if isinstance(given, str):
                image = BASELINES[given](images["visible"], images["infrared"])
            elif name in fused[method]:
                image = read_visible(fused[method][name])
            else:
                run.problems.append(f"{name}: {method} has no fused image of this name")
                continue
            values = _evaluate(run, images, image, programs)
        except (ImageError, ValueError) as error:
            run.problems.append(f"{name}, {method}: {error}")
            continue
        run.values[method][index] = [values[metric] for metric in run.metrics]


def _evaluate(
    run: Measurements,
    images: Mapping[str, np.ndarray],
    fused: UInt8[np.ndarray, "h w 3"],
    programs: _Programs,
) -> dict[str, float]:
    reference = images.get("reference")
    size = (fused.shape[0], fused.shape[1])
    reasons = why_not_computed(run.metrics, size, has_reference=reference is not None, models=programs.models)
    run.not_computed.update(reasons)
    return evaluate(
        images["visible"],
        images["infrared"],
        fused,
        reference=reference,
        names=run.metrics,
        precision=programs.precision,
        models=programs.models,
        canvas=programs.canvases.get(size),
    )


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


def _by_name(folder: Path) -> dict[str, Path]:
    try:
        return {path.stem: path for path in list_images(folder)}
    except ImageError as error:
        raise InputError(str(error)) from error


def _unmatched(folders: Mapping[str, Mapping[str, Path]], names: Sequence[str]) -> list[str]:
    known = set(names)
    return [
        f"{name}: only in {folder}, not in all source folders"
        for folder, files in folders.items()
        for name in sorted(set(files) - known)
    ]
