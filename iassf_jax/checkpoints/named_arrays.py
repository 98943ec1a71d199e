"""Named arrays from whatever file they come in: .pth, .pth in parts, .npz, or a folder with one of these."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iassf_jax.checkpoints.pth import read_pth, write_pth
from iassf_jax.checkpoints.split_files import find_parts, is_part
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import CheckpointError

_TORCH_SUFFIXES = (".pth", ".pt", ".ckpt")
Source = str | Path | Sequence[str | Path]


def is_named_arrays(path: str | Path) -> bool:
    """Tell by name (and, for a folder, content) whether `read_named_arrays` is the one to read `path`."""
    path = Path(path)
    if path.is_dir():
        return bool(_arrays_in(path))
    return path.suffix in (*_TORCH_SUFFIXES, ".npz") or is_part(path)


def read_named_arrays(source: Source) -> dict[str, Any]:
    """Read nested dictionaries of arrays.

    Args:
      source: a .pth file; a .npz file with keys "group/name"; any one part of a split .pth file, the folder
        that holds the parts, or the list of them; a folder that holds a single such file.

    Returns:
      Groups (for instance "dehaze_network_state_dict") of arrays by name; read-only arrays.

    Raises:
      CheckpointError: missing, truncated, damaged or ambiguous, or a .pth that asks for code to be executed.
    """
    if not isinstance(source, (str, Path)):
        return read_pth(source)
    path = Path(source)
    if path.is_dir():
        path = _only_file(path)
    if not path.exists() and not is_part(path):
        raise CheckpointError(f"{path} does not exist")
    if path.suffix == ".npz":
        return _read_npz(path)
    if is_part(path):
        if not path.parent.is_dir():
            raise CheckpointError(f"{path} does not exist")
        return read_pth([str(p) for p in find_parts(path)])
    return read_pth(path)


def write_named_arrays(path: str | Path, groups: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write groups of named arrays as .pth or .npz, by the suffix of `path`, atomically.

    Raises:
      CheckpointError: another suffix, or the disk refuses.
    """
    path = Path(path)
    if path.suffix == ".npz":
        arrays = {
            f"{group}/{name}": array for group, items in groups.items() for name, array in items.items()
        }
        with written_aside(path, error=CheckpointError) as aside:
            np.savez(aside, allow_pickle=False, **arrays)
    elif path.suffix in _TORCH_SUFFIXES:
        write_pth(path, groups)
    else:
        raise CheckpointError(f"{path} has the suffix {path.suffix!r}, expected .pth or .npz")


def _arrays_in(folder: Path) -> list[Path]:
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    parts = sorted(p for p in files if is_part(p))
    return [p for p in files if p.suffix in (*_TORCH_SUFFIXES, ".npz")] + parts[:1]


def _only_file(folder: Path) -> Path:
    found = _arrays_in(folder)
    if len(found) != 1:
        names = ", ".join(sorted(p.name for p in found)[:5]) or "none"
        raise CheckpointError(
            f"{folder} should hold one checkpoint (.pth, .npz or *_part_aa ...), found {names}"
        )
    return found[0]


def _read_npz(path: Path) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                group, separator, name = key.partition("/")
                if separator:
                    groups.setdefault(group, {})[name] = archive[key]
                else:
                    groups[key] = archive[key]
    # Truncated archives, damaged entries and arrays of pickled objects fail in a dozen ways.
    except Exception as error:
        raise CheckpointError(
            f"{path} is no readable .npz archive ({error}): truncated or damaged"
        ) from error
    return groups
