"""Every metric against values that the original tool boxes printed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from iassf_jax.metrics import evaluate

# Golden key -> our name and the tolerance of float32, relative.
CANONICAL = {
    "Q_MI": ("q_mi", 1e-6),
    "Q_ABF": ("q_abf", 1e-5),
    "Q_CV": ("q_cv", 1e-4),
    "Q_SCD": ("q_scd", 1e-5),
    "Q_VIF": ("q_vif", 1e-5),
    "Q_VIFF_Han": ("viff", 1e-5),
    "legacy_uint8_Q_SCD": ("legacy_uint8_q_scd", 1e-5),
    "legacy_uint8_Q_VIF": ("legacy_uint8_q_vif", 1e-4),
    "Q_NIQE": ("q_niqe", None),
    "NIQE_for_PI": ("niqe_for_pi", None),
    "Q_SF": ("q_sf", 1e-5),
    "EN": ("en", 1e-6),
    "SD": ("sd", 1e-5),
    "AG": ("ag", 1e-5),
    "CC": ("cc", 1e-5),
    "PSNR_meanMSE": ("psnr", 1e-5),
    "SSIM_mean": ("ssim", 1e-5),
    "MS_SSIM_mean": ("ms_ssim", 1e-5),
}
VARIANTS = {
    "tang.Nabf": ("n_abf", 1e-5),
    "tang.PSNR": ("psnr_tang", 1e-5),
    "tang.MSE": ("mse", 1e-5),
    "zhengliu.metricXydeas": ("q_g", 1e-5),
    "zhengliu.metricMI_sw1_Hossny": ("mi_hossny", 1e-6),
    "zhengliu.mutual_info_sum_raw": ("mi_bits", 1e-6),
    "vifb.metricsSpatial_frequency": ("sf_vifb", 1e-5),
    "ivif_zoo.NMI": ("nmi", 1e-5),
    "cddfuse.AG": ("ag_mean", 1e-5),
    "vifb.rgb.metricsMutinf": ("q_mi_rgb", 1e-6),
    "vifb.rgb.metricsQabf": ("q_abf_rgb", 1e-5),
    "vifb.rgb.metricsQcv": ("q_cv_rgb", 1e-4),
    "vifb.rgb.metricsSpatial_frequency": ("sf_rgb", 1e-5),
    "tang.MI": ("legacy_uint8_mi", 1e-6),
    "jilei.analysis_SF_uint8input": ("legacy_uint8_q_sf", 1e-5),
    "tang.Qabf_on_unit_range": ("q_abf_unit_range", 2e-2),
    "vifb.metricsPsnr": ("psnr_vifb", 1e-5),
    "cddfuse.PSNR": ("psnr_cddfuse", 1e-5),
    "zhengliu.metricZheng": ("sf_zheng", 1e-5),
    "niqe.live_Y_noshave": ("niqe_y", None),
    "pyiqa.ssim": ("ssim_clamped", 1e-5),
}
NAMES = [name for name, _ in (*CANONICAL.values(), *VARIANTS.values())]
# A program is compiled for each size and number of channels, so the default run has the smallest only.
SLOW = (
    "tno_05_seafusion",
    "tno_34_densefuse",
    "tno_18_ifcnn",
    "tno_10_fusiongan",
    "msrs_00099D_max",
    "msrs_00349D_mean",
    "msrs_00718N_weighted",
    "msrs_01045N_ironly",
    "msrs_01478D_hazy",
)
ALL = ("tno_08_piafusion", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW))
QUICK_NAMES = ("q_mi", "q_abf", "q_cv", "q_scd", "q_vif", "legacy_uint8_q_vif", "q_sf", "ag")
# Originals that are float32 programs, or that rounding decides, say nothing of the ninth digit.
INEXACT = ("ms_ssim", "nmi", "ag_mean", "n_abf", "q_g", "psnr_cddfuse", "ssim_clamped", "q_abf_unit_range")
SLOW_NAMES = tuple(name for name in NAMES if name not in INEXACT)


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "golden.json").read_text())


def _images(shared, triple):
    def read(*keys):
        key = next(key for key in keys if key in triple)
        return np.asarray(Image.open(shared / "golden" / "images" / triple[key]))

    return read("vis_rgb", "vis"), read("ir"), read("fused_rgb", "fused")


def _expected(triple):
    for key, (name, tolerance) in CANONICAL.items():
        yield name, triple["canonical"][key]["value"], tolerance
    printed = triple["octave"] | triple["python_peers"]
    both = (printed[f"pyiqa.ssim_{source}(no downsample)"] for source in ("ir", "vis"))
    printed["pyiqa.ssim"] = sum(both) / 2
    for key, (name, tolerance) in VARIANTS.items():
        yield name, printed.get(key), tolerance


@pytest.mark.parametrize("name", ALL)
def test_float32_agrees_with_the_tool_boxes(name, golden, shared):
    triple = golden["triples"][name]
    values = evaluate(*_images(shared, triple), names=NAMES)
    flat = triple["niqe_stability"]["fraction_of_flat_7x7_windows"]
    for metric, expected, tolerance in _expected(triple):
        if expected is None:
            continue
        tolerance = tolerance or (1e-3 if flat == 0 else 1e-2)
        assert values[metric] == pytest.approx(expected, rel=tolerance), metric


def test_a_correlation_with_a_constant_counts_as_zero_where_the_tool_boxes_give_nan(golden, shared):
    triple = golden["triples"]["msrs_01045N_ironly"]
    assert triple["canonical"]["Q_SCD"]["value"] is None
    visible, infrared, _ = _images(shared, triple)
    values = evaluate(visible, infrared, infrared, names=["q_scd"])
    difference = infrared.astype(float) - evaluate_grey(visible)
    assert values["q_scd"] == pytest.approx(np.corrcoef(difference.ravel(), infrared.ravel())[0, 1], abs=1e-5)


def evaluate_grey(image):
    return np.floor(image @ np.array([0.298936021293775, 0.587043074451121, 0.114020904255103]) + 0.5)


@pytest.mark.parametrize("names", [QUICK_NAMES, pytest.param(SLOW_NAMES, marks=pytest.mark.slow)])
def test_float64_is_the_reference_path(names, golden, shared):
    triple = golden["triples"]["tno_08_piafusion"]
    values = evaluate(*_images(shared, triple), names=names, precision="float64")
    for metric, expected, tolerance in _expected(triple):
        if metric in names and expected is not None:
            assert values[metric] == pytest.approx(expected, rel=1e-9 if tolerance else 1e-5), metric
    assert not jax.config.jax_enable_x64


def test_grey_levels_are_those_of_matlab(golden, shared):
    from iassf_jax.metrics import grey_levels

    for triple in golden["triples"].values():
        if "vis_rgb" not in triple:
            continue
        folder = shared / "golden" / "images"
        colour, grey = (np.asarray(Image.open(folder / triple[key])) for key in ("vis_rgb", "vis"))
        np.testing.assert_array_equal(grey_levels(jnp.asarray(colour[None]))[0], grey)
