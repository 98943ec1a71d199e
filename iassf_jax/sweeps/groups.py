"""Which points of a sweep are trained together: those that are one program."""

from collections.abc import Sequence
from pathlib import Path

from iassf_jax.sweeps.folders import read_config
from iassf_jax.sweeps.stacked import program_key


def group_points(folders: Sequence[Path], *, population: int) -> list[tuple[Path, ...]]:
    """Return the folders in groups that are trained together, in order of their first points.

    Args:
      folders: of points.
      population: most points in a group; 1 gives every point its own.
    """
    programs: dict[str, list[Path]] = {}
    for folder in folders:
        program = program_key(read_config(folder)) if population > 1 else str(folder)
        programs.setdefault(program, []).append(folder)
    return [
        tuple(members[start : start + population])
        for members in programs.values()
        for start in range(0, len(members), population)
    ]
