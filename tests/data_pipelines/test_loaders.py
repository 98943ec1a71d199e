"""Batches for any number of hosts, workers and restarts; mixtures; evaluation batches; resident sets."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.cropping import random_crop, resize_images
from data_pipelines.decode import ImageError
from data_pipelines.evaluation_batches import evaluation_batches, group_examples
from data_pipelines.examples import open_examples
from data_pipelines.folder import evaluation_examples, training_iterator
from data_pipelines.loaders import training_batches
from data_pipelines.mixtures import Component, open_mixture, parse_mixture
from data_pipelines.resident import crop_scenes, resident_bytes, stack_scenes
from data_pipelines.sets.build import build_set

SIZES = [(20, 30), (24, 30), (20, 30), (20, 12), (20, 30), (24, 30), (20, 30), (11, 30), (20, 30)]
IMAGES = ("visible_clear", "visible_hazy", "infrared")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scenes in which the clear image says where every pixel is from, and the others follow from it."""
    root = tmp_path_factory.mktemp("folder")
    for name in ("GT", "hazy", "IR"):
        (root / name).mkdir()
    for scene, (height, width) in enumerate(SIZES):
        row, column = np.mgrid[:height, :width].astype(np.uint8)
        clear = np.stack([column, row, np.full_like(row, scene)], axis=-1)
        images = {"GT": clear[:, :, ::-1], "hazy": (clear + 100)[:, :, ::-1], "IR": clear[:, :, 0] + 50}
        for name, image in images.items():
            cv2.imwrite(str(root / name / f"s {scene}.png"), image)
    return root


@pytest.fixture(scope="module")
def sets(folder, tmp_path_factory):
    """The same scenes as a built set "mine" (train) and the first three without haze as "clear"."""
    data_dir = tmp_path_factory.mktemp("sets")
    build_set("folder", folder, data_dir=data_dir, name="mine")
    source = tmp_path_factory.mktemp("clear")
    for name in ("GT", "IR"):
        (source / name).mkdir()
        for scene in range(3):
            data = (folder / name / f"s {scene}.png").read_bytes()
            (source / name / f"clear{scene}.png").write_bytes(data)
    build_set("folder", source, data_dir=data_dir, name="clear")
    return data_dir


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert set(batch) == set(other)
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def assert_paired(example):
    np.testing.assert_array_equal(example["visible_hazy"], example["visible_clear"] + 100)
    np.testing.assert_array_equal(example["infrared"], example["visible_clear"][..., :1] + 50)


def joined(parts):
    """Put the rows of all hosts together."""
    return [
        {
            name: sum((part[name] for part in batch), [])
            if name == "name"
            else np.concatenate([part[name] for part in batch])
            for name in batch[0]
        }
        for batch in zip(*parts, strict=True)
    ]


@pytest.mark.parametrize("drop_remainder", [True, False])
def test_four_hosts_read_together_what_one_host_reads(folder, drop_remainder):
    options = {"batch_size": 4, "crop": 16, "seed": 3, "drop_remainder": drop_remainder, "num_threads": 1}
    expected = take(training_iterator(folder, **options), 7)
    for num_hosts in (2, 4):
        parts = [
            take(training_iterator(folder, host=host, num_hosts=num_hosts, **options), 7)
            for host in range(num_hosts)
        ]
        assert_equal(joined(parts), expected)
    for batch in expected:
        assert_paired(batch)


def test_a_position_survives_a_change_of_hosts_workers_and_threads(folder):
    options = {"batch_size": 4, "crop": 16, "seed": 3}
    whole = training_iterator(folder, num_threads=0, **options)
    take(whole, 3)
    state = json.loads(json.dumps(whole.get_state()))
    expected = take(whole, 4)
    parts = []
    for host, threads in ((0, 0), (1, 2)):
        part = training_iterator(folder, host=host, num_hosts=2, num_threads=threads, **options)
        part.set_state(state)
        parts.append(take(part, 4))
    assert_equal(joined(parts), expected)


def test_worker_processes_give_the_same_batches_and_go_on_from_a_position(folder, sets):
    options = {"batch_size": 2, "crop": 16, "seed": 3, "data_dir": sets, "cache_bytes": 1 << 20}
    expected = take(training_iterator("mine:train", num_threads=0, **options), 6)
    workers = training_iterator("mine:train", num_workers=2, num_threads=1, **options)
    assert_equal(take(workers, 3), expected[:3])
    workers.close()
    assert_equal(take(workers, 3), expected[3:])  # closed is not lost, it starts again at its position
    workers.close()


