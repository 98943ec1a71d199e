"""Batches from folders: aligned crops, epochs, reproducibility, exact continuation, the cache."""

import ast
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import data_pipelines.folder
from data_pipelines import examples
from data_pipelines.cropping import random_crop, resize_images
from data_pipelines.decode import ImageError
from data_pipelines.folder import FolderError, evaluation_examples, training_iterator

COUNT, HEIGHT, WIDTH = 7, 20, 30


@pytest.fixture
def root(tmp_path):
    """Seven scenes in which the clear image says where every pixel is from: (column, row, scene)."""
    for folder_name in ("GT", "hazy", "IR"):
        (tmp_path / folder_name).mkdir()
    for scene in range(COUNT):
        clear = _coordinates(scene)
        cv2.imwrite(str(tmp_path / "GT" / f"s{scene}.png"), clear[:, :, ::-1])
        cv2.imwrite(str(tmp_path / "hazy" / f"s{scene}.png"), (clear + 100)[:, :, ::-1])
        cv2.imwrite(str(tmp_path / "IR" / f"s{scene}.png"), clear[:, :, 0] + 50)
    return tmp_path


def _coordinates(scene, height=HEIGHT, width=WIDTH):
    row, column = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([column, row, np.full_like(row, scene)], axis=-1)


def _take(iterator, count):
    return [next(iterator) for _ in range(count)]


def _assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert batch["name"] == other["name"]
        for name in ("visible_clear", "visible_hazy", "infrared"):
            np.testing.assert_array_equal(batch[name], other[name])


def _differ(batches, others):
    return any(
        not np.array_equal(a["visible_clear"], b["visible_clear"])
        for a, b in zip(batches, others, strict=True)
    )


def test_a_batch_holds_aligned_crops_of_named_scenes(root):
    batch = next(training_iterator(root, batch_size=3, crop=8, seed=0))
    assert set(batch) == {"visible_hazy", "visible_clear", "infrared", "name"}
    assert batch["visible_clear"].shape == batch["visible_hazy"].shape == (3, 8, 8, 3)
    assert batch["infrared"].shape == (3, 8, 8, 1)
    assert {batch[name].dtype for name in batch if name != "name"} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(batch["visible_hazy"], batch["visible_clear"] + 100)
    np.testing.assert_array_equal(batch["infrared"], batch["visible_clear"][..., :1] + 50)
    assert batch["name"] == [f"s{image[0, 0, 2]}" for image in batch["visible_clear"]]
    for image in batch["visible_clear"]:
        column, row, scene = (int(value) for value in image[0, 0])
        np.testing.assert_array_equal(image, _coordinates(scene)[row : row + 8, column : column + 8])


