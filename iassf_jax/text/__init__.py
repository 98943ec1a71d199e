"""The language side of text-conditioned networks: tasks, prompts, and sentence vectors made from prompts.

Everything here runs on the host, before training or inference; a network only ever sees sentence vectors.
"""

from iassf_jax.text.hashing import HASH_SIZE, hash_sentence
from iassf_jax.text.prompts import load_prompts
from iassf_jax.text.tasks import CLEAN, TASKS, class_names

__all__ = ["CLEAN", "HASH_SIZE", "TASKS", "class_names", "hash_sentence", "load_prompts"]
