"""What must hold for any images: symmetry, bounds, constants, batches, padding, gradients, bad input."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.core.errors import InputError
from iassf_jax.metrics import (
    METRICS,
    PAPER,
    RESTORATION,
    STANDARD,
    MeanRecord,
    evaluate,
    levels_of_unit,
    measure,
    measure_records,
    why_not_computed,
)
from iassf_jax.metrics.canvas import Size, canvases
from iassf_jax.metrics.measure import compiled_measure

BATCH = 2
SIZE = (45, 51)  # odd, and large enough for VIF's four scales
SMALL = tuple(  # all that such a small image has
    name
    for name, metric in METRICS.items()
    if metric.function is not None and metric.fits(*SIZE) and "reference_rgb" not in metric.inputs
)
# VIFF takes the second source where neither gain is the smaller one.
SYMMETRIC = tuple(
    name for name in SMALL if METRICS[name].inputs == ("infrared", "visible", "fused") and name != "viff"
)
# One for each way of reading an image: windows, borders, transforms, histograms, extremes, blocks.
ON_CANVAS = ("q_mi", "q_abf", "n_abf", "q_cv", "q_vif", "ssim", "q_scd", "q_sf", "ag", "ei", "fmi_dct")
ON_CANVAS += ("sf_rgb", "sf_zheng", "psnr_cddfuse", "legacy_uint8_mi")
VIF = pytest.param("q_vif", marks=pytest.mark.slow)  # half a minute to compile the gradient
PROGRAM = compiled_measure(SMALL)
examples = settings(max_examples=5, deadline=None)
seeds = given(seed=st.integers(0, 2**31))


def _images(seed):
    """Blobs and noise: correlated as photographs are, with every level in use.

    One size of batch in all tests, so that each program is compiled once.
    """
    rng = np.random.default_rng(seed)
    noise = rng.random((3, BATCH, SIZE[0] + 8, SIZE[1] + 8))
    smooth = sum(noise[:, :, i : i + SIZE[0], j : j + SIZE[1]] for i in range(8) for j in range(8)) / 64
    mixed = 255 * np.clip(4 * (smooth - 0.5) + 0.5 + 0.1 * rng.standard_normal(smooth.shape), 0, 1)
    names = ("visible", "infrared", "fused")
    return {name: x[..., None].astype(np.uint8) for name, x in zip(names, mixed, strict=True)}


def _values(images):
    return {name: np.asarray(value) for name, value in PROGRAM(images).items()}


@examples
@seeds
def test_the_sources_may_be_exchanged(seed):
    images = _images(seed)
    exchanged = _values(images | {"visible": images["infrared"], "infrared": images["visible"]})
    for name, value in _values(images).items():
        if name in SYMMETRIC:
            np.testing.assert_allclose(value, exchanged[name], rtol=1e-5, atol=1e-6, err_msg=name)


@examples
@seeds
def test_values_stay_in_their_range(seed):
    bounds = {
        "q_abf": (0, 0.9755),
        "q_scd": (-2, 2),
        "legacy_uint8_q_scd": (-2, 2),
        "ssim_sum": (-2, 2),
        "cc": (-1, 1),
        "ssim": (-1, 1),
        "ssim_unit_range": (-1, 1),
        "ssim_clamped": (0, 1),
        "sf_zheng": (-1, np.inf),
        "fmi_pixel": (0, 1),
        "fmi_gradient": (0, 1),
        "fmi_dct": (0, 1),
        "en": (0, 8),
        "mi_hossny": (0, 2),
    }
    bounds |= {"n_abf": (0, 1), "q_g": (0, 1), "mse": (0, 1), "q_mi": (0, 2 * 8 * np.log(2))}
    values = _values(_images(seed))
    for name, value in values.items():
        low, high = bounds.get(name, (0, np.inf))
        assert np.isfinite(value).all(), name
        assert (value >= low - 1e-6).all() and (value <= high + 1e-6).all(), name


@examples
@seeds
def test_a_fused_image_equal_to_both_sources(seed):
    image = _images(seed)["fused"]
    values = _values(dict.fromkeys(("visible", "infrared", "fused"), image))
    expected = {"q_cv": 0, "q_scd": 0, "cc": 1, "mse": 0, "ssim": 1, "q_vif": 1, "n_abf": 0, "viff": 1}
    for name, value in expected.items():
        assert values[name][0] == pytest.approx(value, abs=1e-5), name
    assert values["q_mi"][0] == pytest.approx(2 * values["en"][0] * np.log(2), rel=1e-5)
    assert np.isposinf(values["psnr"]).all()


@examples
@seeds
def test_inverting_all_images_changes_no_metric_of_structure(seed):
    images = _images(seed)
    inverted = _values({name: 255 - image for name, image in images.items()})
    for name, value in _values(images).items():
        if name in ("q_mi", "en", "q_abf", "cc", "q_scd", "mse", "q_sf", "ag", "sd", "ei", "nmi"):
            border = name == "q_abf"  # zero padding makes the border an edge, whose strength changes
            np.testing.assert_allclose(value, inverted[name], rtol=0.3 if border else 1e-4, err_msg=name)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_constant_images_give_defined_values(level):
    constant = np.full((BATCH, *SIZE, 1), level, np.uint8)
    values = _values(dict.fromkeys(("visible", "infrared", "fused"), constant))
    assert {"q_mi", "en", "q_scd", "cc", "q_sf", "ag", "sd", "q_cv"} <= {
        k for k, v in values.items() if v[0] == 0
    }
    assert values["q_vif"][0] == 1
    assert not [name for name, value in values.items() if np.isnan(value).any()]


@examples
@seeds
def test_each_image_of_a_batch_is_measured_by_itself(seed):
    images = _images(seed)
    values = _values(images)
    reversed_order = _values({name: image[::-1] for name, image in images.items()})
    for name, value in values.items():
        np.testing.assert_allclose(value[::-1], reversed_order[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_padding_under_the_mask_changes_nothing_and_records_merge():
    names = ("q_sf", "q_mi", "cc")
    images = _images(5)
    records = jax.jit(lambda images, mask: measure_records(images, names, mask))
    whole = records(images, jnp.ones(BATCH))
    first, last = {k: v.copy() for k, v in images.items()}, {k: v[::-1].copy() for k, v in images.items()}
    for k in images:
        first[k][1], last[k][1] = 0, 7
    first, last = (records(part, jnp.asarray([1.0, 0.0])) for part in (first, last))
    for name in names:
        merged = MeanRecord.merge(first[name], last[name])
        assert float(merged.count) == BATCH
        np.testing.assert_allclose(merged.result(), whole[name].result(), rtol=1e-6)


def test_what_surrounds_an_image_on_a_canvas_changes_nothing():
    images = _images(6)
    rng = np.random.default_rng(0)
    canvases = {name: rng.integers(0, 256, (BATCH, 48, 64, 1), dtype=np.uint8) for name in images}
    for name, image in images.items():
        canvases[name][:, : SIZE[0], : SIZE[1]] = image
    program = compiled_measure(ON_CANVAS)
    found = program(canvases, within=Size(*(jnp.asarray(n, jnp.int32) for n in SIZE)))
    for name, value in found.items():
        np.testing.assert_allclose(value, PROGRAM(images)[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(225, 231), (232, 200), (240, 203)])
def test_every_metric_can_be_computed_on_a_canvas(size):
    rng = np.random.default_rng(1)
    visible, infrared, fused = (cv2.GaussianBlur(rng.random((*size, 3)), (0, 0), 2) for _ in "abc")
    images = [(255 * (x - x.min()) / np.ptp(x)).astype(np.uint8) for x in (visible, infrared, fused)]
    names = [name for name, metric in METRICS.items() if metric.function is not None]
    exact = evaluate(*images, reference=images[0], names=names)
    found = evaluate(*images, reference=images[0], names=names, canvas=(240, 256))
    for name in names:
        assert found[name] == pytest.approx(exact[name], rel=1e-5, abs=1e-6), name


def test_canvases_are_few_and_not_much_larger_than_the_images():
    sizes = [(100 + 7 * i % 60, 120 + 11 * i % 50) for i in range(40)] + [(160, 90), (20, 30), (900, 700)]
    sizes += [(3000, 4000), (3000, 4001)]
    found = canvases(sizes)
    assert len(set(found.values())) <= 3
    assert (20, 30) not in found and (900, 700) not in found  # alone, so with a program of their own
    assert (3000, 4000) not in found  # too large
    for (height, width), (rows, columns) in found.items():
        assert height <= rows and width <= columns and 4 * height * width >= rows * columns


def test_jit_vmap_and_all_at_once_agree():
    names = ("q_mi", "q_cv")
    images = {name: jnp.asarray(image) for name, image in _images(2).items()}
    expected = PROGRAM(images)
    together = jax.jit(lambda x: measure(x, names, images_at_once=BATCH))(images)
    mapped = jax.jit(jax.vmap(lambda x: measure({k: v[None] for k, v in x.items()}, names)))(images)
    for name in names:
        np.testing.assert_allclose(together[name], expected[name], rtol=1e-5)
        np.testing.assert_allclose(mapped[name][:, 0], expected[name], rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["q_abf", "q_cv_unstretched", "q_scd", VIF, "ssim", "q_sf", "ag", "sd", "cc"]
)
def test_gradients_are_finite(name):
    metric = METRICS[name]
    images = {k: jnp.asarray(v[:1], jnp.float32) / 255.0 for k, v in _images(3).items()}

    def loss(fused):
        unit = images | {"fused": fused}
        return metric.function(*(levels_of_unit(unit[k]) for k in metric.inputs)).sum()

    gradient = jax.jit(jax.grad(loss))
    assert np.isfinite(gradient(jnp.full_like(images["fused"], 0.5))).all()
    found = gradient(images["fused"])
    assert np.isfinite(found).all() and np.abs(found).max() > 0


def test_evaluate_takes_grey_and_colour_and_any_size():
    rng = np.random.default_rng(1)
    visible, fused = (rng.integers(0, 256, (20, 23, 3), dtype=np.uint8) for _ in "ab")
    infrared = rng.integers(0, 256, (20, 23), dtype=np.uint8)
    values = evaluate(visible, infrared, fused, reference=visible)
    assert set(values) == set(STANDARD + RESTORATION)
    missing = {name for name, value in values.items() if np.isnan(value)}
    assert missing == {"q_vif", "q_niqe", "q_pi", "ms_ssim"}
    assert missing == set(why_not_computed(STANDARD, (20, 23)))
    np.testing.assert_allclose(
        values["restoration_psnr"], -10 * np.log10(np.mean((visible / 255.0 - fused / 255.0) ** 2)), rtol=1e-5
    )


def test_the_table_is_complete():
    assert set(PAPER) < set(STANDARD) < set(METRICS)
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.title and metric.definition and metric.value_range and metric.source and metric.colour
    assert METRICS["q_cv"].direction == METRICS["q_niqe"].direction == "lower"


@pytest.mark.usefixtures("without_type_checks")
def test_bad_input_is_refused():
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(InputError, match="fused.*float32"):
        evaluate(image, image, image.astype(np.float32))
    with pytest.raises(InputError, match="int64"):
        evaluate(image, image.astype(np.int64), image)
    with pytest.raises(InputError, match="20x20.*20x21"):
        evaluate(image, np.zeros((20, 21), np.uint8), image)
    with pytest.raises(InputError, match="q_mii"):
        evaluate(image, image, image, names=["q_mii"])
    with pytest.raises(InputError, match="float16"):
        evaluate(image, image, image, precision="float16")
    with pytest.raises(InputError, match=r"\[20, 20, 4\]"):
        evaluate(image, image, np.zeros((20, 20, 4), np.uint8))
    with pytest.raises(InputError, match="16x32.*20x20"):
        evaluate(image, image, image, canvas=(16, 32))
    with pytest.raises(InputError, match="41"):
        measure({k: image[None] for k in ("visible", "infrared", "fused")}, ["q_vif"])
    with pytest.raises(InputError, match="infrared"):
        measure({k: image[None] for k in ("visible", "fused")}, ["q_mi"])


def test_colour_differences_of_the_published_test_pairs():
    from iassf_jax.metrics.color_difference import lab_difference

    pairs = [  # Sharma, Wu and Dalal 2005, table 1
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (61, -5, 29), 22.8977),
        ((50, 2.5, 0), (56, -27, -3), 31.9030),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ]
    first, second = (jnp.asarray([pair[i] for pair in pairs], jnp.float32) for i in (0, 1))
    np.testing.assert_allclose(lab_difference(first, second), [pair[2] for pair in pairs], atol=1e-3)
