"""Every scene once at full size, in padded batches, for any number of hosts; host side only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from data_pipelines.examples import Examples
from data_pipelines.loaders import stack
from data_pipelines.mixtures import Mixture

PADDING = ""  # name of the examples that only fill a batch


def evaluation_batches(
    mixture: Mixture, *, batch_size: int, host: int = 0, num_hosts: int = 1, num_threads: int = 2
) -> Iterator[dict[str, Any]]:
    """Return this host's rows of batches that show every scene once.

    A batch holds scenes of one size as in `examples.Examples`, stacked, with "name" and "mask" float32 [b]:
    1 for scenes, 0 for the repetitions of the last scene that fill the last batch of each size (their name is
    ""). Every host gets equally many batches of equal shapes, b being `batch_size / num_hosts`, so that means
    over the scenes with mask 1 are those of one host. Sizes are read from headers, nothing is decoded twice.

    Raises:
      ValueError: `num_hosts` does not divide `batch_size`, or an option out of its range.
    """
    if batch_size < 1 or num_threads < 0 or not 0 <= host < num_hosts or batch_size % num_hosts:
        raise ValueError(
            f"host {host} of {num_hosts}, batch_size {batch_size}, num_threads {num_threads}: expected a "
            "positive batch_size that the number of hosts divides, and threads from 0"
        )
    share = batch_size // num_hosts
    source = _Batches(mixture.components, batch_size, slice(host * share, (host + 1) * share))
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    return iter(grain.MapDataset.source(source).to_iter_dataset(options))


def group_examples(examples: Iterable[Mapping[str, Any]], *, batch_size: int) -> Iterator[dict[str, Any]]:
    """Put neighbours of one size together, for examples that come one by one.

    Batches are like those of `evaluation_batches`: always of `batch_size`, with "mask" and "name". Whenever
    the size changes and at the end, a batch is filled with repetitions. No example is asked for before the
    batch that the ones before it complete has been given.

    Raises:
      ValueError: `batch_size` below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected at least 1")
    waiting: list[Mapping[str, Any]] = []
    for example in examples:
        if waiting and waiting[0]["visible_clear"].shape != example["visible_clear"].shape:
            yield _padded(waiting, batch_size)
            waiting = []
        waiting.append(example)
        if len(waiting) == batch_size:
            yield _padded(waiting, batch_size)
            waiting = []
    if waiting:
        yield _padded(waiting, batch_size)


class _Batches:
    def __init__(self, components: Sequence[Examples], batch_size: int, rows: slice):
        self._components, self._rows = components, rows
        by_size: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, examples in enumerate(components):
            for index in range(len(examples)):
                by_size.setdefault(examples.size(index), []).append((number, index))
        self._batches = [
            _filled(places[start : start + batch_size], batch_size)
            for places in by_size.values()
            for start in range(0, len(places), batch_size)
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rows = self._batches[index][self._rows]
        decoded = {place: self._components[place[0]][place[1]] for place, _ in rows}
        return stack([_row(decoded[place], real) for place, real in rows])

    def __repr__(self) -> str:
        return f"_Batches({len(self)} batches)"


def _filled(places: list[tuple[int, int]], batch_size: int) -> list[tuple[tuple[int, int], bool]]:
    """Return a whole batch of (place, whether it counts)."""
    missing = batch_size - len(places)
    return [(place, True) for place in places] + [(places[-1], False)] * missing


def _padded(examples: Sequence[Mapping[str, Any]], batch_size: int) -> dict[str, Any]:
    rows = [_row(example, True) for example in examples]
    return stack(rows + [_row(examples[-1], False)] * (batch_size - len(rows)))


def _row(example: Mapping[str, Any], real: bool) -> dict[str, Any]:
    return {**example, "mask": np.float32(real), "name": example["name"] if real else PADDING}
