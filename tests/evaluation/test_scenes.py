"""What is known of a scene: its light, how much haze it is in, and the same haze as in a validation."""

import numpy as np
import pytest

from data_pipelines.decode import ImageError
from iassf_jax.evaluation.scenes import (
    SceneHaze,
    density_of,
    describe_scene,
    light_of,
    list_places,
    transmission_of_pair,
)
from iassf_jax.training.haze import Haze, HazyExamples


@pytest.fixture
def clear(rng):
    return np.kron(rng.integers(0, 200, (8, 10, 3)), np.ones((8, 8, 1))).astype(np.uint8)


@pytest.mark.parametrize("t", [0.15, 0.5, 0.95, 1.0])
def test_transmission_of_even_haze_is_recovered(clear, t):
    """Also where it is so thick that the picture is as bright as a released file."""
    hazy = np.rint(clear * t + 190 * (1 - t)).astype(np.uint8)
    assert transmission_of_pair(clear, hazy) == pytest.approx(t, abs=0.01)


@pytest.mark.parametrize("k", [0.02, 0.5, 1.2])
def test_transmission_of_the_released_kind_is_that_of_its_formula(clear, k):
    height, width = clear.shape[:2]
    row, column = np.mgrid[:height, :width]
    t = np.exp(-k * (1 + 0.5 * np.sin(2 * np.pi * (row + column) / (height + width))))[..., None]
    hazy = np.floor(255 * ((clear / 255 * t + 0.4 * (1 - t)) / 2 + 0.5)).astype(np.uint8)
    assert transmission_of_pair(clear, hazy) == pytest.approx(t.mean(), abs=0.01)


def test_transmission_of_uneven_haze_is_the_mean_over_textured_blocks(clear):
    t = np.linspace(0.2, 0.8, clear.shape[1])[None, :, None]
    hazy = np.rint(clear * t + 190 * (1 - t)).astype(np.uint8)
    assert transmission_of_pair(clear, hazy) == pytest.approx(0.5, abs=0.03)


def test_a_flat_or_tiny_image_says_nothing(clear):
    flat = np.full_like(clear, 80)
    assert np.isnan(transmission_of_pair(flat, flat))
    assert np.isnan(transmission_of_pair(clear[:10], clear[:10]))
    assert density_of(float("nan")) == "unknown"


def test_densities():
    assert [density_of(t) for t in (0.0, 0.39, 0.4, 0.69, 0.7, 1.0)] == [
        "dense", "dense", "moderate", "moderate", "light", "light",
    ]  # fmt: skip


def test_light_is_in_the_name_or_in_the_picture(clear):
    assert light_of("00004N", clear + 50) == "night"
    assert light_of("00004D", clear // 8) == "day"
    assert light_of("FLIR_00006", clear + 50) == "day"
    assert light_of("MADRID", clear // 8) == "night"  # no number before the D


def test_haze_is_that_of_a_validation_of_the_same_seed(clear):
    recipe = "uniform:1,iassf_released:1,clear:1"
    examples = [{"name": f"s{i}", "visible_clear": clear} for i in range(4)]
    validated = HazyExamples(Haze(recipe), seed=7)(examples)
    haze = SceneHaze(recipe, seed=7)
    seen = set()
    for example, expected in zip(examples, validated, strict=True):
        hazy, preset, mean = haze(example)
        np.testing.assert_array_equal(hazy, expected["visible_hazy"])
        assert mean == pytest.approx(transmission_of_pair(clear, hazy), abs=0.05)
        seen.add(preset)
    assert seen <= {"uniform", "iassf_released"}


def test_scenes_are_described(clear):
    scene = describe_scene("set", {"name": "1D", "visible_clear": clear}, haze="file", mean_transmission=0.5)
    assert (scene.data, scene.name, scene.light, scene.density) == ("set", "1D", "day", "moderate")


def test_places_of_several_sets(shared):
    roots = {split: str(shared / "data" / "msrs_hazy" / split) for split in ("train", "val")}
    places = list_places(roots, with_hazy=True, limit=2)
    assert [(place.data, place.index) for place in places] == [
        ("train", 0), ("train", 1), ("val", 0), ("val", 1),
    ]  # fmt: skip
    assert places[2].name == "00151D"
    assert places[2].size == (480, 640)
    with pytest.raises(ImageError, match="nowhere"):
        list_places({"a": "/nowhere"}, with_hazy=True)
