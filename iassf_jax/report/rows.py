"""Puts results together to rows of a table: runs that differ only in their seed are one row."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from iassf_jax.core.errors import InputError
from iassf_jax.report.names import with_data_sets
from iassf_jax.report.results import DERIVED, Result, Run, differences

_NAMED_BY = 3  # options at most make a label; rows that differ in more are called as their runs


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One line of a table.

    Attributes:
      label: of the line.
      settings: options that distinguish it, by dotted names.
      results: one for each seed.
    """

    label: str
    settings: Mapping[str, Any]
    results: tuple[Result, ...]

    @property
    def seeds(self) -> int:
        """How many runs the row rests on."""
        return len(self.results)

    @property
    def images(self) -> set[str]:
        """Names of those that any of its results has."""
        return {name for result in self.results for name in result.images}

    @property
    def runs(self) -> list[Run]:
        """The runs behind the row; none for methods that are not trained here."""
        return [result.run for result in self.results if result.run is not None and result.of_run]

    @property
    def networks(self) -> list[Run]:
        """The runs whose own output the row is, not what a baseline made of it."""
        return [] if self.results[0].method.startswith(DERIVED) else self.runs

    @property
    def draws(self) -> float:
        """How many times chance had a part in training the row; infinite for what is not trained here."""
        return float(len(self.runs)) or math.inf

    def values(self, metric: str, images: Sequence[str]) -> Float[np.ndarray, "seeds n"]:
        """Return the values of a metric for the images of a table; NaN where a seed has none."""
        found = np.full((len(self.results), len(images)), np.nan)
        for line, result in zip(found, self.results, strict=True):
            if metric in result.metrics:
                number = {name: i for i, name in enumerate(result.images)}
                column = result.values[:, result.metrics.index(metric)]
                line[:] = [column[number[name]] if name in number else np.nan for name in images]
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """What is compared with each other: rows, the images of all of them, and the metrics.

    Attributes:
      part: "fusion" or "restoration".
      rows: in order.
      images: names that occur in any row, sorted.
      metrics: names that occur in any row, in order.
    """

    part: str
    rows: tuple[Row, ...]
    images: tuple[str, ...]
    metrics: tuple[str, ...]


def make_blocks(results: Sequence[Result], *, metrics: Sequence[str] | None = None) -> list[Block]:
    """Return a block for the fused and one for the restored images, as far as there are results.

    Args:
      results: see `read_results`.
      metrics: those to show of the fused images; by default all that the files have.

    Raises:
      InputError: none of the results has a metric that was asked for, or two results are the same seed of
        the same row.
    """
    several = len({result.source for result in results}) > 1
    varied = differences(list({r.run.folder: r.run for r in results if r.run is not None}.values()))
    blocks = []
    for part in dict.fromkeys(result.part for result in results):
        own = _matched([result for result in results if result.part == part])
        known = dict.fromkeys(metric for result in own for metric in result.metrics)
        chosen = tuple(known)
        if metrics is not None and part == "fusion":
            if missing := [metric for metric in metrics if metric not in known]:
                raise InputError(f"no values of {', '.join(missing)}; the files have {', '.join(known)}")
            chosen = tuple(metrics)
        images = tuple(sorted({name for result in own for name in result.images}))
        blocks.append(Block(part, tuple(_rows(own, varied, several=several)), images, chosen))
    return blocks


def _matched(results: Sequence[Result]) -> list[Result]:
    """Give images of one scene the same name where only some of the files know its data set."""
    names = with_data_sets([result.images for result in results])
    return [dataclasses.replace(result, images=own) for result, own in zip(results, names, strict=True)]


def _rows(results: Sequence[Result], varied: Sequence[str], *, several: bool) -> list[Row]:
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        key = _key(result, varied)
        if not result.of_run and any(_same(result, other) for other in groups.get(key, [])):
            continue  # a rival that was measured again beside every run
        groups.setdefault(key, []).append(result)
    rows = []
    for group in groups.values():
        _check_seeds(group)
        rows.append(_row(group, varied, several=several))
    # Trained rows by what distinguishes them, then the others in the order of the files.
    return _told_apart(
        sorted(rows, key=lambda row: (not row.runs, [_order(x) for x in row.settings.values()]))
    )


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, before words."""
    number = isinstance(value, int | float)
    return (not number, float(value) if number else 0.0, str(value))


def _key(result: Result, varied: Sequence[str]) -> tuple:
    if result.weights is not None:
        return (result.method, result.source, result.weights)
    if not result.of_run or result.run is None:
        return (result.method,)
    return (result.method, *(str(result.run.options.get(name)) for name in varied))


def _same(first: Result, second: Result) -> bool:
    return (
        first.images == second.images
        and first.metrics == second.metrics
        and np.allclose(first.values, second.values, rtol=1e-5, equal_nan=True)
    )


def _check_seeds(group: Sequence[Result]) -> None:
    """Refuse what would be counted as seeds but is not: the same run twice, or two methods of one name."""
    seeds = [result.run.seed if result.of_run and result.run is not None else None for result in group]
    if len(set(seeds)) < len(group):
        folders = ", ".join(str(result.folder) for result in group)
        what = f"seed {seeds[0]}" if seeds[0] is not None else f"values of {group[0].method!r} that differ"
        raise InputError(
            f"{what}: several folders of one row ({folders}); report them one by one, or networks as "
            "--workdir LABEL=FOLDER each"
        )


def _row(group: Sequence[Result], varied: Sequence[str], *, several: bool) -> Row:
    first, settings, text = group[0], {}, ""
    if not first.of_run and first.weights is None:
        return Row(first.method, {}, tuple(group))
    if first.of_run and first.run is not None:
        settings = {name: first.run.options[name] for name in varied if name in first.run.options}
        text = ", ".join(f"{name.rpartition('.')[2]}={_short(value)}" for name, value in settings.items())
        if len(varied) > _NAMED_BY or (varied and not settings):
            text = re.sub(r",?seed=\d+", "", first.run.folder.name)
    text = text or (first.source if several else "")
    if text and first.method.startswith(DERIVED):
        return Row(f"{first.method} ({text})", settings, tuple(group))
    return Row(text or first.method, settings, tuple(group))


def _short(value: Any) -> str:
    """A path by its last part; everything else as it is."""
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)


def _told_apart(rows: Sequence[Row]) -> list[Row]:
    """Add to rows that are called the same what tells them apart: label, weights or path of their folder."""
    labels = [row.label for row in rows]
    return [
        row if labels.count(row.label) == 1 else _with_suffix(row, [r for r in rows if r.label == row.label])
        for row in rows
    ]


def _with_suffix(row: Row, alike: Sequence[Row]) -> Row:
    def words(one: Row) -> tuple[str, ...]:
        first = one.results[0]
        return first.source, _short(first.weights or ""), str(first.weights or ""), str(first.folder)

    number = next(
        (i for i, found in enumerate(zip(*map(words, alike), strict=True)) if len(set(found)) == len(alike)),
        -1,
    )
    return dataclasses.replace(row, label=f"{row.label} ({words(row)[number]})")
