"""Entries of METRICS: agreement with the sources, statistics, naturalness and restoration."""

from iassf_jax.metrics import agreement, niqe, restoration, similarity, statistics
from iassf_jax.metrics.color_difference import ciede2000
from iassf_jax.metrics.metric import (
    BLOCK,
    FUSED,
    LUMA,
    MITTAL,
    RGB,
    SHAVED,
    SOURCES,
    TANG,
    WANG,
    device_metric,
)

_AGREEMENT = (
    device_metric(
        "q_scd",
        "Q_SCD",
        agreement.correlation_of_differences,
        SOURCES,
        "higher",
        "-2..2",
        "Aslantas and Bendes 2015; all tool boxes on floats",
    ),
    device_metric(
        "legacy_uint8_q_scd",
        "SCD (uint8 fault)",
        agreement.correlation_of_differences_uint8,
        SOURCES,
        "higher",
        "-2..2",
        "Tang's and Hou's drivers on uint8 arrays",
        legacy=True,
    ),
    device_metric("cc", "CC", agreement.correlation, SOURCES, "higher", "-1..1", "all tool boxes"),
    device_metric("mse", "MSE", agreement.mean_squared_error, SOURCES, "lower", "0..1", TANG),
    device_metric("psnr", "PSNR", agreement.peak_signal_to_noise, SOURCES, "higher", "dB", "of the mean MSE"),
    device_metric(
        "psnr_tang",
        "PSNR (Tang)",
        agreement.peak_signal_to_noise_tang,
        SOURCES,
        "higher",
        "dB + 48.13",
        TANG,
        legacy=True,
    ),
    device_metric(
        "psnr_tang_half",
        "PSNR (Tang / 2)",
        agreement.peak_signal_to_noise_tang_half,
        SOURCES,
        "higher",
        "(dB + 48.13) / 2",
        "the scale of LURE's tables (inferred from its numbers)",
        legacy=True,
    ),
)
_STATISTICS = (
    device_metric(
        "q_sf",
        "Q_SF",
        statistics.spatial_frequency,
        FUSED,
        "higher",
        "grey levels",
        "Eskicioglu and Fisher 1995; Tang, CDDFuse",
    ),
    device_metric(
        "sf_vifb", "SF (VIFB)", statistics.spatial_frequency_vifb, FUSED, "higher", "grey levels", "VIFB"
    ),
    device_metric("ag", "AG", statistics.average_gradient, FUSED, "higher", "grey levels", "Tang, VIFB"),
    device_metric(
        "ag_mean",
        "AG (mean)",
        statistics.average_gradient_mean,
        FUSED,
        "higher",
        "grey levels",
        "CDDFuse, IVIF_ZOO",
    ),
    device_metric(
        "sd", "SD", statistics.standard_deviation, FUSED, "higher", "grey levels", "Tang, CDDFuse, VIFB"
    ),
    device_metric("ei", "EI", statistics.edge_intensity, FUSED, "higher", "grey levels", "VIFB"),
)
_NATURALNESS = (
    device_metric(
        "q_niqe",
        "Q_NIQE",
        niqe.naturalness,
        FUSED,
        "lower",
        ">= 0",
        MITTAL,
        blocks=2,
        smallest_side=BLOCK,
        takes_niqe_model=True,
    ),
    device_metric(
        "niqe_for_pi",
        "NIQE (Y)",
        niqe.naturalness,
        ("fused_y",),
        "lower",
        ">= 0",
        f"{MITTAL}, as inside PIRM 2018's PI",
        blocks=2,
        smallest_side=BLOCK + 2 * SHAVED,
        colour=LUMA,
    ),
)
_RESTORED = (
    device_metric(
        "restoration_psnr",
        "PSNR (reference)",
        restoration.psnr,
        ("fused_rgb", "reference_rgb"),
        "higher",
        "dB",
        "over pixels and channels",
        colour=RGB,
    ),
    device_metric(
        "restoration_ssim",
        "SSIM (reference)",
        restoration.ssim,
        ("fused_rgb", "reference_rgb"),
        "higher",
        "-1..1",
        WANG,
        smallest_side=similarity.SMALLEST_SIDE,
        colour=RGB,
    ),
    device_metric(
        "ciede2000",
        "CIEDE2000",
        ciede2000,
        ("fused_rgb", "reference_rgb"),
        "lower",
        ">= 0",
        "CIE 142-2001; Sharma, Wu and Dalal 2005",
        colour=RGB,
    ),
)
ENTRIES = (*_AGREEMENT, *_STATISTICS, *_NATURALNESS, *_RESTORED)