_READS_ON = """
import multiprocessing, os, signal, sys, threading, time
from data_pipelines.folder import training_iterator

def once_they_start():  # and do not yet run anything of ours
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.001)
    os.killpg(0, signal.SIGTERM)

if __name__ == "__main__":
    received = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(signal.Signals(number).name))
    iterator = training_iterator(sys.argv[1], batch_size=2, crop=8, seed=0, num_workers=2, num_threads=1)
    threading.Thread(target=once_they_start).start()
    next(iterator)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.killpg(0, number)
        for _ in range(20):
            next(iterator)
    print(*received, *(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_outlive_signals_to_the_group_but_not_their_parent(folder, tmp_path):
    script = tmp_path / "reads_on.py"
    script.write_text(_READS_ON)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment
    ) as process:
        words = process.stdout.readline().split()
        process.kill()
    assert words[:3] == ["SIGTERM", "SIGINT", "SIGTERM"] and len(words) == 5
    deadline = time.monotonic() + 30
    while any(running(pid) for pid in words[3:]):
        assert time.monotonic() < deadline, "the workers outlive the process that started them"
        time.sleep(0.05)


def test_another_process_goes_on_where_this_one_stopped(sets, tmp_path):
    options = {"batch_size": 3, "crop": 16, "seed": 5, "num_threads": 1, "data_dir": str(sets)}
    iterator = training_iterator("mine", **options)
    take(iterator, 4)
    state, expected = iterator.get_state(), take(iterator, 5)
    code = f"""
