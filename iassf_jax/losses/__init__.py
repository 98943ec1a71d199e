"""Training losses.

The terms return one value per pixel and channel, so that the caller decides how to reduce them;
`iassf_loss` is the weighted total of the paper with means under the batch's mask.
"""

from iassf_jax.losses.iassf import iassf_loss
from iassf_jax.losses.terms import gradient_error, intensity_error, restoration_error

__all__ = ["gradient_error", "iassf_loss", "intensity_error", "restoration_error"]
