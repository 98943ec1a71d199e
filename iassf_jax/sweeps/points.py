"""The points of a sweep: which configurations are trained, and under which names.

A sweep file is a configuration file that also has `get_points()`, a generator of overrides such as
{"alpha": 0.5, "model.num_fusion_blocks": 3}. Several of them, and grids, multiply. One of them may have
`get_scheduler()`, see `sweeps.schedulers`.
"""

import ast
import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from iassf_jax.core.config import load_config
from iassf_jax.core.errors import ConfigError
from iassf_jax.core.python_files import packaged_folder, use_file

Overrides = dict[str, Any]
_PROBLEM = "cannot be used as a sweep: {reason}"


@dataclasses.dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    name: str  # of its folder
    overrides: Mapping[str, Any]  # what distinguishes it, {dotted option: value}
    config: ConfigDict  # resolved


def make_points(
    sweep: str | Path,
    *,
    times: Sequence[str | Path] = (),
    grids: Sequence[str] = (),
    base: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> list[Point]:
    """Return the points of a sweep, in the order of the files and their generators.

    Args:
      sweep: a sweep file, or the name of a packaged one ("alpha").
      times: more of them; every point of one is combined with every point of the others.
      grids: "OPTION=VALUE,VALUE,..." words, which multiply too.
      base: configuration that all points start from; the default is `get_config()` of `sweep`.
      overrides: "config.NAME=VALUE" words for all points, see `core.config.load_config`.

    Raises:
      ConfigError: a file or option that does not exist, two factors that set one option, equal points, or a
        word of `overrides` that no point would take.
    """
    files = [_find(file) for file in (sweep, *times)]
    factors = [*(_points_of(file) for file in files), *(_grid(text) for text in grids)]
    start = base or files[0]
    merged = [_merged(parts) for parts in itertools.product(*factors)]
    check_overrides(overrides, merged, advice="leave the word out, or change what the sweep yields")
    points = [make_point(values, start, overrides) for values in merged]
    names = [point.name for point in points]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"points that are equal: {', '.join(twice)}")
    return points


def sweep_scheduler(*sweeps: str | Path) -> dict[str, Any] | None:
    """Return what `get_scheduler()` of these sweep files returns; None where none of them has it.

    Raises:
      ConfigError: a file that does not exist or cannot be used, or two schedulers.
    """
    found = {}
    for path in map(_find, sweeps):
        module = use_file(path, lambda module: module, kind="sweep", problem=_PROBLEM)
        if hasattr(module, "get_scheduler"):
            found[str(path)] = module.get_scheduler()
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(found)} each have a get_scheduler(); there can be one")
    for name, given in found.items():
        if not isinstance(given, Mapping) or "name" not in given:
            raise ConfigError(f'get_scheduler() of {name} returned {given!r}; expected a mapping with "name"')
    return next((dict(given) for given in found.values()), None)


def point_name(overrides: Mapping[str, Any]) -> str:
    """Return a folder name such as "alpha=0.5,num_fusion_blocks=3"."""
    short = [key.rpartition(".")[2] for key in overrides]
    keys = list(overrides) if len(set(short)) < len(short) else short
    text = ",".join(f"{key}={_text(value)}" for key, value in zip(keys, overrides.values(), strict=True))
    return re.sub(r"[^\w.,=+-]+", "_", text) or "base"


def make_point(values: Overrides, base: str | Path, overrides: Sequence[str] = ()) -> Point:
    """Return the point with these values; they count more than the `overrides` of all points.

    Raises:
      ConfigError: a configuration or option that does not exist.
    """
    words = [f"config.{key}={_text(value)}" for key, value in values.items()]
    return Point(point_name(values), values, load_config(base, [*overrides, *words]))


def check_overrides(overrides: Sequence[str], points: Sequence[Overrides], *, advice: str) -> None:
    """Refuse "config.NAME=VALUE" words for options that every one of `points` sets itself.

    Raises:
      ConfigError: such a word; it would be without effect. `advice` ends the message.
    """
    own = set.intersection(*map(set, points)) if points else set()
    for word in overrides:
        option = word.lstrip("-").removeprefix("config.").partition("=")[0]
        if option in own:
            raise ConfigError(f"{word}: each of the runs sets {option} itself; {advice}")


def _merged(parts: Iterable[Overrides]) -> Overrides:
    merged: Overrides = {}
    for part in parts:
        if both := sorted(merged.keys() & part.keys()):
            raise ConfigError(f"two factors of the sweep set {', '.join(both)}")
        merged |= part
    return merged


def _grid(text: str) -> list[Overrides]:
    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise ConfigError(f"grid {text!r}: expected OPTION=VALUE,VALUE,...")
    key = key.strip().removeprefix("config.")
    return [{key: _value(value.strip())} for value in values.split(",")]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _text(value: Any) -> str:
    """Return a value as `load_config` reads it."""
    return "none" if value is None else str(value)


def _find(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if path.is_file():
        return path
    folder = packaged_folder("configs.sweeps")
    packaged = folder / path.with_suffix(".py").name
    if path.parent.as_posix() in (".", "sweeps", "configs/sweeps") and packaged.is_file():
        return packaged
    names = sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")
    raise ConfigError(f"no sweep {str(path)!r}: give a Python file, or one of {', '.join(names)}")


def _points_of(path: Path) -> list[Overrides]:
    module = use_file(path, lambda module: module, kind="sweep", problem=_PROBLEM)
    if not hasattr(module, "get_points"):
        raise ConfigError(f"{path} is no sweep: it has no get_points(), which yields overrides")
    points = [dict(point) for point in module.get_points()]
    if not points:
        raise ConfigError(f"get_points() of {path} yields nothing")
    return points
