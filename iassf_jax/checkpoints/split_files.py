"""One large file stored as parts (`IASSF_part_aa`, `IASSF_part_ab`, ...), read without joining it on disk."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iassf_jax.core.errors import CheckpointError

# What `split` writes: letters count aa, ab, ..., az, ba, ...; digits count 00, 01, ...
_PART_NAME = re.compile(r"(?P<stem>.*part[_.-]?)(?P<suffix>[a-z]{2,3}|\d{1,4})")


def is_part(path: str | Path) -> bool:
    """Tell whether the name is that of one part of a split file."""
    return _PART_NAME.fullmatch(Path(path).name) is not None


def find_parts(path: Path) -> list[Path]:
    """Return all parts of the split file of which `path` is one, in order.

    Raises:
      CheckpointError: a part before the last one present is missing.
    """
    match = _PART_NAME.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path} is not a part of a split file: expected a name such as IASSF_part_aa")
    stem = match["stem"]
    siblings = [p for p in path.parent.iterdir() if p.name.startswith(stem) and is_part(p)]
    siblings = [p for p in siblings if _same_counting(p, match["suffix"]) and p.is_file()]
    return order_parts(siblings or [path])


def order_parts(paths: Sequence[Path]) -> list[Path]:
    """Return the parts in order; names that are not those of parts keep the order given.

    Raises:
      CheckpointError: a part before the last one is missing.
    """
    if len(paths) == 0:
        raise CheckpointError("no file was given")
    if not all(is_part(p) for p in paths):
        return list(paths)
    ordered = sorted(paths, key=_number)
    numbers = [_number(p) for p in ordered]
    # Digits may count from 0 or from 1.
    first = 1 if _suffix(ordered[0]).isdigit() and numbers[0] == 1 else 0
    gaps = sorted(set(range(first, numbers[-1] + 1)) - set(numbers))
    if gaps:
        names = ", ".join(_name_of_number(ordered[0], number) for number in gaps[:5])
        raise CheckpointError(
            f"part {names} is missing beside {ordered[-1]}; all parts have to be in one folder"
        )
    return ordered


def _suffix(path: Path) -> str:
    match = _PART_NAME.fullmatch(path.name)
    assert match is not None
    return match["suffix"]


def _same_counting(path: Path, suffix: str) -> bool:
    return len(_suffix(path)) == len(suffix) and _suffix(path).isdigit() == suffix.isdigit()


def _number(path: Path) -> int:
    suffix = _suffix(path)
    if suffix.isdigit():
        return int(suffix)
    number = 0
    for letter in suffix:
        number = 26 * number + ord(letter) - ord("a")
    return number


def _name_of_number(example: Path, number: int) -> str:
    suffix = _suffix(example)
    stem = example.name[: -len(suffix)]
    if suffix.isdigit():
        return stem + str(number).zfill(len(suffix))
    letters = ""
    for _ in suffix:
        number, digit = divmod(number, 26)
        letters = chr(ord("a") + digit) + letters
    return stem + letters


class MappedFiles(io.RawIOBase):
    """Files mapped into memory and seen as one readable, seekable file.

    Nothing is read until it is looked at, so a large checkpoint of which a part is wanted costs that part.
    """

    def __init__(self, paths: Sequence[Path]):
        super().__init__()
        self.paths = list(paths)
        self._maps = [_map(path) for path in self.paths]
        self._ends = np.cumsum([m.size for m in self._maps])
        self._position = 0

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return int(self._ends[-1])

    def view(self, start: int, length: int) -> np.ndarray:
        """Return bytes as a read-only uint8 array, copied only where they lie in more than one file.

        Raises:
          CheckpointError: the range goes beyond the end of the last file.
        """
        if start < 0 or length < 0 or start + length > self.size:
            name = self.paths[-1]
            raise CheckpointError(
                f"{name} is truncated: {start + length} bytes expected, {self.size} present"
            )
        pieces = []
        for file_map, end in zip(self._maps, self._ends, strict=True):
            begin = int(end) - file_map.size
            low, high = max(start, begin), min(start + length, int(end))
            if low < high:
                pieces.append(file_map[low - begin : high - begin])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if origin + offset < 0:
            raise OSError("seek to before the start of the file")
        self._position = origin + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        # The inherited method would allocate `size` bytes, which a damaged file may put at a terabyte.
        left = max(0, self.size - self._position)
        length = left if size is None or size < 0 else min(size, left)
        data = self.view(self._position, length).tobytes() if length else b""
        self._position += length
        return data

    def readinto(self, buffer) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _map(path: Path) -> np.ndarray:
    try:
        if path.stat().st_size == 0:
            return np.zeros(0, np.uint8)
        return np.memmap(path, np.uint8, mode="r")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