@pytest.mark.parametrize("threads", [0, 3])
def test_an_epoch_shows_every_scene_once_and_epochs_differ(root, threads):
    iterator = training_iterator(root, batch_size=1, crop=8, seed=1, num_threads=threads)
    epochs = [_take(iterator, COUNT) for _ in range(3)]
    orders = [[batch["name"][0] for batch in epoch] for epoch in epochs]
    assert all(sorted(order) == [f"s{i}" for i in range(COUNT)] for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    corners = {
        tuple(batch["visible_clear"][0, 0, 0, :2])
        for epoch in epochs
        for batch in epoch
        if batch["name"] == ["s0"]
    }
    assert len(corners) > 1  # the crop of a scene is drawn anew in every epoch


def test_the_remainder_of_an_epoch_is_left_out_or_filled_up(root):
    dropped = _take(training_iterator(root, batch_size=3, crop=8, seed=0), 4)
    for first, second in (dropped[:2], dropped[2:]):
        assert len({*first["name"], *second["name"]}) == 6  # an epoch is two full batches of other scenes
    filled = _take(training_iterator(root, batch_size=3, crop=8, seed=0, drop_remainder=False), COUNT)
    names = [name for batch in filled for name in batch["name"]]
    assert {len(batch["name"]) for batch in filled} == {3}
    assert all(names.count(f"s{i}") == 3 for i in range(COUNT))  # seven batches of three are three epochs


def test_fewer_scenes_than_a_batch(root):
    with pytest.raises(FolderError, match="has 7 scenes, fewer than batch_size=8; .*drop_remainder=False"):
        training_iterator(root, batch_size=8, crop=8, seed=0)
    batch = next(training_iterator(root, batch_size=10, crop=8, seed=0, drop_remainder=False))
    assert len(batch["name"]) == 10


@pytest.mark.parametrize(
    "options", [{}, {"scale": (0.5, 1.5)}, {"resize": (16, 16)}, {"drop_remainder": False}]
)
def test_the_sequence_is_a_function_of_seed_and_data(root, options):
    def batches(seed, **more):
        return _take(training_iterator(root, batch_size=2, crop=8, seed=seed, **options, **more), 9)

    expected = batches(5)
    _assert_equal(batches(5, num_threads=0), expected)
    _assert_equal(batches(5, num_threads=3, cache_bytes=0), expected)
    assert _differ(batches(6), expected)


@pytest.mark.parametrize("taken", [0, 1, 5, 11])
def test_a_restored_position_continues_with_the_next_batch(root, taken):
    """Eleven batches of two lie in the fourth epoch."""

    def start():
        return training_iterator(root, batch_size=2, crop=8, seed=9, scale=(0.7, 1.2), num_threads=2)

    iterator = start()
    _take(iterator, taken)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = _take(iterator, 6)
    fresh = start()
    fresh.set_state(state)
    _assert_equal(_take(fresh, 6), expected)
    used = start()
    _take(used, 3)
    used.set_state(state)
    _assert_equal(_take(used, 6), expected)


@pytest.mark.parametrize("cache_bytes, decodings", [(1 << 20, COUNT), (0, 3 * COUNT)])
def test_the_cache_decodes_every_scene_once(root, cache_bytes, decodings, monkeypatch):
    calls = []

    def counted(triplet, **options):
        calls.append(triplet.name)
        return read_triplet(triplet, **options)

    read_triplet = examples.read_triplet
    monkeypatch.setattr(examples, "read_triplet", counted)
    _take(
        training_iterator(root, batch_size=1, crop=8, seed=0, num_threads=0, cache_bytes=cache_bytes),
        3 * COUNT,
    )
    assert len(calls) == decodings


def test_the_cache_stays_within_its_budget_and_cannot_be_written_to(root):
    scene_bytes = HEIGHT * WIDTH * 7
    source = examples.Cached(examples.FolderExamples(root), num_bytes=int(2.5 * scene_bytes))
    first = [source[i] for i in range(COUNT)]
    kept = [i for i in range(COUNT) if source[i] is first[i]]
    assert kept == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        source[0]["infrared"][0, 0] = 1


def test_batches_can_be_changed_without_changing_later_ones(root):
    iterator = training_iterator(root, batch_size=7, crop=20, seed=0, num_threads=0, resize=(20, 20))
    expected = {
        name: image.copy()
        for batch in [next(iterator)]
        for name, image in zip(batch["name"], batch["visible_clear"], strict=True)
    }
    next(iterator)["visible_clear"][:] = 0
    again = next(iterator)
    for name, image in zip(again["name"], again["visible_clear"], strict=True):
        np.testing.assert_array_equal(image, expected[name])


def test_images_smaller_than_the_crop_are_extended_by_reflection(root):
    batch = next(training_iterator(root, batch_size=1, crop=70, seed=0))
    scene = int(batch["visible_clear"][0, 0, 0, 2])
    expected = np.pad(_coordinates(scene), ((0, 50), (0, 40), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(batch["visible_clear"][0], expected)
    np.testing.assert_array_equal(batch["infrared"][0], expected[..., :1] + 50)


def test_a_fixed_size_as_in_the_released_code(root):
    batch = next(training_iterator(root, batch_size=1, crop=10, seed=0, resize=(10, 10)))
    clear = _coordinates(int(batch["visible_clear"][0, 0, 0, 2]))
    np.testing.assert_allclose(
        np.float64(batch["visible_clear"][0]), clear.reshape(10, 2, 10, 3, 3).mean(axis=(1, 3)), atol=0.5
    )


def test_a_folder_without_haze(root):
    for path in (root / "hazy").iterdir():
        path.unlink()
    (root / "hazy").rmdir()
    with pytest.raises(FolderError, match="no folder hazy"):
        training_iterator(root, batch_size=2, crop=8, seed=0)
    batch = next(training_iterator(root, batch_size=2, crop=8, seed=0, require_hazy=False))
    assert set(batch) == {"visible_clear", "infrared", "name"}
    assert set(next(evaluation_examples(root, require_hazy=False))) == {"visible_clear", "infrared", "name"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"crop": -1}, "crop is -1"),
        ({"num_threads": -1}, "num_threads is -1"),
        ({"resize": (0.5, 1.0)}, "a random factor is `scale`"),
        ({"scale": (1.0, 0.5)}, "0 < low <= high"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_options_out_of_range_are_refused(options, message, root):
    with pytest.raises(ValueError, match=message):
        training_iterator(root, **{"batch_size": 2, "crop": 8, "seed": 0, **options})


@pytest.mark.parametrize("threads", [0, 2])
def test_a_damaged_image_stops_training_with_its_name(root, threads):
    path = root / "IR" / "s3.png"
    path.write_bytes(path.read_bytes()[:40])
    iterator = training_iterator(root, batch_size=1, crop=8, seed=0, num_threads=threads)
    with pytest.raises(ImageError, match="IR/s3.png"):
        _take(iterator, COUNT)


def test_evaluation_shows_full_images_in_order(root):
    examples = list(evaluation_examples(root))
    assert [example["name"] for example in examples] == [f"s{i}" for i in range(COUNT)]
    for scene, example in enumerate(examples):
        np.testing.assert_array_equal(example["visible_clear"], _coordinates(scene))
        assert example["infrared"].shape == (HEIGHT, WIDTH, 1)
    assert [example["name"] for example in evaluation_examples(root, limit=2)] == ["s0", "s1"]
    with pytest.raises(ValueError, match="limit is 0"):
        evaluation_examples(root, limit=0)


def test_evaluation_reports_a_wrong_folder_at_once(tmp_path):
    with pytest.raises(FolderError):
        evaluation_examples(tmp_path / "nowhere")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 40), factor=st.floats(0.3, 3))
def test_a_scaled_crop_is_a_resized_wider_crop(seed, size, factor):
    """At one fixed factor the crop equals the crop of size/factor pixels, resized."""
    clear = _coordinates(0)
    example = {"visible_clear": clear, "infrared": clear[..., :1], "name": "a"}
    scaled = random_crop(example, np.random.default_rng(seed), size, scale=(factor, factor))
    assert scaled["visible_clear"].shape == (size, size, 3)
    np.testing.assert_array_equal(scaled["infrared"], scaled["visible_clear"][..., :1])
    shown = max(1, round(size / factor))
    rng = np.random.default_rng(seed)
    rng.uniform(factor, factor)
    wider = random_crop(example, rng, shown)
    np.testing.assert_array_equal(
        scaled["visible_clear"], resize_images(wider, (size, size))["visible_clear"]
    )


def test_every_position_of_the_crop_occurs():
    clear = _coordinates(0, height=4, width=5)
    rng = np.random.default_rng(0)
    corners = {
        tuple(random_crop({"visible_clear": clear}, rng, 3)["visible_clear"][0, 0, :2]) for _ in range(200)
    }
    assert corners == {(column, row) for column in range(3) for row in range(2)}


@pytest.mark.parametrize("module", ["folder", "triplets", "cropping"])
def test_host_modules_import_neither_jax_nor_the_package(module):
    source = Path(data_pipelines.folder.__file__).with_name(f"{module}.py").read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert not imported & {"jax", "iassf_jax", "flax"}
