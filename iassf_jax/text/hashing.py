"""Sentence vectors without a language model: every word has a fixed random vector.

Sentences that share words get similar vectors, which is enough to tell a handful of tasks apart. The numbers
come from a hash of the word and never change with versions of libraries, since trained weights rely on them.
"""

import functools
import hashlib
import re

import numpy as np
from jaxtyping import Float32

from iassf_jax.core.errors import InputError

HASH_SIZE = 768  # as the sentence vectors of DistilBERT
_VERSION = b"iassf_jax words 1\0"
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def hash_sentence(sentence: str) -> Float32[np.ndarray, " s"]:
    """Return the sum of the words' vectors over the root of their number, [768] with deviation about 1.

    Case, punctuation and the order of the words do not matter.

    Raises:
      InputError: no word in the sentence.
    """
    words = _WORD.findall(sentence.lower())
    if not words:
        raise InputError(f"the description {sentence!r} has no words")
    total = np.sum([_word_vector(word) for word in words], axis=0)
    return (total / np.sqrt(len(words))).astype(np.float32)


@functools.lru_cache(maxsize=4096)
def _word_vector(word: str) -> np.ndarray:
    """Standard normal numbers (Box-Muller) from the word's hash."""
    digest = hashlib.shake_256(_VERSION + word.encode()).digest(HASH_SIZE * 8)
    first, second = (np.frombuffer(digest, "<u4").reshape(2, HASH_SIZE) + 0.5) / 2**32
    return np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)
