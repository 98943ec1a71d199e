"""Evaluation of data sets: values by hand, strata, failures, batches, devices, files."""

import csv
import functools
import io
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from data_pipelines.decode import ImageError
from iassf_jax.core.errors import InputError
from iassf_jax.evaluation import tables
from iassf_jax.evaluation.evaluate import INPUT, Options, evaluate_places
from iassf_jax.evaluation.measuring import Measurer
from iassf_jax.evaluation.scenes import Place, SceneHaze
from iassf_jax.evaluation.validation import Validator
from iassf_jax.inference import Fuser
from iassf_jax.metrics import METRICS
from iassf_jax.metrics import evaluate as measure_image

NAMES = ("1D", "2N", "3D", "4N", "5D", "6D")
SIZES = dict.fromkeys(NAMES, (24, 32)) | {"4N": (32, 24), "6D": (24, 30)}


class Network(nn.Module):
    """Restores what is twice as far from the airlight 200/255, and fuses by the larger value."""

    @nn.compact
    def __call__(self, hazy, infrared, *, haze_density=None):
        gain = self.param("gain", nn.initializers.constant(2.0), ())
        restored = gain * (hazy - 200 / 255) + 200 / 255
        fused = jnp.maximum(restored, jnp.broadcast_to(infrared, hazy.shape))
        return {"fused": fused, "restored": restored, "haze_density": hazy.mean(-1)}


