"""Image quality metrics.

What there is: `psnr` and `ssim`, which compare an image with its reference, and `MeanRecord`, which
averages per-image values over batches and hosts exactly. Every metric takes float images [b h w c] in [0,1]
and returns one float32 value per image; it clips nothing, so clip a network's output first. All are safe
under jit and vmap.
"""

from iassf_jax.metrics.records import MeanRecord
from iassf_jax.metrics.restoration import psnr, ssim

__all__ = ["MeanRecord", "psnr", "ssim"]
