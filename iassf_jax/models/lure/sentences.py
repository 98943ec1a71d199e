"""Sentence vectors that a network knows without a language model."""

import numpy as np
from jaxtyping import Float32

from iassf_jax.core.errors import InputError
from iassf_jax.text import CLEAN, clean_prompt, hash_sentence


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
