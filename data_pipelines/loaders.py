"""Batches of random crops for training; host side only.

What a batch holds is a function of the scenes, the options and its number, and of nothing else: example g of
the run is scene shuffle(g) with the crop drawn for g, batch s takes its examples by number, and a host reads
its rows of it. So a position is one number, which any number of hosts, worker processes or threads can take
up, and the hosts' rows put together are the batch that one host would have read.
"""

import contextlib
import functools
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from data_pipelines.cropping import draw_corner, random_crop, whole
from data_pipelines.examples import Cached, Examples
from data_pipelines.mixtures import Mixture
from data_pipelines.workers import begin_worker, deaf_children

_BATCHES_AHEAD_PER_THREAD = 2


class BatchIterator:
    """An endless iterator over batches whose position is a number.

    Args:
      batches: batch by number.
      identity: what a position depends on; `set_state` refuses one of other scenes or batches.
      num_threads: batches prepared at a time; 0 prepares each when it is asked for.
      num_workers: processes that prepare them, which no signal but SIGKILL ends; 0 is this one.
    """

    def __init__(
        self,
        batches: grain.MapDataset,
        *,
        identity: Mapping[str, Any],
        num_threads: int,
        num_workers: int,
    ):
        self._batches, self._identity = batches, dict(identity)
        self._num_threads, self._num_workers = num_threads, num_workers
        self._next = 0
        self._iterator: Any = None  # started by the first `next`

    def __iter__(self) -> "BatchIterator":
        return self

    def __next__(self) -> dict[str, Any]:
        if self._iterator is None:
            with deaf_children() if self._num_workers else contextlib.nullcontext():
                self._iterator = self._start()
                batch = next(self._iterator)  # starts the processes
        else:
            batch = next(self._iterator)
        self._next += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Return the position as a small dict that JSON can hold."""
        return {"next_index": self._next, **self._identity}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on at a position, whatever hosts, workers or threads it was reached with.

        Raises:
          ValueError: it is a position in other scenes or among batches of another size.
        """
        for key, value in self._identity.items():
            if state[key] != value:
                raise ValueError(f"the position is one among {key} {state[key]!r}, here it is {value!r}")
        self.close()
        self._next = int(state["next_index"])

    def close(self) -> None:
        """Stop the threads and processes; the next `next` starts them again."""
        if self._iterator is not None and hasattr(self._iterator, "close"):
            self._iterator.close()
        self._iterator = None

    def _start(self) -> Any:
        threads = self._num_threads
        options = grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=_BATCHES_AHEAD_PER_THREAD * threads
        )
        dataset = self._batches[self._next :].to_iter_dataset(options)
        if self._num_workers:
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()  # grain 0.2.17 and 0.2.18 read absl's flags outside absl.app
            workers = grain.MultiprocessingOptions(
                num_workers=self._num_workers, per_worker_buffer_size=_BATCHES_AHEAD_PER_THREAD
            )
            dataset = dataset.mp_prefetch(workers, begin_worker)
        return iter(dataset)


def training_batches(
    mixture: Mixture,
    *,
    batch_size: int,
    crop: int,
    seed: int,
    scale: tuple[float, float] | None = None,
    host: int = 0,
    num_hosts: int = 1,
    num_threads: int = 4,
    num_workers: int = 0,
    drop_remainder: bool = True,
    cache_bytes: int = 0,
    places_only: bool = False,
) -> BatchIterator:
    """Return this host's rows of an endless sequence of batches of random crops.

    A batch is a dict with "visible_hazy" (where the scenes have one) and "visible_clear" uint8
    [b,crop,crop,3], "infrared" uint8 [b,crop,crop,1] and "name", a list of b strings, where b is
    `batch_size / num_hosts`. Every set is shuffled anew in every epoch of its own; the sets of a mixture take
    turns by their weights.

    Args:
      mixture: the scenes.
      batch_size: examples in the batch of all hosts.
      crop: side of the square crops; smaller images are extended by reflection. 0 takes whole images, which
        must all be of one size.
      seed: 0 to 2^32 - 1.
      scale: limits of a random factor of size, see `cropping.random_crop`.
      host, num_hosts: which rows are read: the host's share of consecutive ones.
      num_threads, num_workers: see `BatchIterator`. Threads share the cache; each process has its own part.
      drop_remainder: leave out the scenes of every epoch that do not fill a batch; a mixture has no common
        epochs and leaves out nothing.
      cache_bytes: decoded images are kept in memory up to this size.
      places_only: give "scene", "top" and "left" int32 [b] in place of the images: which scene of
        `mixture.names` and which corner of it, for `data_pipelines.resident`.

    Raises:
      ValueError: an option out of its range, or fewer scenes than `batch_size` with `drop_remainder`.
    """
    _check(batch_size=batch_size, crop=crop, scale=scale, num_threads=num_threads, num_workers=num_workers)
    if not 0 <= host < num_hosts or batch_size % num_hosts:
        raise ValueError(
            f"host {host} of {num_hosts} with batch_size {batch_size}: expected 0 to {num_hosts - 1} and a "
            "batch_size that the number of hosts divides"
        )
    if places_only and scale is not None:
        raise ValueError("scale resizes the images of each crop, which resident sets do not: leave it out")
    if crop == 0:
        _check_whole(mixture, scale)
    count = len(mixture.names)
    epoch = count if drop_remainder and len(mixture.components) == 1 else None
    if epoch is not None and count < batch_size:
        raise ValueError(f"has {count} scenes, fewer than batch_size={batch_size}")
    components: Sequence[Any]
    transform: Callable[..., dict[str, Any]]
    if places_only:
        components, transform = _places(mixture), functools.partial(_draw_place, side=crop)
    else:
        share = cache_bytes // (max(1, num_workers) * len(mixture.components))
        components = [Cached(examples, num_bytes=share) for examples in mixture.components]
        transform = functools.partial(random_crop, size=crop, scale=scale) if crop else whole
    examples = _mix(components, mixture.weights, seed=seed).seed(seed).random_map(transform)
    rows = _Rows(examples, batch_size=batch_size, host=host, num_hosts=num_hosts, epoch=epoch)
    return BatchIterator(
        grain.MapDataset.source(rows),
        identity={"batch_size": batch_size, "scenes": _digest(mixture)},
        num_threads=num_threads,
        num_workers=num_workers,
    )


