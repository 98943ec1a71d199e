"""Sentence vectors kept in a file, so that neither training nor inference needs the language model.

NAME.npz   "prompts", strings, and "features", float32 [n, s]
NAME.json  where they come from, and the SHA-256 of the other file
"""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import CheckpointError, InputError


def write_cache(
    path: str | Path, prompts: Sequence[str], features: Float32[np.ndarray, "n s"], about: Mapping[str, Any]
) -> None:
    """Write vectors and sidecar.

    Args:
      path: ends in .npz.
      prompts: as a user would write them.
      features: a row for each.
      about: JSON about what made them, see `encoders.SentenceEncoder`.

    Raises:
      CheckpointError: another suffix, or the files cannot be written.
      InputError: other than one row for each prompt.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise CheckpointError(f"{path} has the suffix {path.suffix!r}, expected .npz")
    if len(prompts) != len(features):
        raise InputError(f"{len(prompts)} prompts and {len(features)} vectors: expected as many of each")
    with written_aside(path, error=CheckpointError) as aside:
        with open(aside, "wb") as file:
            np.savez(file, prompts=np.array(prompts, np.str_), features=features)
        sidecar = {**about, "sha256_features": _digest(aside)}
    with written_aside(path.with_suffix(".json"), error=CheckpointError) as aside:
        Path(aside).write_text(json.dumps(sidecar, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class SentenceCache:
    """The vectors of a cache by prompt; case and white space of a prompt do not matter."""

    def __init__(self, path: str | Path):
        """Read a cache.

        Raises:
          CheckpointError: a file is missing or damaged, or the two do not belong together.
        """
        self.path = Path(path)
        self.about = self._read_sidecar()
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                prompts, features = stored["prompts"], stored["features"]
        except (OSError, KeyError, ValueError) as error:
            raise CheckpointError(f"{self.path} is damaged or no cache of sentence vectors") from error
        self.size = int(features.shape[1])
        self._features = {_normalise(str(p)): row for p, row in zip(prompts, features, strict=True)}

    def __contains__(self, prompt: str) -> bool:
        return _normalise(prompt) in self._features

    def __getitem__(self, prompt: str) -> Float32[np.ndarray, " s"]:
        """Return the vector of a prompt.

        Raises:
          InputError: it is not in the cache; the message names the nearest that is.
        """
        key = _normalise(prompt)
        if key not in self._features:
            close = difflib.get_close_matches(key, self._features, n=1, cutoff=0.0)
            raise InputError(
                f"{self.path} has no vector for {prompt!r} (nearest: {close[0]!r}); "
                "take one of its prompts, or give the language model to encode others"
            )
        return self._features[key]

    def check_maker(self, about: Mapping[str, Any]) -> None:
        """Check that an encoder with this description would make the same vectors.

        Raises:
          CheckpointError: the cache is of another model or other options.
        """
        differ = {
            key: (self.about.get(key), value) for key, value in about.items() if self.about.get(key) != value
        }
        if differ:
            told = ", ".join(
                f"{key}: {was!r} in the cache, {now!r} now" for key, (was, now) in differ.items()
            )
            raise CheckpointError(f"{self.path} was made otherwise ({told}); make it again")

    def _read_sidecar(self) -> dict[str, Any]:
        sidecar = self.path.with_suffix(".json")
        for file in (self.path, sidecar):
            if not file.is_file():
                raise CheckpointError(f"{file} does not exist; a cache is a .npz and a .json beside it")
        try:
            about = json.loads(sidecar.read_text(encoding="utf-8"))
            stored = about.pop("sha256_features")
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{sidecar} does not describe a cache ({error!r})") from error
        if stored != _digest(self.path):
            raise CheckpointError(f"{sidecar} belongs to another {self.path.name}: make the cache again")
        return about


def _normalise(prompt: str) -> str:
    return " ".join(prompt.lower().split())


def _digest(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
