"""Sentence vectors from descriptions, by one of several backends.

    encode = make_encoder("hash")
    vectors = encode([Description("HZ", "Remove the haze from the visible image.")])

hash              random vectors of the words, see `hashing`; needs nothing
onehot            the number of the task; the network's first layer is then a learned table
distilbert        DistilBERT from a local folder with config.json, vocab.txt and model.safetensors
distilbert_random a small DistilBERT with random weights, which runs the same code without a file
cache             vectors made before, see `cache`
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from iassf_jax.core.errors import InputError
from iassf_jax.text.cache import SentenceCache
from iassf_jax.text.hashing import HASH_SIZE, hash_sentence
from iassf_jax.text.prompts import load_prompts
from iassf_jax.text.tasks import class_names
from iassf_jax.text.tokenizer import SPECIAL, Tokenizer, read_vocabulary

BACKENDS = ("hash", "onehot", "distilbert", "distilbert_random", "cache")
UNDERSTANDING = ("distilbert", "cache")  # whose vectors of unknown sentences mean something
POOLINGS = ("cls", "mean")


class Description(NamedTuple):
    """What is wrong with an image."""

    task: str  # one of `class_names`
    text: str  # in words


@runtime_checkable
class SentenceEncoder(Protocol):
    """Makes vectors of descriptions."""

    @property
    def size(self) -> int:
        """Numbers of a vector."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What the vectors depend on, as JSON."""

    def __call__(self, descriptions: Sequence[Description]) -> Float32[np.ndarray, "n s"]:
        """Return a vector for each description."""


def make_encoder(
    backend: str,
    *,
    path: str | Path | None = None,
    cache_path: str | Path | None = None,
    pooling: str = "cls",
    max_length: int = 64,
    split_sr: bool = False,
) -> SentenceEncoder:
    """Return the encoder of a backend.

    Args:
      backend: one of `BACKENDS`.
      path: distilbert: the model's folder.
      cache_path: cache: the .npz; distilbert: vectors found there are taken from it.
      pooling: distilbert: the vector of the first token ("cls"), or the "mean" of all at unit length.
      max_length: distilbert: tokens after which a sentence is cut.
      split_sr: onehot: tell low resolution by four and by eight apart.

    Raises:
      InputError: an unknown backend or pooling, or a path that is needed and not given.
      CheckpointError: files that are missing, damaged or do not belong together.
      MissingDependencyError: distilbert without the package `tokenizers`.
    """
    if pooling not in POOLINGS:
        raise InputError(f"pooling is {pooling!r}; expected one of {', '.join(POOLINGS)}")
    makers: dict[str, Callable[[], SentenceEncoder]] = {
        "hash": HashEncoder,
        "onehot": lambda: OneHotEncoder(class_names(split_sr=split_sr)),
        "distilbert": lambda: _cached(
            cache_path, DistilBertEncoder.from_folder(_needed(path, "path"), pooling, max_length)
        ),
        "distilbert_random": lambda: DistilBertEncoder.random(pooling, max_length),
        "cache": lambda: CachedEncoder(SentenceCache(_needed(cache_path, "cache_path"))),
    }
    if backend not in makers:
        raise InputError(f"there is no text backend {backend!r}; there are {', '.join(BACKENDS)}")
    return makers[backend]()


class HashEncoder:
    """Random vectors of the words."""

    size = HASH_SIZE
    about: Mapping[str, Any] = {"backend": "hash"}

    def __call__(self, descriptions: Sequence[Description]) -> Float32[np.ndarray, "n s"]:
        return np.stack([hash_sentence(description.text) for description in descriptions])


