"""The language side of text-conditioned networks: tasks, prompts, and sentence vectors made from prompts.

Everything here runs on the host, before training or inference; a network only ever sees sentence vectors.
"""

from iassf_jax.text.bank import PromptBank, make_bank
from iassf_jax.text.encoders import BACKENDS, UNDERSTANDING, Description, SentenceEncoder, make_encoder
from iassf_jax.text.hashing import HASH_SIZE, hash_sentence
from iassf_jax.text.prompts import clean_prompt, load_prompts
from iassf_jax.text.router import Routed, in_known_words, route
from iassf_jax.text.tasks import CLEAN, INFRARED, TASKS, VISIBLE, class_names, task_of

__all__ = [
    "BACKENDS",
    "CLEAN",
    "HASH_SIZE",
    "INFRARED",
    "TASKS",
    "UNDERSTANDING",
    "VISIBLE",
    "Description",
    "PromptBank",
    "Routed",
    "SentenceEncoder",
    "class_names",
    "clean_prompt",
    "hash_sentence",
    "in_known_words",
    "load_prompts",
    "make_bank",
    "make_encoder",
    "route",
    "task_of",
]
