"""Metrics of image fusion and restoration, with stated definitions.

- `evaluate(visible, infrared, fused)`: uint8 images on the host to a dict of floats.
- `measure(images, names)`: uint8 batches on the device to one value per image, safe under jit and vmap;
  `measure_records` gives records that merge over batches and hosts.
- `METRICS`: every metric with definition, inputs, range, colour handling, direction and source.
- `psnr`, `ssim`: of float images [b h w c] in [0,1] against a reference, as used in training. They clip
  nothing, so clip a network's output first.

The functions behind METRICS take grey levels, floats in 0..255 (`grey_levels`, or `levels_of_unit` where a
gradient is wanted), because definitions such as VIF's noise variance are in grey levels.
"""

from iassf_jax.metrics.host import evaluate, why_not_computed
from iassf_jax.metrics.levels import grey_levels, levels_of_unit, luma_levels
from iassf_jax.metrics.ma_model import MaModel, load_ma_model
from iassf_jax.metrics.measure import measure, measure_records
from iassf_jax.metrics.metric import Metric
from iassf_jax.metrics.models import Models
from iassf_jax.metrics.niqe_model import NiqeModel
from iassf_jax.metrics.records import MeanRecord
from iassf_jax.metrics.restoration import psnr, ssim
from iassf_jax.metrics.table import METRICS, PAPER, RESTORATION, STANDARD

__all__ = [
    "METRICS",
    "PAPER",
    "RESTORATION",
    "STANDARD",
    "MaModel",
    "MeanRecord",
    "Metric",
    "Models",
    "NiqeModel",
    "evaluate",
    "grey_levels",
    "levels_of_unit",
    "luma_levels",
    "load_ma_model",
    "measure",
    "measure_records",
    "psnr",
    "ssim",
    "why_not_computed",
]
