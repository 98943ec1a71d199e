"""Depth travels with the images from files to the haze on the device; unused hazy files stay closed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from data_pipelines.augment import augment, to_float
from data_pipelines.decode import ImageError
from data_pipelines.depth_files import DepthRule
from data_pipelines.examples import open_examples
from data_pipelines.folder import evaluation_examples, training_iterator
from data_pipelines.haze import synthesize
from data_pipelines.loaders import training_batches
from data_pipelines.mixtures import open_mixture
from data_pipelines.resident import crop_scenes, resident_bytes, stack_scenes
from data_pipelines.sets.build import build_set
from data_pipelines.triplets import FolderError, list_triplets

RULE = DepthRule("distance", scale=0.5, limits=(1.0, 200.0))
OPTIONS = {"batch_size": 3, "seed": 4, "num_threads": 0, "require_hazy": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every depth file holds twice the clear image's red value: 16 bits for the first scenes, an array last.

    The hazy files are no images, so that whoever decodes one fails.
    """
    root = tmp_path_factory.mktemp("depth")
    rng = np.random.default_rng(0)
    for name in ("GT", "hazy", "IR", "Depth"):
        (root / name).mkdir()
    for scene in range(4):
        clear = rng.integers(1, 200, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(clear).save(root / "GT" / f"{scene}.png")
        Image.fromarray(clear[..., 0]).save(root / "IR" / f"{scene}.png")
        (root / "hazy" / f"{scene}.png").write_bytes(b"no image")
        stored = clear[..., 0].astype(np.uint16) * np.uint16(2)
        if scene < 3:
            Image.fromarray(stored).save(root / "Depth" / f"{scene}.png")
        else:
            np.save(root / "Depth" / f"{scene}.npy", stored[..., None].astype(np.float32))
    return root


def assert_paired(example):
    assert example["depth"].dtype == np.float32
    np.testing.assert_array_equal(example["depth"], example["infrared"].astype(np.float32))


@pytest.mark.parametrize("crop", [12, 40])
def test_crops_of_depth_are_those_of_the_images(folder, crop):
    """Also beyond the image, where both are reflected."""
    batch = next(training_iterator(folder, crop=crop, with_hazy=False, depth=RULE, **OPTIONS))
    assert set(batch) == {"visible_clear", "infrared", "depth", "name"}
    assert batch["depth"].shape == (3, crop, crop, 1)
    assert_paired(batch)


def test_depth_is_resized_with_the_images(folder):
    batch = next(training_iterator(folder, crop=10, resize=(10, 12), with_hazy=False, depth=RULE, **OPTIONS))
    np.testing.assert_allclose(batch["depth"], batch["infrared"].astype(np.float32), atol=0.51)


def test_a_built_set_keeps_depth_and_an_evaluation_shows_it(folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("GT", "IR", "Depth"):
        (source / name).symlink_to(folder / name)
    build_set("folder", source, data_dir=tmp_path, name="deep")
    for example in evaluation_examples("deep", depth=RULE, require_hazy=False, data_dir=tmp_path):
        assert example["depth"].shape == (20, 24, 1)
        assert_paired(example)
    assert "depth" not in next(evaluation_examples("deep", require_hazy=False, data_dir=tmp_path))


def test_resident_depth_is_that_of_the_loader(folder):
    mixture = open_mixture(folder, with_hazy=False, depth=RULE)
    arrays = stack_scenes(mixture, crop=8)
    assert resident_bytes(mixture, crop=8) == sum(array.nbytes for array in arrays.values())
    options = {"batch_size": 3, "crop": 8, "seed": 7, "num_threads": 0}
    place = next(training_batches(mixture, places_only=True, **options))
    cut = crop_scenes(
        {name: jnp.asarray(array) for name, array in arrays.items()},
        *(jnp.asarray(place[name]) for name in ("scene", "top", "left")),
        crop=8,
    )
    np.testing.assert_array_equal(cut["depth"], next(training_batches(mixture, **options))["depth"])


def test_flips_turn_depth_and_jitter_leaves_it(folder):
    batch = next(training_iterator(folder, crop=16, with_hazy=False, depth=RULE, **OPTIONS))
    images = {name: jnp.asarray(value) for name, value in batch.items() if name != "name"}
    moved = to_float(augment(jax.random.key(1), images, rotate=True, brightness=0.3, gamma=0.2))
    assert not np.array_equal(moved["depth"], batch["depth"])
    np.testing.assert_allclose(moved["depth"], np.asarray(moved["infrared"]) * 255, atol=1e-4)
    hazy = np.asarray(
        synthesize(jax.random.key(0), jnp.zeros((3, 16, 16, 3)), "reside_ots", depth=moved["depth"])
    )
    for haze, metres in zip(hazy[..., 0], np.asarray(moved["depth"])[..., 0], strict=True):
        order = np.argsort(metres.ravel(), kind="stable")
        assert (np.diff(haze.ravel()[order]) >= 0).all()  # the farther, the more airlight


def test_hazy_files_are_opened_only_when_they_are_used(folder):
    options = {**OPTIONS, "crop": 8}
    assert "visible_hazy" not in next(training_iterator(folder, with_hazy=False, **options))
    assert "visible_hazy" not in next(evaluation_examples(folder, with_hazy=False))
    with pytest.raises(ImageError, match=r"hazy/.\.png"):
        next(training_iterator(folder, **options))
    assert not open_examples(folder, with_hazy=False).has_haze


def test_depth_that_is_asked_for_has_to_be_there(folder, tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("GT", "IR"):
        (tmp_path / "a" / name).symlink_to(folder / name)
    with pytest.raises(FolderError, match="has no folder depth"):
        list_triplets(tmp_path / "a", require_hazy=False, with_depth=True)
    build_set("folder", tmp_path / "a", data_dir=tmp_path, name="flat")
    with pytest.raises(ImageError, match="flat:train: has no depth for each scene"):
        open_examples("flat", depth=RULE, require_hazy=False, data_dir=tmp_path)
    (tmp_path / "a" / "depth").mkdir()
    np.save(tmp_path / "a" / "depth" / "0.npy", np.ones((5, 24)))
    with pytest.raises(FolderError, match="1 names match"):
        list_triplets(tmp_path / "a", require_hazy=False, with_depth=True)
    for scene in range(1, 4):
        np.save(tmp_path / "a" / "depth" / f"{scene}.npy", np.ones((20, 24)))
    with pytest.raises(ImageError, match=r"0\.npy: is 24x5 but 24x20"):
        next(evaluation_examples(tmp_path / "a", require_hazy=False, depth=RULE))


@pytest.mark.usefixtures("without_type_checks")
def test_a_rule_has_to_say_which_way_depth_runs():
    with pytest.raises(ValueError, match="depth convention 'near': expected distance or disparity"):
        DepthRule("near")
