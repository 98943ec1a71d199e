"""Where a set comes from: a folder or a zip archive, read alike and never unpacked."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from data_pipelines.decode import ImageError

MAX_FILE_BYTES = 1 << 29  # an image of the largest accepted size fits; a forged archive entry does not


@runtime_checkable
class Source(Protocol):
    """Files by path relative to the source, with forward slashes."""

    def paths(self) -> Sequence[str]:
        """Return all files, sorted; hidden ones are left out."""

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
          ImageError: it cannot be read.
        """


def open_source(path: str | os.PathLike) -> Source:
    """Return the files of a folder or zip archive.

    Raises:
      ImageError: neither of the two, or an archive that is damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise ImageError(path, "no such folder or zip archive")
    if not zipfile.is_zipfile(path):
        raise ImageError(path, "neither a folder nor a zip archive (unpack other archives first)")
    try:
        return _Archive(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ImageError(path, f"damaged archive ({error})") from error


class _Folder:
    def __init__(self, root: Path):
        self._root = root

    def paths(self) -> Sequence[str]:
        files, visited = [], set()
        for folder, below, names in os.walk(self._root, followlinks=True):
            if (real := os.path.realpath(folder)) in visited:
                below.clear()  # a link back to a folder above, or a second one to the same
                continue
            visited.add(real)
            files += [(Path(folder) / name).relative_to(self._root).as_posix() for name in names]
        return sorted(path for path in files if _is_shown(path))

    def read(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except OSError as error:
            raise ImageError(self._root / path, f"cannot be read ({error.strerror})") from error


class _Archive:
    """A zip archive; each read opens it again, so that threads do not share one file position."""

    def __init__(self, path: Path):
        self._path = path
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        self._entries = {entry.filename: entry for entry in entries if _is_shown(entry.filename)}

    def paths(self) -> Sequence[str]:
        return sorted(self._entries)

    def read(self, path: str) -> bytes:
        name = f"{self._path}:{path}"
        if self._entries[path].file_size > MAX_FILE_BYTES:
            raise ImageError(name, f"claims {self._entries[path].file_size} bytes, more than any image here")
        try:
            with zipfile.ZipFile(self._path) as archive:
                return archive.read(self._entries[path])
        except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, NotImplementedError) as error:
            raise ImageError(name, f"cannot be read from the archive ({error})") from error


def _is_shown(path: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