class _Rows:
    """A host's rows of batch s: with epochs of n scenes, batches of B and s = e * (n // B) + i they are
    examples e * n + i * B and following; without epochs s * B and following."""

    def __init__(
        self, examples: grain.MapDataset, *, batch_size: int, host: int, num_hosts: int, epoch: int | None
    ):
        self._examples, self._batch_size, self._epoch = examples, batch_size, epoch
        self._rows = range(host * batch_size // num_hosts, (host + 1) * batch_size // num_hosts)

    def __len__(self) -> int:
        return sys.maxsize // self._batch_size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self._epoch is None:
            first = index * self._batch_size
        else:
            epoch, within = divmod(index, self._epoch // self._batch_size)
            first = epoch * self._epoch + within * self._batch_size
        return stack([self._examples[first + row] for row in self._rows])

    def __repr__(self) -> str:
        return f"_Rows(rows={self._rows}, batch_size={self._batch_size}, epoch={self._epoch})"


class _Places:
    """Where the scenes of one set are among those of all, and how large: examples without pixels."""

    def __init__(self, examples: Examples, first: int):
        self._names = examples.names
        self._sizes = [examples.size(index) for index in range(len(examples))]
        self._first = first

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"scene": self._first + index, "size": self._sizes[index], "name": self._names[index]}


def stack(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return examples as one batch: arrays along a new first axis, names as a list."""
    columns = {name: [example[name] for example in examples] for name in examples[0]}
    return {name: column if name == "name" else np.stack(column) for name, column in columns.items()}


def _mix(components: Sequence[Any], weights: Sequence[float], *, seed: int) -> grain.MapDataset:
    """Shuffle every set by itself and let them take turns."""
    shuffled = [
        grain.MapDataset.source(component).seed(_component_seed(seed, index)).shuffle()
        for index, component in enumerate(components)
    ]
    if len(shuffled) == 1:
        return shuffled[0]
    return grain.MapDataset.mix([dataset.repeat() for dataset in shuffled], weights=list(weights))


def _component_seed(seed: int, index: int) -> int:
    return (seed + 0x9E3779B9 * index) % 2**32


def _places(mixture: Mixture) -> list[_Places]:
    places, first = [], 0
    for examples in mixture.components:
        places.append(_Places(examples, first))
        first += len(examples)
    return places


def _draw_place(example: dict[str, Any], rng: np.random.Generator, side: int) -> dict[str, Any]:
    height, width = example["size"]
    top, left = draw_corner(rng, height, width, side) if side else (0, 0)
    numbers = {"scene": example["scene"], "top": top, "left": left}
    return {**{name: np.int32(number) for name, number in numbers.items()}, "name": example["name"]}


def _digest(mixture: Mixture) -> str:
    """Name the scenes and weights that a position depends on."""
    parts = zip(mixture.components, mixture.weights, strict=True)
    text = "\n\n".join("\n".join([repr(float(weight)), *examples.names]) for examples, weight in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_whole(mixture: Mixture, scale: tuple[float, float] | None) -> None:
    sizes = sorted({part.size(index) for part in mixture.components for index in range(len(part))})
    if len(sizes) > 1:
        raise ValueError(
            f"crop is 0, which takes whole images, but there are sizes from {sizes[0]} to {sizes[-1]}: "
            "bring them to one size by resize=(height, width)"
        )
    if scale is not None:
        raise ValueError("scale changes the size before a crop, but crop is 0: leave one of them out")


def _check(
    *, batch_size: int, crop: int, scale: tuple[float, float] | None, num_threads: int, num_workers: int
) -> None:
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("crop", crop, 0),
        ("num_threads", num_threads, 0),
        ("num_workers", num_workers, 0),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}; expected at least {least}")
    if scale is not None and not (len(scale) == 2 and 0 < scale[0] <= scale[1]):
        raise ValueError(f"scale is {scale}; expected (low, high) with 0 < low <= high")