class OneHotEncoder:
    """One number for each task; the words do not matter."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes, self.size = classes, len(classes)
        self.about: Mapping[str, Any] = {"backend": "onehot", "classes": list(classes)}

    def __call__(self, descriptions: Sequence[Description]) -> Float32[np.ndarray, "n s"]:
        unknown = {d.task for d in descriptions} - set(self.classes)
        if unknown:
            raise InputError(f"there are no tasks {sorted(unknown)}; there are {', '.join(self.classes)}")
        return np.eye(self.size, dtype=np.float32)[[self.classes.index(d.task) for d in descriptions]]


class CachedEncoder:
    """Vectors of a cache; for other prompts those of a language model, or an error if there is none."""

    def __init__(self, cache: SentenceCache, live: "SentenceEncoder | None" = None):
        """Take a cache and perhaps the encoder that made it.

        Raises:
          CheckpointError: the cache was made by another encoder.
        """
        self.cache, self.size, self.about = cache, cache.size, cache.about
        self._live = live
        if live is not None:
            cache.check_maker(live.about)

    def __call__(self, descriptions: Sequence[Description]) -> Float32[np.ndarray, "n s"]:
        if self._live is None:
            return np.stack([self.cache[description.text] for description in descriptions])
        missing = [d for d in descriptions if d.text not in self.cache]
        made = dict(zip((d.text for d in missing), self._live(missing), strict=True)) if missing else {}
        return np.stack([made[d.text] if d.text in made else self.cache[d.text] for d in descriptions])


class DistilBertEncoder:
    """DistilBERT, frozen; JAX and Flax are loaded with the first one."""

    def __init__(
        self,
        config: Any,
        variables: Any,
        tokenizer: Tokenizer,
        *,
        pooling: str,
        about: Mapping[str, Any],
    ):
        import jax

        from iassf_jax.text.distilbert import DistilBert

        self.size, self.pooling = config.dim, pooling
        self.about = {**about, "pooling": pooling, "max_length": tokenizer.max_length}
        self._tokenizer, self._variables = tokenizer, variables
        self._apply = jax.jit(DistilBert(config).apply)

    @classmethod
    def from_folder(cls, folder: str | Path, pooling: str, max_length: int) -> "DistilBertEncoder":
        """Read config.json, vocab.txt and model.safetensors."""
        from iassf_jax.text.distilbert_files import read_config, read_weights

        folder = Path(folder)
        config, weights = read_config(folder), folder / "model.safetensors"
        tokenizer = Tokenizer(read_vocabulary(folder / "vocab.txt"), max_length=max_length)
        variables = read_weights(weights, config)
        with open(weights, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        about = {"backend": "distilbert", "model": folder.resolve().name, "sha256_weights": digest}
        return cls(config, variables, tokenizer, pooling=pooling, about=about)

    @classmethod
    def random(cls, pooling: str, max_length: int) -> "DistilBertEncoder":
        """Make a small one whose vocabulary is the words of the packaged prompts."""
        from iassf_jax.text.distilbert import DistilBertConfig
        from iassf_jax.text.distilbert_files import random_weights

        sentences = [text for prompts in load_prompts().values() for text in prompts.all]
        words = sorted({word.strip(".,;") for text in sentences for word in text.lower().split()})
        pieces = (*SPECIAL, ".", ",", ";", "-", *words)
        config = DistilBertConfig(
            dim=32, n_layers=2, n_heads=2, hidden_dim=64, vocab_size=len(pieces), max_position_embeddings=64
        )
        tokenizer = Tokenizer({piece: n for n, piece in enumerate(pieces)}, max_length=min(max_length, 64))
        about = {"backend": "distilbert_random"}
        return cls(config, random_weights(config), tokenizer, pooling=pooling, about=about)

    def __call__(self, descriptions: Sequence[Description]) -> Float32[np.ndarray, "n s"]:
        ids, mask = self._tokenizer([description.text for description in descriptions])
        tokens = np.asarray(self._apply(self._variables, ids, mask))
        if self.pooling == "cls":
            return tokens[:, 0]
        mean = (tokens * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        length = np.linalg.norm(mean, axis=1, keepdims=True)
        return (mean / np.maximum(length, 1e-12)).astype(np.float32)


def _cached(cache_path: str | Path | None, live: SentenceEncoder) -> SentenceEncoder:
    return live if cache_path is None else CachedEncoder(SentenceCache(cache_path), live)


def _needed(value: str | Path | None, name: str) -> str | Path:
    if not value:
        raise InputError(f"this text backend needs {name}, and none is given")
    return value
