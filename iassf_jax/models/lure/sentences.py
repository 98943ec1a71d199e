"""Which kinds of sentence vectors a network can be trained with, and those that need no language model."""

import numpy as np
from jaxtyping import Float32

from iassf_jax.core.errors import InputError
from iassf_jax.text.hashing import hash_sentence
from iassf_jax.text.prompts import clean_prompt
from iassf_jax.text.tasks import CLEAN

# hash: random vectors of the words. onehot: the number of the task; the text head's first layer is then a
# learned table. distilbert: the language model; distilbert_random: the same with random weights, for tests;
# cache: a file of vectors made before.
BACKENDS = ("hash", "onehot", "distilbert", "distilbert_random", "cache")


def clean_sentence(backend: str, classes: tuple[str, ...]) -> Float32[np.ndarray, " s"]:
    """Return the sentence vector of an image with nothing wrong.

    Raises:
      InputError: the backend's vectors come from a model or file, which a network does not have.
    """
    if backend == "hash":
        return hash_sentence(clean_prompt())
    if backend == "onehot":
        return np.eye(len(classes), dtype=np.float32)[classes.index(CLEAN)]
    raise InputError(
        f"this network takes sentence vectors of the backend {backend!r}, and none is given: "
        "pass text_visible and text_infrared"
    )
