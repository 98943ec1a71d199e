"""Entries of METRICS: information, edges, contrast, fidelity and structural similarity."""

from iassf_jax.metrics import contrast, edges, feature_information, fidelity, information, similarity
from iassf_jax.metrics.metric import (
    FUSED,
    SHEIKH,
    SOURCES,
    TANG,
    WANG,
    device_metric,
)

_INFORMATION = (
    device_metric(
        "q_mi",
        "Q_MI",
        information.mutual_information_sum,
        SOURCES,
        "higher",
        ">= 0 nats",
        "Qu et al. 2002; CDDFuse, VIFB",
    ),
    device_metric(
        "mi_bits",
        "MI (bits)",
        information.mutual_information_sum_bits,
        SOURCES,
        "higher",
        ">= 0 bits",
        "Liu's mutual_info, IVIF_ZOO",
    ),
    device_metric(
        "mi_hossny",
        "MI (Hossny)",
        information.mutual_information_hossny,
        SOURCES,
        "higher",
        "0..2",
        "Hossny et al. 2008; Liu's metricMI",
    ),
    device_metric(
        "nmi", "NMI", information.mutual_information_of_sources, SOURCES, "higher", ">= 0", "IVIF_ZOO"
    ),
    *(
        device_metric(
            name,
            title,
            function,
            SOURCES,
            "higher",
            "0..1",
            "Haghighat et al. 2011; Fast-FMI 2014",
            smallest_side=feature_information.SMALLEST_SIDE,
        )
        for name, title, function in (
            ("fmi_pixel", "FMI (pixel)", feature_information.pixel_information),
            ("fmi_gradient", "FMI (gradient)", feature_information.gradient_information),
            ("fmi_dct", "FMI (DCT)", feature_information.dct_information),
        )
    ),
    device_metric("en", "EN", information.entropy, FUSED, "higher", "0..8 bits", "all tool boxes"),
)
_EDGES = (
    device_metric(
        "q_abf",
        "Q_AB/F",
        edges.edge_preservation,
        SOURCES,
        "higher",
        "0..0.975",
        "Xydeas and Petrovic 2000; Hong's constants: Tang, CDDFuse, VIFB, IVIF_ZOO",
    ),
    device_metric("q_g", "Q_G", edges.edge_preservation_liu, SOURCES, "higher", "0..1", "Liu's metricXydeas"),
    device_metric(
        "n_abf",
        "N_AB/F",
        edges.edge_artefacts,
        SOURCES,
        "lower",
        "0..1",
        f"Petrovic; Shreyamsha Kumar 2013; {TANG}",
    ),
)
_CONTRAST = (
    device_metric(
        "q_cv",
        "Q_CV",
        contrast.perceived_difference,
        SOURCES,
        "lower",
        ">= 0",
        "Chen and Varshney 2007; Liu's metricChen, VIFB",
    ),
    device_metric(
        "q_cv_unstretched",
        "Q_CV (unstretched)",
        contrast.perceived_difference_unstretched,
        SOURCES,
        "lower",
        ">= 0",
        "Chen and Varshney 2007 without Liu's normalisation",
    ),
)
_FIDELITY = (
    device_metric(
        "q_vif",
        "Q_VIF",
        fidelity.information_fidelity,
        SOURCES,
        "higher",
        ">= 0",
        f"{SHEIKH}; mean of both sources",
        smallest_side=fidelity.SMALLEST_SIDE,
    ),
    device_metric(
        "vif_sum",
        "VIF (sum)",
        fidelity.information_fidelity_sum,
        SOURCES,
        "higher",
        ">= 0",
        f"{SHEIKH}; Tang's and IVIF_ZOO's VIF, CDDFuse's VIFF",
        smallest_side=fidelity.SMALLEST_SIDE,
    ),
    device_metric(
        "legacy_uint8_q_vif",
        "VIF (uint8 fault)",
        fidelity.information_fidelity_uint8,
        SOURCES,
        "higher",
        ">= 0",
        "Tang's evaluator before March 2023, halved",
        smallest_side=fidelity.SMALLEST_SIDE,
        legacy=True,
    ),
    device_metric(
        "viff",
        "VIFF",
        fidelity.fusion_fidelity,
        SOURCES,
        "higher",
        ">= 0",
        "Han et al. 2013",
        smallest_side=fidelity.SMALLEST_SIDE,
    ),
)
_SIMILARITY = (
    device_metric(
        "ssim",
        "SSIM",
        similarity.structural_similarity,
        SOURCES,
        "higher",
        "-1..1",
        WANG,
        smallest_side=similarity.SMALLEST_SIDE,
    ),
    device_metric(
        "ssim_sum",
        "SSIM (sum)",
        similarity.structural_similarity_sum,
        SOURCES,
        "higher",
        "-2..2",
        f"{WANG}; VIFB",
        smallest_side=similarity.SMALLEST_SIDE,
    ),
    device_metric(
        "ssim_unit_range",
        "SSIM (range 1 fault)",
        similarity.structural_similarity_unit_range,
        SOURCES,
        "higher",
        "-1..1",
        f"MATLAB's ssim on levels, as in {TANG}",
        smallest_side=similarity.SMALLEST_SIDE,
        legacy=True,
    ),
    device_metric(
        "ms_ssim",
        "MS-SSIM",
        similarity.multi_scale_similarity,
        SOURCES,
        "higher",
        "0..1",
        "Wang et al. 2003",
        smallest_side=similarity.SMALLEST_SIDE_MULTI_SCALE,
    ),
)
ENTRIES = (*_INFORMATION, *_EDGES, *_CONTRAST, *_FIDELITY, *_SIMILARITY)
