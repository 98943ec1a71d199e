"""The vectors of all prompts, made once before training: the language model is no part of the step."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from iassf_jax.text.encoders import Description, SentenceEncoder
from iassf_jax.text.prompts import Prompts


class PromptBank(NamedTuple):
    """Vectors of `classes` x prompts; classes with fewer prompts than others are filled up with zeros."""

    features: Float32[np.ndarray, "n p s"]
    counts: Int32[np.ndarray, " n"]  # prompts of each class


def make_bank(
    encoder: SentenceEncoder, prompts: Mapping[str, Prompts], *, validation: bool = False
) -> PromptBank:
    """Encode the training prompts of every class, or those kept for validation, in the order of `prompts`."""
    chosen = {task: group.validation if validation else group.training for task, group in prompts.items()}
    vectors = encoder([Description(task, text) for task, texts in chosen.items() for text in texts])
    counts = np.array([len(texts) for texts in chosen.values()], np.int32)
    features = np.zeros((len(chosen), int(counts.max()), encoder.size), np.float32)
    ends = np.cumsum(counts)
    for row, (count, end) in enumerate(zip(counts, ends, strict=True)):
        features[row, :count] = vectors[end - count : end]
    return PromptBank(features, counts)