import json, sys, numpy as np
from data_pipelines.folder import training_iterator
iterator = training_iterator("mine", **json.loads({json.dumps(json.dumps(options))}))
iterator.set_state(json.loads({json.dumps(json.dumps(state))}))
batches = [next(iterator) for _ in range(5)]
np.savez({str(tmp_path / "rest.npz")!r}, *[b[k] for b in batches for k in {IMAGES!r}])
assert not {{"tensorflow", "iassf_jax"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with np.load(tmp_path / "rest.npz") as rest:
        arrays = [rest[name] for name in rest.files]
    for array, other in zip(arrays, [b[k] for b in expected for k in IMAGES], strict=True):
        np.testing.assert_array_equal(array, other)


def test_positions_of_other_data_are_refused(folder, sets):
    def start(root="mine", batch_size=2):
        return training_iterator(root, batch_size=batch_size, crop=16, seed=0, data_dir=sets)

    state = start().get_state()
    start(str(folder)).set_state(state)  # the same names: a folder may be built in between
    with pytest.raises(ValueError, match="among batch_size 2, here it is 3"):
        start(batch_size=3).set_state(state)
    with pytest.raises(ValueError, match="among scenes"):
        start("mine + mine").set_state(state)


def test_a_built_set_gives_the_batches_of_its_folder(folder, sets):
    options = {"batch_size": 2, "crop": 16, "seed": 1, "num_threads": 0, "data_dir": sets}
    assert_equal(
        take(training_iterator("mine:train", **options), 6), take(training_iterator(folder, **options), 6)
    )
    path = sets / "mine"
    assert_equal(list(evaluation_examples("mine", data_dir=sets)), list(evaluation_examples(f"{path}:train")))
    assert_equal(list(evaluation_examples("mine", data_dir=sets)), list(evaluation_examples(folder)))
    assert open_examples("mine", data_dir=sets).size(3) == open_examples(folder).size(3) == (20, 12)


def test_mixtures_keep_their_proportions_and_show_every_scene(sets):
    mixture = open_mixture("mine*2 + mine", data_dir=sets)
    assert (len(mixture.names), mixture.weights) == (18, [2.0, 1.0])
    batches = take(training_batches(mixture, batch_size=3, crop=8, seed=0, places_only=True), 27)
    scenes = np.concatenate([batch["scene"] for batch in batches])
    assert (scenes < 9).sum() == 54
    assert set(np.bincount(scenes[scenes < 9])) == {6}  # every scene once an epoch of its own set
    assert set(np.bincount(scenes[scenes >= 9])[9:]) == {3}
    names = [name for batch in batches for name in batch["name"]]
    assert names == [mixture.names[scene] for scene in scenes]
    assert list(scenes[scenes < 9][:9]) != list(scenes[scenes >= 9][:9] - 9)  # each set has its own order


def test_mixtures_for_four_hosts(sets):
    options = {"batch_size": 4, "crop": 8, "seed": 2, "num_threads": 0, "data_dir": sets}
    expected = take(training_iterator("mine*0.7 + mine*0.3", **options), 5)
    parts = [
        take(training_iterator("mine*0.7 + mine*0.3", host=host, num_hosts=4, **options), 5)
        for host in range(4)
    ]
    assert_equal(joined(parts), expected)


def test_how_mixtures_are_written():
    assert parse_mixture("a:train*0.7 + data/b + c * 2") == [
        Component("a:train", 0.7), Component("data/b", 1.0), Component("c", 2.0)
    ]  # fmt: skip
    for text in ("a*0", "a*-1", "a*x", "a*inf"):
        with pytest.raises(ValueError, match="must be a positive number"):
            parse_mixture(text)


def test_sets_without_haze(sets):
    with pytest.raises(ImageError, match="clear:train: has no hazy images"):
        open_examples("clear", data_dir=sets)
    with pytest.raises(ImageError, match="clear:train: has no hazy images"):
        open_mixture("mine + clear", data_dir=sets)
    mixture = open_mixture("mine + clear", data_dir=sets, require_hazy=False)
    mixed = next(training_batches(mixture, batch_size=4, crop=8, seed=0))
    assert set(mixed) == {"visible_clear", "infrared", "name"}
    assert sum(name.startswith("clear") for name in mixed["name"]) == 2
    batch = next(training_iterator("clear", batch_size=2, crop=8, seed=0, require_hazy=False, data_dir=sets))
    assert set(batch) == {"visible_clear", "infrared", "name"}


def test_names_that_lead_nowhere(sets):
    with pytest.raises(ImageError, match="neither a folder with GT/, hazy/ and IR/ nor a built set in"):
        open_examples("mime", data_dir=sets)
    with pytest.raises(ImageError, match="mime: is neither a built set"):
        open_examples("mime:train", data_dir=sets)
    with pytest.raises(ImageError, match="no split 'val'; there are train"):
        open_examples("mine:val", data_dir=sets)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named(folder, tmp_path, workers):
    for name in ("GT", "hazy", "IR"):
        (tmp_path / name).mkdir()
        for scene in (0, 2):
            data = (folder / name / f"s {scene}.png").read_bytes()
            (tmp_path / name / f"s {scene}.png").write_bytes(data)
    (tmp_path / "IR" / "s 2.png").write_bytes(b"\x89PNG")
    iterator = training_iterator(tmp_path, batch_size=1, crop=8, seed=0, num_workers=workers)
    with pytest.raises(Exception, match="IR/s 2.png"):
        take(iterator, 2)
    iterator.close()


@pytest.mark.parametrize("num_hosts, batch_size", [(1, 4), (2, 4), (1, 1), (1, 50)])
def test_evaluation_shows_every_scene_once_for_any_number_of_hosts(folder, num_hosts, batch_size):
    mixture = open_mixture(folder)
    parts = [
        list(evaluation_batches(mixture, batch_size=batch_size, host=host, num_hosts=num_hosts))
        for host in range(num_hosts)
    ]
    batches = joined(parts)
    assert {len(batch["name"]) for batch in batches} == {batch_size}
    shown = {}
    for batch in batches:
        assert_paired(batch)
        assert batch["mask"].dtype == np.float32
        for name, mask, image in zip(batch["name"], batch["mask"], batch["visible_clear"], strict=True):
            assert (mask == 1) == (name != "")
            if name:
                assert name not in shown
                shown[name] = image
    expected = {example["name"]: example["visible_clear"] for example in evaluation_examples(folder)}
    assert set(shown) == set(expected)
    for name, image in expected.items():
        np.testing.assert_array_equal(shown[name], image)


def test_single_examples_share_batches_with_neighbours_of_their_size(folder):
    """A batch is complete before the next example is read, and a new size starts a new one."""
    examples = {example["name"]: example for example in evaluation_examples(folder)}
    read = []

    def watched():
        for number in (0, 2, 4, 1, 5, 6, 8):
            read.append(number)
            yield examples[f"s {number}"]

    batches, read_by_then = [], []
    for batch in group_examples(watched(), batch_size=2):
        assert_paired(batch)
        batches.append(batch)
        read_by_then.append(len(read))
    assert [batch["name"] for batch in batches] == [
        ["s 0", "s 2"],
        ["s 4", ""],
        ["s 1", "s 5"],
        ["s 6", "s 8"],
    ]
    assert read_by_then == [2, 4, 5, 7]
    np.testing.assert_array_equal(batches[1]["mask"], np.float32([1, 0]))
    np.testing.assert_array_equal(batches[1]["visible_clear"][0], examples["s 4"]["visible_clear"])
    with pytest.raises(ValueError, match="batch_size is 0"):
        next(group_examples(watched(), batch_size=0))


@pytest.mark.parametrize("crop", [8, 16, 40])
def test_resident_crops_are_those_of_the_loader(folder, sets, crop):
    """Also where images are smaller than the crop, for mixtures, and inside jit."""
    mixture = open_mixture("mine*2 + mine", data_dir=sets)
    arrays = stack_scenes(mixture, crop=crop)
    assert resident_bytes(mixture, crop=crop) == sum(array.nbytes for array in arrays.values())
    options = {"batch_size": 3, "crop": crop, "seed": 7, "num_threads": 0}
    places = training_batches(mixture, places_only=True, **options)
    batches = training_batches(mixture, **options)
    cut = jax.jit(crop_scenes, static_argnames="crop")
    scenes = {name: jnp.asarray(array) for name, array in arrays.items()}
    for place, batch in zip(take(places, 8), take(batches, 8), strict=True):
        assert place["name"] == batch["name"]
        found = cut(scenes, *(jnp.asarray(place[name]) for name in ("scene", "top", "left")), crop=crop)
        assert set(found) == set(IMAGES)
        for name in IMAGES:
            np.testing.assert_array_equal(found[name], batch[name])
    assert places.get_state() == batches.get_state()  # a run may change between the two


@given(
    st.tuples(st.integers(4, 60), st.integers(4, 60)),
    st.integers(1, 50),
    st.integers(0, 2**32 - 1),
    st.none() | st.tuples(st.floats(0.3, 1), st.floats(1, 2)),
)
@settings(max_examples=20, deadline=None)
def test_pairing_survives_every_crop(size, side, seed, scale):
    """The three images carry the same picture, so they must stay equal whatever is done to them."""
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    example = {"visible_clear": picture, "visible_hazy": picture.copy(), "infrared": picture[:, :, :1].copy()}
    cropped = random_crop(example, np.random.default_rng(seed), side, scale=scale)
    for result in (cropped, resize_images(example, (side, side + 3))):
        np.testing.assert_array_equal(result["visible_hazy"], result["visible_clear"])
        np.testing.assert_array_equal(result["infrared"], result["visible_clear"][:, :, :1])
    assert cropped["visible_clear"].shape == (side, side, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"host": 2, "num_hosts": 2}, "host 2 of 2"),
        ({"batch_size": 3, "num_hosts": 2}, "number of hosts divides"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"places_only": True, "scale": (0.5, 1.0)}, "resident sets do not"),
        ({"batch_size": 10}, "fewer than batch_size=10"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_options_out_of_range_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        training_iterator(folder, **{"batch_size": 4, "crop": 8, "seed": 0, **options})


@pytest.mark.parametrize("name, split", [("roadscene", ""), ("msrs_hazy", "val")])
def test_sixteen_crops_of_the_real_sets(shared, tmp_path, name, split):
    card = name if not split else "folder"
    build_set(card, shared / "data" / name / split, data_dir=tmp_path)
    iterator = training_iterator(
        f"{card}:train", batch_size=16, crop=256, seed=0, num_threads=0, require_hazy=False, data_dir=tmp_path
    )
    batch = next(iterator)
    assert batch["visible_clear"].shape == (16, 256, 256, 3)
    assert batch["infrared"].shape == (16, 256, 256, 1)
    assert ("visible_hazy" in batch) == (name == "msrs_hazy")
    assert len(set(batch["name"])) == 16
