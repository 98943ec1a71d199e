"""METRICS: every metric with its definition, inputs, range, colour handling, direction and source."""

from collections.abc import Mapping
from types import MappingProxyType

from iassf_jax.metrics import entries_learned, entries_statistics, entries_structure, entries_variants
from iassf_jax.metrics.metric import Metric

PAPER = ("q_mi", "q_abf", "q_cv", "q_scd", "q_vif", "q_niqe", "q_pi", "q_sf")  # the eight of the IASSF paper
STANDARD = (*PAPER, "en", "ag", "sd", "cc", "mse", "psnr", "ssim", "ms_ssim")
RESTORATION = ("restoration_psnr", "restoration_ssim", "ciede2000")
METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for module in (entries_structure, entries_statistics, entries_variants, entries_learned)
        for metric in module.ENTRIES
    }
)
