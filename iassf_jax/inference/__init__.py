"""Fusing images with a trained network: single pairs, batches, folders, images larger than memory."""

from iassf_jax.inference.folder import FolderReport, fuse_pairs
from iassf_jax.inference.fuser import Fuser, FusionResult
from iassf_jax.inference.pairs import Failure, OutputLayout, Pair, match_pairs
from iassf_jax.inference.restorer import Restorer

__all__ = [
    "Failure",
    "FolderReport",
    "Fuser",
    "FusionResult",
    "OutputLayout",
    "Pair",
    "Restorer",
    "fuse_pairs",
    "match_pairs",
]
