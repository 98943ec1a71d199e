"""LURE, the second system of the library: text says what is wrong with the images."""

from iassf_jax.models.lure.network import PRESETS, Lure

__all__ = ["PRESETS", "Lure"]