class Memory:
    """Examples in memory; "broken" cannot be read."""

    has_haze, has_depth = True, False

    def __init__(self, names, broken=()):
        self.names, self._broken = list(names), broken

    def __len__(self):
        return len(self.names)

    def size(self, index):
        return SIZES[self.names[index]]

    def __getitem__(self, index):
        name = self.names[index]
        if name in self._broken:
            raise ImageError(f"{name}.png", "damaged")
        rng = np.random.default_rng(NAMES.index(name))
        shape = (SIZES[name][0] // 8 + 1, SIZES[name][1] // 8 + 1, 4)
        blocks = np.kron(rng.integers(0, 256, shape), np.ones((8, 8, 1), int)).astype(np.uint8)
        blocks = blocks[: SIZES[name][0], : SIZES[name][1]]
        clear, infrared = blocks[..., :3], blocks[..., 3:]
        t = 0.3 if name == "2N" else 0.5
        hazy = np.rint(clear * t + 200 * (1 - t)).astype(np.uint8)
        return {"visible_clear": clear, "visible_hazy": hazy, "infrared": infrared, "name": name}


@functools.cache
def fuser(devices=1):
    """Return the network; what one test compiles serves the next."""
    variables = {"params": {"gain": jnp.asarray(2.0)}}
    return Fuser(Network(), variables, ir_range="full", devices=jax.devices()[:devices])


def places(names=NAMES[:4], data="a", **options):
    examples = Memory(names, **options)
    return [Place(data, examples, index) for index in range(len(examples))]


OPTIONS = Options(
    method="net", metrics=("en", "sd"), baselines=("mean", "dark_channel+mean", "restored+mean")
)


@pytest.fixture(scope="module")
def evaluation():
    return evaluate_places(fuser(), [*places(), *places(("5D", "6D"), "b")], OPTIONS)


def test_values_are_those_of_the_8_bit_images(evaluation):
    fusion, restoration = evaluation.fusion, evaluation.restoration
    assert fusion.names == ["a/1D", "a/2N", "a/3D", "a/4N", "b/5D", "b/6D"]
    assert list(fusion.values) == ["net", *OPTIONS.baselines]
    assert list(restoration.values) == ["net", INPUT, "dark_channel"]
    for index, place in enumerate(places()):
        example = place.examples[place.index]
        hazy, clear = (example[key].astype(float) for key in ("visible_hazy", "visible_clear"))
        restored = np.clip(2 * (hazy - 200) + 200, 0, 255)
        error = ((restored - clear) ** 2).mean()
        psnr = restoration.of("net", "restoration_psnr")[index]
        assert psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
        expected = (restored + example["infrared"] + 1) // 2
        value = measure_image(
            example["visible_clear"], example["infrared"][..., 0], expected.astype(np.uint8), names=["sd"]
        )
        assert fusion.of("restored+mean", "sd")[index] == pytest.approx(value["sd"], rel=1e-5)


class Objective:
    """The network without a loss, for a validation as a run makes it."""

    loss_names = ()

    def apply(self, params, images):
        return Network().apply({"params": params}, images["visible_hazy"], images["infrared"])

    def loss(self, outputs, images, alpha):
        return {}


def test_a_validation_says_the_same_but_for_the_rounding_to_8_bits(evaluation):
    examples = [place.examples[place.index] for place in [*places(), *places(("5D", "6D"), "b")]]
    validation = Validator(Objective())({"gain": jnp.asarray(2.0)}, examples, alpha=1.0)
    for method, name in (("net", "restored"), (INPUT, "input")):
        for metric in ("psnr", "ssim"):
            expected = validation.metrics[f"{name}_{metric}"]
            found = evaluation.restoration.of(method, f"restoration_{metric}").mean()
            assert found == pytest.approx(expected, rel=2e-3)


def test_scenes_are_known_by_haze_light_and_data(evaluation):
    facts = [(scene.data, scene.light, scene.density, scene.haze) for scene in evaluation.scenes]
    assert facts == [
        ("a", "day", "moderate", "file"),
        ("a", "night", "dense", "file"),
        ("a", "day", "moderate", "file"),
        ("a", "night", "moderate", "file"),
        ("b", "day", "moderate", "file"),
        ("b", "day", "moderate", "file"),
    ]


def test_strata_are_the_means_of_their_scenes(evaluation):
    found = {(fact, value): subset for fact, value, subset in tables.strata(evaluation)}
    assert list(found) == [
        ("density", "dense"), ("density", "moderate"), ("light", "day"), ("light", "night"),
        ("data", "a"), ("data", "b"),
    ]  # fmt: skip
    night = found["light", "night"].restoration
    assert night.names == ["a/2N", "a/4N"]
    np.testing.assert_array_equal(night.values["net"], evaluation.restoration.values["net"][[1, 3]])
    content = json.loads(tables.summary_json(evaluation, {"haze": None}, {}))
    mean = content["strata"]["light"]["night"]["restoration"]["net"]["restoration_psnr"]["mean"]
    assert mean == pytest.approx(night.of("net", "restoration_psnr").mean())
    assert content["strata"]["density"]["dense"]["images"] == 1
    assert content["fusion"]["images"] == 6
    text = tables.tables_markdown(evaluation)
    assert "## All, 6 images" in text
    assert "## Haze: dense, 1 image\n" in text
    assert text.count("| net |") == 2 * 7


def test_rows_of_the_csv(evaluation):
    rows = list(csv.DictReader(io.StringIO(tables.images_csv(evaluation, "fusion"))))
    assert len(rows) == 4 * 6
    assert list(rows[0])[:7] == ["method", "name", "data", "light", "haze", "mean_transmission", "density"]
    second = rows[1]
    assert (second["method"], second["name"], second["density"]) == ("net", "2N", "dense")
    assert float(second["mean_transmission"]) == pytest.approx(0.3, abs=0.01)
    assert float(second["sd"]) == evaluation.fusion.of("net", "sd")[1]


@pytest.mark.parametrize("batch, devices", [(3, 1), (4, 4)])
def test_batches_and_devices_change_nothing(evaluation, batch, devices):
    some = jax.devices()[:devices]
    options = Options(method="net", metrics=("en", "q_pi", "sd"), batch=batch, devices=some)
    every = [*places(), *places(("5D", "6D"), "b")]
    found = evaluate_places(fuser(devices), every, options)
    assert np.isnan(found.fusion.of("net", "q_pi")).all()  # computed on the host, and not from such images
    found.fusion.values["net"] = found.fusion.values["net"][:, [0, 2]]
    for part in ("fusion", "restoration"):
        expected, values = (getattr(e, part).values["net"] for e in (evaluation, found))
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_images_of_every_scene_are_handed_out():
    seen = {}
    evaluate_places(
        fuser(), places(("2N",)), OPTIONS, on_images=lambda scene, p: seen.update({scene.name: p})
    )
    pictures = seen["2N"]
    assert set(pictures) == {"hazy", "restored", "fused", "haze", *OPTIONS.baselines}
    assert {image.dtype for image in pictures.values()} == {np.dtype(np.uint8)}
    assert pictures["haze"].shape == (24, 32)


def test_a_scene_that_fails_is_named_and_the_others_go_on(monkeypatch):
    monkeypatch.setitem(SIZES, "3D", (8, 40))
    options = Options(method="net", metrics=("en", "sd"), batch=2)
    done = []
    found = evaluate_places(
        fuser(), places(broken=("2N",)), options, on_done=lambda *counts: done.append(counts)
    )
    assert [scene.name for scene in found.scenes] == ["1D", "4N"]
    assert found.fusion.problems == ["a/2N: 2N.png: damaged", "a/3D: is 40x8: below 16 pixels"]
    assert done[-1] == (4, 4)
    with pytest.raises(InputError, match="none of 1 scenes could be evaluated: a/2N: 2N.png: damaged"):
        evaluate_places(fuser(), places(("2N",), broken=("2N",)), options)


def test_clear_scenes_are_put_into_haze():
    haze = SceneHaze("uniform", seed=1)
    options = Options(method="net", metrics=("en", "sd"), haze=haze)
    (scene,) = evaluate_places(fuser(), places(("1D",)), options).scenes
    _, preset, mean = haze(Memory(("1D",))[0])
    assert (scene.haze, scene.mean_transmission) == (preset, mean) == ("uniform", mean)


def test_what_cannot_be_evaluated_is_refused_at_once():
    with pytest.raises(InputError, match="no scenes"):
        evaluate_places(fuser(), [], OPTIONS)
    with pytest.raises(InputError, match="no baseline is called 'x'"):
        evaluate_places(fuser(), places(), Options(method="net", metrics=("en", "sd"), baselines=("x",)))
    with pytest.raises(InputError, match="no metric is called 'y'"):
        evaluate_places(fuser(), places(), Options(method="net", metrics=("y",)))


def test_metrics_without_a_value_say_why(evaluation):
    needs = METRICS["ms_ssim"].requirement()
    options = Options(method="net", metrics=("ms_ssim", "sd"))
    run = evaluate_places(fuser(), places(("1D",)), options).fusion
    assert needs in run.not_computed["ms_ssim"]
    assert np.isnan(run.of("net", "ms_ssim")).all()


def test_images_without_a_value_are_counted(monkeypatch):
    def one(self, row, names, canvas):
        return {name: math.nan if name == "en" and row.image.shape[0] == 32 else 1.0 for name in names}

    monkeypatch.setattr(Measurer, "_one", one)
    run = evaluate_places(fuser(), places(), Options(method="net", metrics=("en",))).fusion
    assert run.no_value == {"en": {"net": 1}}
