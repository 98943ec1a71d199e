"""Reads every file of the scenes once: whether it decodes, its size, its checksum, what it looks like."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Float32, Num

from data_pipelines.decode import ImageError, decode_infrared, decode_visible
from data_pipelines.depth_files import decode_depth_values
from data_pipelines.sets.cards import DEPTH, INFRARED, LABELS, VISIBLE
from data_pipelines.sets.layouts import Problem, Scene
from data_pipelines.sets.source import Source

THUMBNAIL = 16  # side in pixels
_READERS = 4  # decoding releases the interpreter's lock
_DECODERS = {INFRARED: decode_infrared, DEPTH: decode_depth_values}  # other images are visible
_FLAT = 1e-3  # norm below which a thumbnail has no content to compare


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """A file as it was read."""

    path: str
    size: int  # bytes
    sha256: str


@dataclasses.dataclass(frozen=True)
class Scanned:
    """A scene whose images are sound. `thumbnail` is the fingerprint of both images, see `fingerprint`."""

    name: str
    split: str | None
    files: Mapping[str, FileRecord]
    height: int
    width: int
    thumbnail: np.ndarray


def scan(
    source: Source,
    scenes: Sequence[Scene],
    *,
    resize_infrared: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[Scanned], list[Problem]]:
    """Return the sound scenes and, for each of the others, the reason why it is not.

    Args:
      source: where the files are.
      scenes: from `layouts.find_scenes`.
      resize_infrared: accept an infrared image of another size than the visible one.
      progress: called with the number of scenes done.
    """
    sound: list[Scanned] = []
    problems: list[Problem] = []

    def examine(scene: Scene) -> Scanned | Problem:
        try:
            return _examine(source, scene, resize_infrared=resize_infrared)
        except ImageError as error:
            return Problem(scene.name, str(error))

    with ThreadPoolExecutor(_READERS) as pool:
        for done, result in enumerate(_ahead(pool, examine, scenes), start=1):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                sound.append(result)
            progress(done)
    return sound, problems


def fingerprint(
    visible: Num[np.ndarray, "h w 3"], infrared: Num[np.ndarray, "p q"]
) -> Float32[np.ndarray, "2 d"]:
    """Return 16x16 pictures of both images with mean 0 and norm 1: their inner product with another scene's
    is the correlation. A flat image gives zeros, which resemble nothing. The sizes may differ.
    """
    pictures = (visible.mean(axis=2, dtype=np.float32), infrared.astype(np.float32))
    return np.stack([_normalised(picture) for picture in pictures])


def _normalised(picture: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, " d"]:
    small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean()
    norm = float(np.linalg.norm(small))
    return np.zeros_like(small) if norm < _FLAT else small / np.float32(norm)


def _examine(source: Source, scene: Scene, *, resize_infrared: bool) -> Scanned:
    contents = {role: source.read(path) for role, path in scene.files.items()}
    records = {
        role: FileRecord(scene.files[role], len(data), hashlib.sha256(data).hexdigest())
        for role, data in contents.items()
    }
    images = {
        role: _DECODERS.get(role, decode_visible)(data, name=scene.files[role])
        for role, data in contents.items()
        if role != LABELS
    }
    height, width = images[VISIBLE].shape[:2]
    for role, image in images.items():
        if image.shape[:2] != (height, width) and not (role == INFRARED and resize_infrared):
            found = f"{image.shape[1]}x{image.shape[0]}"
            hint = " (--resize-infrared accepts it)" if role == INFRARED else ""
            raise ImageError(
                scene.files[role], f"is {found}, but {scene.files[VISIBLE]} is {width}x{height}{hint}"
            )
    thumbnail = fingerprint(images[VISIBLE], images[INFRARED])
    return Scanned(scene.name, scene.split, records, height, width, thumbnail)


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Sequence) -> Iterator:
    """Map in order with a bounded number of results waiting, since each holds decoded images for a while."""
    window = 4 * _READERS
    for start in range(0, len(items), window):
        yield from pool.map(function, items[start : start + window])
