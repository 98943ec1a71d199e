"""The rule for files that a command is asked to write: nothing is replaced unless asked."""

from pathlib import Path

from iassf_jax.core.errors import InputError


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to go on when `path` exists, before any work is done.

    Raises:
      InputError: it exists and `overwrite` is not set, or it is a folder.
    """
    if path.is_dir():
        raise InputError(f"--output {path} is a folder, expected the name of a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: give another --output, or --overwrite to replace it")
