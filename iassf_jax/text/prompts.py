"""Prompts of every task, one a line in `prompts/<task>.txt`; the last two of a file are for validation."""

import dataclasses
import importlib.resources
from collections.abc import Mapping
from pathlib import Path

from iassf_jax.core.errors import InputError
from iassf_jax.text.tasks import CLEAN, TASKS

_HELD_OUT = 2
_FACTORS = {"SR4": "four", "SR8": "eight"}


@dataclasses.dataclass(frozen=True)
class Prompts:
    """The sentences of one task."""

    training: tuple[str, ...]
    validation: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Both, in the order of the file."""
        return self.training + self.validation


def load_prompts(folder: str | Path | None = None, *, split_sr: bool = False) -> dict[str, Prompts]:
    """Read the prompts of every class.

    Args:
      folder: has a `<task>.txt` for every task, in lower case; the packaged prompts by default.
      split_sr: give low resolution by four and by eight classes of their own, whose prompts name the factor.

    Raises:
      InputError: a file is missing or has fewer than three prompts.
    """
    root = (
        Path(str(importlib.resources.files("iassf_jax.text"))) / "prompts" if folder is None else Path(folder)
    )
    prompts = {name: _read(root / f"{name.lower()}.txt") for name in TASKS}
    return _split(prompts) if split_sr else prompts


def clean_prompt() -> str:
    """Return the sentence for an image with nothing wrong that stands for all others of its kind."""
    return load_prompts()[CLEAN].training[0]


def _read(path: Path) -> Prompts:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the prompts {path}: {error.strerror}") from error
    sentences = tuple(line.strip() for line in lines if line.strip())
    if len(sentences) <= _HELD_OUT:
        raise InputError(
            f"{path} has {len(sentences)} prompts; expected at least {_HELD_OUT + 1}, "
            f"of which the last {_HELD_OUT} are for validation"
        )
    return Prompts(sentences[:-_HELD_OUT], sentences[-_HELD_OUT:])


def _split(prompts: Mapping[str, Prompts]) -> dict[str, Prompts]:
    split: dict[str, Prompts] = {}
    for name, group in prompts.items():
        if name != "SR":
            split[name] = group
            continue
        for part, factor in _FACTORS.items():
            training, validation = (
                tuple(f"{sentence.rstrip('.')} by a factor of {factor}." for sentence in sentences)
                for sentences in (group.training, group.validation)
            )
            split[part] = Prompts(training, validation)
    return split
