"""Fuses many pairs of files: reads ahead, computes two chunks at once and writes behind, all in threads.

Two at once keep a device busy while the host prepares the next, and the cores of a CPU that one alone leaves
idle between its loops: on two cores at 480x640 that saves a fifth of the packaged networks' time, a twentieth
of the released one's. A pair that fails does not stop the others.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import cv2
import jax
import numpy as np

from data_pipelines.decode import ImageError, image_size, read_infrared, read_visible
from iassf_jax.core.errors import IassfError, InputError
from iassf_jax.core.images import to_uint8, write_image
from iassf_jax.inference.buckets import MAX_SHAPES, Size, plan_buckets
from iassf_jax.inference.fuser import Fuser, FusionResult
from iassf_jax.inference.inputs import SMALLEST_SIDE, PreparedPair, format_size, prepare_pair
from iassf_jax.inference.pairs import Failure, OutputLayout, Pair

READERS = 4  # threads
COMPUTERS = 2
WRITERS = 2
_LONGEST_REASON = 400  # characters; the runtime's report of memory exhaustion goes on for pages
_WAITING_WRITES = 8  # results held in memory at most
PAIR_ERRORS = (  # of one pair or image, the others can go on; never a bug of ours
    IassfError,
    ImageError,
    OSError,
    MemoryError,
    jax.errors.JaxRuntimeError,
)


@dataclass
class FolderReport:
    """What became of the pairs."""

    written: list[str] = field(default_factory=list)  # names, in the order they were computed
    failures: list[Failure] = field(default_factory=list)
    tiled: dict[str, int] = field(default_factory=dict)  # names of pairs computed in tiles, and how many
    seconds: float = 0.0


@dataclass(frozen=True)
class _Job:
    pair: Pair
    shape: Size | None  # padded shape; None for a pair that is tiled


_Chunk = Sequence[tuple[_Job, PreparedPair]]  # of one shape


def fuse_pairs(
    fuser: Fuser,
    pairs: Sequence[Pair],
    layout: OutputLayout,
    *,
    overwrite: bool = False,
    resize_infrared: bool = False,
    batch: int = 1,
    max_shapes: int = MAX_SHAPES,
    on_done: Callable[[str], None] = lambda name: None,
    on_tiles: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> FolderReport:
    """Fuse the pairs and write the results; a pair that fails is reported with its reason, the others go on.

    Pairs are computed grouped by shape (see `plan_buckets`), within a group in the order given. Files appear
    complete or not at all.

    Args:
        fuser: the network.
        pairs: names must differ.
        layout: where results go.
        overwrite: replace existing results.
        resize_infrared: bring infrared of another size to the size of the visible image (bilinear; by area
            when it shrinks) instead of failing.
        batch: pairs of one shape computed together.
        max_shapes: number of padded shapes, thus of compilations, for pairs of mixed sizes.
        on_done: called with the name of each pair that is written or has failed, from this thread.
        on_tiles: called with the name, the tiles done and all tiles while a large pair is computed.

    Raises:
        InputError: results exist and `overwrite` is off, or a result would replace an input; nothing is
            computed then.
    """
    layout.check(pairs, overwrite=overwrite)
    start = time.perf_counter()
    run = _Run(fuser, layout, resize_infrared, batch, on_done, on_tiles)
    with (
        ThreadPoolExecutor(READERS) as readers,
        ThreadPoolExecutor(COMPUTERS) as computers,
        ThreadPoolExecutor(WRITERS) as writers,
    ):
        try:
            jobs = run.plan(pairs, max_shapes, readers)
            for _, group in groupby(run.read(jobs, readers), key=lambda item: item[0].shape):
                for chunk in _chunks(group, batch):
                    run.compute(chunk, computers, writers)
            run.finish_computing(0, writers)
            run.finish_writes(0)
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
    run.report.seconds = time.perf_counter() - start
    run.report.failures.sort(key=lambda failure: failure.name)
    return run.report


class _Run:
    """The state of one call of `fuse_pairs`; every method but `_fuse` runs in the calling thread only."""

    def __init__(
        self,
        fuser: Fuser,
        layout: OutputLayout,
        resize_infrared: bool,
        batch: int,
        on_done: Callable[[str], None],
        on_tiles: Callable[[str, int, int], None],
    ):
        self.fuser = fuser
        self.layout = layout
        self.resize_infrared = resize_infrared
        self.batch = batch
        self.on_done = on_done
        self.on_tiles = on_tiles
        self.report = FolderReport()
        self._pairs_of_shape: dict[Size | None, int] = {}
        self._compiled: set[Size | None] = set()
        self._computing: deque[tuple[_Chunk, Future]] = deque()
        self._writes: deque[tuple[str, Future]] = deque()

    def plan(self, pairs: Sequence[Pair], max_shapes: int, readers: ThreadPoolExecutor) -> list[_Job]:
        """Read the headers, drop the pairs that cannot work, and sort the others by padded shape."""
        sizes: dict[Pair, Size] = {}
        futures = {pair: readers.submit(_measure, pair, self.resize_infrared) for pair in pairs}
        for pair, future in futures.items():
            try:
                sizes[pair] = future.result()
            except PAIR_ERRORS as error:
                self._fail(pair.name, error)
        tiled = {pair for pair, size in sizes.items() if self.fuser.needs_tiling(size)}
        whole = [size for pair, size in sizes.items() if pair not in tiled]
        shapes = plan_buckets(whole, max_shapes=max_shapes, max_area=self.fuser.tile**2)
        jobs = [_Job(pair, None if pair in tiled else shapes[size]) for pair, size in sizes.items()]
        for job in jobs:
            self._pairs_of_shape[job.shape] = self._pairs_of_shape.get(job.shape, 0) + 1
        return sorted(jobs, key=lambda job: job.shape or (0, 0))

    def read(self, jobs: Sequence[_Job], readers: ThreadPoolExecutor) -> Iterator[tuple[_Job, PreparedPair]]:
        """Yield the jobs in order with their images, reading a few ahead."""
        waiting: deque[tuple[_Job, Future]] = deque()
        queue = iter(jobs)
        while True:
            for job in queue:
                waiting.append((job, readers.submit(_read, self.fuser, job.pair, self.resize_infrared)))
                if len(waiting) > READERS + self.batch:
                    break
            if not waiting:
                return
            job, future = waiting.popleft()
            try:
                yield job, future.result()
            except PAIR_ERRORS as error:
                self._fail(job.pair.name, error)

    def compute(self, chunk: _Chunk, computers: ThreadPoolExecutor, writers: ThreadPoolExecutor) -> None:
        """Fuse images of one shape, beside the chunk before them where the device has room for two."""
        shape = chunk[0][0].shape
        if shape in self._compiled and self._has_room_for_two(shape):
            self.finish_computing(COMPUTERS - 1, writers)
            self._computing.append((chunk, computers.submit(self._fuse, chunk)))
            return
        self.finish_computing(0, writers)  # a shape is compiled once: its first chunk goes alone
        self._take(chunk, partial(self._fuse, chunk), writers)
        self._compiled.add(shape)

    def finish_computing(self, remaining: int, writers: ThreadPoolExecutor) -> None:
        """Wait until at most `remaining` chunks are under way, and hand the results to the writers."""
        while len(self._computing) > remaining:
            chunk, future = self._computing.popleft()
            self._take(chunk, future.result, writers)

    def _has_room_for_two(self, shape: Size | None) -> bool:
        """Whether two chunks need no more memory than the largest image that is computed in one piece."""
        return shape is not None and COMPUTERS * self.batch * shape[0] * shape[1] <= self.fuser.tile**2

    def _fuse(self, chunk: _Chunk) -> list[FusionResult]:
        shape = chunk[0][0].shape
        if shape is None:
            return [self._fuse_tiled(job.pair.name, images) for job, images in chunk]
        batch = min(self.batch, self._pairs_of_shape[shape])
        return self.fuser.fuse_prepared([images for _, images in chunk], shape=shape, batch=batch)

    def _take(
        self, chunk: _Chunk, results: Callable[[], list[FusionResult]], writers: ThreadPoolExecutor
    ) -> None:
        try:
            found = results()
        except PAIR_ERRORS as error:
            for job, _ in chunk:
                self._fail(job.pair.name, error)
            return
        for (job, _), result in zip(chunk, found, strict=True):
            if result.tiles > 1:
                self.report.tiled[job.pair.name] = result.tiles
            future = writers.submit(_write, self.layout, job.pair.name, result)
            self._writes.append((job.pair.name, future))
        self.finish_writes(_WAITING_WRITES)

    def finish_writes(self, remaining: int) -> None:
        """Wait until at most `remaining` writes are under way."""
        while len(self._writes) > remaining:
            name, future = self._writes.popleft()
            try:
                future.result()
            except PAIR_ERRORS as error:
                self._fail(name, error)
            else:
                self.report.written.append(name)
                self.on_done(name)

    def _fuse_tiled(self, name: str, images: PreparedPair) -> FusionResult:
        return self.fuser.fuse_prepared([images], on_tiles=partial(self.on_tiles, name))[0]

    def _fail(self, name: str, error: BaseException) -> None:
        self.report.failures.append(Failure(name, reason_of(error)))
        self.on_done(name)


def reason_of(error: BaseException) -> str:
    """Return the error as one line of bounded length."""
    return (" ".join(str(error).split()) or type(error).__name__)[:_LONGEST_REASON]


def _chunks(items: Iterator, length: int) -> Iterator[list]:
    chunk: list = []
    for item in items:
        chunk.append(item)
        if len(chunk) == length:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _measure(pair: Pair, resize_infrared: bool) -> Size:
    """Size of a pair by the headers of its files."""
    visible, infrared = image_size(pair.visible), image_size(pair.infrared)
    size = f"{pair.visible} is {format_size(visible)}"
    if visible != infrared and not resize_infrared:
        message = f"{size}, but {pair.infrared} is {format_size(infrared)}; --resize-infrared accepts that"
        raise InputError(message)
    if min(visible) < SMALLEST_SIDE:
        raise InputError(f"{size}: both sides must be {SMALLEST_SIDE} or more")
    return visible


def _read(fuser: Fuser, pair: Pair, resize_infrared: bool) -> PreparedPair:
    visible, infrared = read_visible(pair.visible), read_infrared(pair.infrared)
    if resize_infrared and infrared.shape != visible.shape[:2]:
        infrared = _resize(infrared, visible.shape[:2])
    return prepare_pair(visible, infrared, fuser.ir_range)


def _resize(infrared: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    shrinks = infrared.shape[0] * infrared.shape[1] > size[0] * size[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(infrared, (size[1], size[0]), interpolation=method)


def _write(layout: OutputLayout, name: str, result: FusionResult) -> None:
    """Write the fused image last: where it is, everything asked for is."""
    paths = layout.paths(name)
    if "restored" in paths:
        write_image(paths["restored"], result.restored)
    if "haze" in paths:
        write_image(paths["haze"], to_uint8(result.haze_density))
    write_image(paths["fused"], result.fused)
