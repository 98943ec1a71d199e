"""Validation of a network on a folder of images, and pictures of what it makes."""

from iassf_jax.evaluation.figures import picture_grid
from iassf_jax.evaluation.validation import Validation, Validator

__all__ = ["Validation", "Validator", "picture_grid"]
