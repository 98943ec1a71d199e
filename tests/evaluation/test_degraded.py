"""The evaluation by degradation, of a network whose results are known."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from data_pipelines.degradations import DEGRADATIONS
from data_pipelines.restoration_pairs import PairExamples
from iassf_jax.core.errors import InputError
from iassf_jax.evaluation import degraded_tables as tables
from iassf_jax.evaluation.degraded import DegradedOptions, evaluate_degraded
from iassf_jax.evaluation.degraded_pairs import evaluate_pairs
from iassf_jax.evaluation.degraded_programs import DegradedPrograms
from iassf_jax.evaluation.degraded_scenes import Condition, Degrader, parse_condition, parse_conditions
from iassf_jax.evaluation.lure_published import DATA_SETS, published_degraded, published_fusion
from iassf_jax.metrics.folders import Measurements

CLEAN = 5  # place of "PD" among the classes


class Told(nn.Module):
    """Halves every image of which something wrong is said; fuses by the brighter, its rule by the mean."""

    text_backend = "onehot"
    split_sr = False
    widths = (1,)

    def __call__(self, visible, infrared, *, text_visible, text_infrared):
        v = _halved(visible, text_visible)
        r = _halved(jnp.broadcast_to(infrared, visible.shape), text_infrared)
        return {"fused": jnp.maximum(v, r), "latent_visible_1": v, "latent_infrared_1": r}

    def restore(self, image, sentence, modality):
        restored = _halved(image, sentence)
        return {"restored": restored, "latents": (restored,)}

    def fuse_by_rule(self, visible, infrared):
        return (0.5 * (visible[0] + infrared[0]),)

    def decode(self, latents):
        return latents[0]


def _halved(image, sentence):
    return image * (1.0 - 0.5 * (1.0 - sentence[:, CLEAN]))[:, None, None, None]


def scene(name, seed):
    rng = np.random.default_rng(seed)
    visible = np.kron(rng.integers(20, 120, (3, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return {"name": name, "visible_clear": visible, "infrared": visible[::-1, :, :1]}


SCENES = [scene("a", 0), scene("b", 1)]


@pytest.fixture(scope="module")
def evaluation():
    pictures, done = {}, []
    options = DegradedOptions(("OE", "LC"), tuple(parse_conditions(["LC", "oe+lc"])), metrics=("cc", "sd"))
    found = evaluate_degraded(
        DegradedPrograms(Told(), {}),
        SCENES,
        options,
        on_pictures=pictures.setdefault,  # of LC the restoration, which comes first
        on_done=done.append,
    )
    assert done == [1, 2]
    return found, pictures


def db(image, target):
    return 10 * np.log10(255.0**2 / np.square(image.astype(float) - target.astype(float)).mean())


def test_restoration_is_measured_against_the_clean_image(evaluation):
    found, pictures = evaluation
    assert list(found.restoration) == ["PD visible", "PD infrared", "OE", "LC"]
    for number, example in enumerate(SCENES):
        for kind, clean in (
            ("OE", example["visible_clear"]),
            ("LC", np.tile(example["infrared"], (1, 1, 3))),
        ):
            images = pictures[f"{example['name']} {kind}"]
            run = found.restoration[kind]
            np.testing.assert_array_equal(images["clean"], clean)
            np.testing.assert_allclose(images["restored"], images["degraded"] * 0.5, atol=0.51)
            for method in ("degraded", "restored"):
                expected = db(images[method], clean)
                np.testing.assert_allclose(run.of(method, "restoration_psnr")[number], expected, rtol=1e-4)
    # Nothing is said of a clean image, and this network leaves it as it is.
    assert np.isinf(found.restoration["PD visible"].of("reconstructed", "restoration_psnr")).all()
    gain = tables.gains(found.restoration)["OE"]
    run = found.restoration["OE"]
    difference = run.of("restored", "restoration_psnr") - run.of("degraded", "restoration_psnr")
    np.testing.assert_allclose(gain.difference, difference.mean())


def test_fusions_are_told_what_is_wrong_or_nothing(evaluation):
    found, pictures = evaluation
    images = pictures["b OE+LC"]
    thermal = np.tile(images["infrared"], (1, 1, 3))
    brighter = np.maximum(images["visible"], thermal)
    np.testing.assert_array_equal(images["told nothing"], brighter)
    np.testing.assert_allclose(images["told"], brighter * 0.5, atol=0.51)
    clean = pictures["b PD"]
    np.testing.assert_array_equal(images["clean pair"], clean["learned"])
    mean = (clean["visible"].astype(float) + np.tile(clean["infrared"], (1, 1, 3))) / 2
    np.testing.assert_allclose(clean["rule alone"], mean, atol=0.51)
    run = found.degraded_fusion["OE+LC"]
    assert list(found.degraded_fusion) == ["LC", "OE+LC"]
    expected = db(images["told"], clean["learned"])
    np.testing.assert_allclose(run.of("told", "restoration_psnr")[1], expected, rtol=1e-4)
    assert found.fusion.metrics == ["cc", "sd"]


def test_listed_pairs_are_restored_from_their_files_or_from_what_is_made(tmp_path):
    example = SCENES[0]
    for name, image in (("hq", example["visible_clear"]), ("lq", 255 - example["visible_clear"])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "ir.png"), example["infrared"])
    manifest = tmp_path / "pairs.csv"
    manifest.write_text("hq,lq,task\nhq.png,lq.png,HZ\nir.png,,LC\n")
    examples = PairExamples(manifest)
    found = evaluate_pairs(DegradedPrograms(Told(), {}), examples)
    assert list(found) == ["HZ", "LC"]
    dark = 0.5 * (255 - example["visible_clear"])
    expected = db(np.round(dark), example["visible_clear"])
    np.testing.assert_allclose(found["HZ"].of("restored", "restoration_psnr"), [expected], rtol=1e-2)
    made = Degrader().image(examples.names[1], example["infrared"], "LC")
    expected = db(made, example["infrared"])
    np.testing.assert_allclose(found["LC"].of("degraded", "restoration_psnr"), [expected], rtol=1e-4)
    assert "| LC | " in tables.restoration_markdown(found)


def test_latents_are_of_every_restored_image(evaluation):
    latents = evaluation[0].latents
    assert sorted(zip(latents.scenes, latents.kinds, latents.infrared, strict=True)) == sorted(
        (name, kind, infrared)
        for name in "ab"
        for kind, infrared in (("PD", False), ("PD", True), ("OE", False), ("LC", True))
    )
    place = latents.kinds.index("LC")
    halved = Degrader().image("a", SCENES[0]["infrared"], "LC").mean() / 255.0 / 2.0
    np.testing.assert_allclose(latents.features[place], [halved] * 3, rtol=1e-5)


def test_tables_hold_the_values_and_the_published_ones(evaluation):
    found, _ = evaluation
    text = tables.tables_markdown(found, data_set="MSRS")
    gain = tables.gains(found.restoration)["OE"].difference
    assert f"{gain:+.2f}" in next(line for line in text.splitlines() if line.startswith("| OE |"))
    assert "| Text-IF | 0.6000 |" in text
    assert "| LURE |  | 55.40 |" in text  # SD of the paper's OE+LC
    rows = tables.images_csv(found).splitlines()
    assert rows[0] == "part,condition,method,name,restoration_psnr,restoration_ssim,cc,sd"
    # Restoration 2 + 2 * 2 rows of each scene, clean fusion 2, two conditions 2.
    assert len(rows) == 1 + 2 * (6 + 2 + 4)
    assert "NaN" not in tables.summary_json(found, {"weights": "none"})


def test_one_scene_has_no_interval_and_equal_images_are_told():
    def markdown(before, after):
        values = {
            name: np.array([[db, 0.5] for db in x])
            for name, x in ((tables.DEGRADED, before), (tables.RESTORED, after))
        }
        names = [str(i) for i in range(len(before))]
        run = Measurements(names, list(tables.RESTORATION), values, [], {})
        return tables.restoration_markdown({"OE": run})

    one = markdown([20.0], [22.5])
    assert "| +2.50 |" in one and "nan" not in one
    assert "| +1.00 (1 of 2 scenes: 1 infinite) |" in markdown([20.0, 30.0], [21.0, np.inf])
    assert "| +1.00 [+1.00, +1.00] |" in markdown([20.0, 30.0], [21.0, 31.0])
    assert "| – (0 of 1 scenes: 1 infinite) |" in markdown([np.inf], [np.inf])


def test_published_rows_are_complete():
    for name in DATA_SETS:
        assert len(published_fusion(name)) == 8
    assert published_fusion("MSRS")["LURE"] == {
        "cc": 0.61,
        "q_scd": 1.74,
        "psnr_tang_half": 32.56,
        "ssim": 0.49,
        "ms_ssim": 0.53,
    }
    assert published_degraded("SR8")["DAFusion"] == {"q_sf": 15.23}
    assert published_degraded("HZ") == {}


def test_conditions_by_name():
    assert parse_condition("lc+oe") == Condition("OE", "LC")
    assert parse_condition("lc+oe").name == "OE+LC"
    assert (parse_condition("SR8").visible, Condition().name) == ("PD", "PD")
    assert all(parse_condition(name).name == name for name in DEGRADATIONS if name != "PD")
    with pytest.raises(InputError, match="no degradation 'RAIN'; there are LC, SR4"):
        parse_condition("rain")
    with pytest.raises(InputError, match="HZ and LL are both of the visible image"):
        parse_condition("HZ+LL")


def test_degraded_scenes_depend_on_name_and_seed_only():
    clean = SCENES[0]["visible_clear"]
    one = Degrader(seed=1).image("a", clean, "LL")
    np.testing.assert_array_equal(one, Degrader(seed=1).image("a", clean, "LL"))
    assert (one != Degrader(seed=1).image("b", clean, "LL")).any()
    assert Degrader().image("a", clean, "PD") is clean


def test_what_cannot_be_evaluated_is_an_error():
    with pytest.raises(InputError, match="Dense is not told what is wrong"):
        DegradedPrograms(nn.Dense(3), {})
    with pytest.raises(InputError, match="no scenes"):
        evaluate_degraded(DegradedPrograms(Told(), {}), [], DegradedOptions())
