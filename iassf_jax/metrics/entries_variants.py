"""Entries of METRICS: what single tool boxes print under a metric's name, to compare with their tables."""

from iassf_jax.metrics import agreement, channels, edges, information, niqe, similarity, statistics
from iassf_jax.metrics.metric import (
    BLOCK,
    FUSED,
    LUMA,
    MITTAL,
    SOURCES,
    TANG,
    Direction,
    Metric,
    device_metric,
)

_COLOURED = ("infrared", "visible_levels", "fused_levels")
_PER_CHANNEL = "every channel by itself; infrared converted to grey"


def _channels(name: str, title: str, function, direction: Direction, value_range: str) -> Metric:
    return device_metric(
        name, title, function, _COLOURED, direction, value_range, "VIFB", colour=_PER_CHANNEL
    )


_CHANNELS = (
    _channels("q_mi_rgb", "Q_MI (RGB)", channels.mutual_information_of_channels, "higher", ">= 0 nats"),
    _channels("q_abf_rgb", "Q_AB/F (RGB)", channels.edge_preservation_of_channels, "higher", "0..0.975"),
    _channels("q_cv_rgb", "Q_CV (RGB)", channels.perceived_difference_of_channels, "lower", ">= 0"),
    device_metric(
        "sf_rgb",
        "SF (RGB)",
        channels.spatial_frequency_of_channels,
        ("fused_levels",),
        "higher",
        "grey levels",
        "VIFB",
        colour=_PER_CHANNEL,
    ),
)
_FAULTS = (
    device_metric(
        "legacy_uint8_mi",
        "MI (bits, uint8 fault)",
        information.mutual_information_sum_uint8,
        SOURCES,
        "higher",
        ">= 0 bits",
        TANG,
        legacy=True,
    ),
    device_metric(
        "legacy_uint8_q_sf",
        "SF (uint8 fault)",
        statistics.spatial_frequency_uint8,
        FUSED,
        "higher",
        "grey levels",
        "Hou's driver on uint8 arrays",
        legacy=True,
    ),
    device_metric(
        "q_abf_unit_range",
        "Q_AB/F (on 0..1)",
        edges.edge_preservation_unit_range,
        SOURCES,
        "higher",
        "0..0.975",
        f"{TANG} on images divided by 255",
        legacy=True,
    ),
    device_metric(
        "psnr_vifb",
        "PSNR (VIFB)",
        agreement.peak_signal_to_noise_vifb,
        SOURCES,
        "higher",
        "54..65 for usual images",
        "VIFB",
        legacy=True,
    ),
    device_metric(
        "psnr_cddfuse",
        "PSNR (CDDFuse)",
        agreement.peak_signal_to_noise_cddfuse,
        SOURCES,
        "higher",
        "dB",
        "CDDFuse",
        legacy=True,
    ),
)
_OTHERS = (
    device_metric(
        "ssim_clamped",
        "SSIM (clamped)",
        similarity.structural_similarity_clamped,
        SOURCES,
        "higher",
        "0..1",
        "pyiqa",
        smallest_side=similarity.SMALLEST_SIDE,
    ),
    device_metric(
        "sf_zheng",
        "rSFe",
        statistics.relative_spatial_frequency,
        SOURCES,
        "none",
        ">= -1",
        "Zheng et al. 2007; Liu's metricZheng, there called Q_SF",
    ),
    device_metric(
        "niqe_y",
        "NIQE (Y, whole)",
        niqe.naturalness,
        ("fused_luma",),
        "lower",
        ">= 0",
        f"{MITTAL}, on Y without shaving",
        blocks=2,
        smallest_side=BLOCK,
        colour=LUMA,
    ),
)
ENTRIES = (*_CHANNELS, *_FAULTS, *_OTHERS)
