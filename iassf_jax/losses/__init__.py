"""Training losses.

The terms return one value per pixel and channel, or one per image, so that the caller decides how to reduce
them; `iassf_loss`, `lure_restoration_loss` and `lure_fusion_loss` are the weighted totals of the papers with
means under the batch's mask.
"""

from iassf_jax.losses.iassf import iassf_loss
from iassf_jax.losses.lure import lure_fusion_loss, lure_restoration_loss
from iassf_jax.losses.terms import gradient_error, intensity_error, restoration_error

__all__ = [
    "gradient_error",
    "iassf_loss",
    "intensity_error",
    "lure_fusion_loss",
    "lure_restoration_loss",
    "restoration_error",
]
