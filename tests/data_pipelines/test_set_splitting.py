"""Splits by sequence: neighbours never part, whatever else changes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.sets.cards import CARDS
from data_pipelines.sets.scan import Scanned, fingerprint
from data_pipelines.sets.splitting import assign, by_split, sequence_key, similar_pairs

CARD = dataclasses.replace(CARDS["folder"], fractions={"train": 0.6, "val": 0.2, "test": 0.2}, gap=5)


def scanned(name, thumbnail=None, split=None):
    if thumbnail is None:
        rng = np.random.default_rng(int.from_bytes(name.encode(), "big"))
        thumbnail = rng.normal(size=(2, 256))
    thumbnail = np.float32(thumbnail / np.linalg.norm(thumbnail, axis=1, keepdims=True))
    return Scanned(name, split, {}, 8, 8, thumbnail)


def splits_of(assigned):
    return {item.scene.name: item.split for item in assigned}


@given(st.sets(st.integers(0, 400), min_size=1, max_size=60))
@settings(max_examples=20, deadline=None)
def test_close_numbers_share_a_split(numbers):
    numbers = sorted(numbers)
    result = splits_of(assign(CARD, [scanned(f"f{number:04d}") for number in numbers]))
    assert len(result) == len(numbers)
    for before, after in zip(numbers, numbers[1:], strict=False):
        if after - before <= CARD.gap:
            assert result[f"f{before:04d}"] == result[f"f{after:04d}"]


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_shares_are_met_and_the_order_does_not_matter(seed):
    names = sorted(f"s{number:05d}" for number in {seed + 10 * i for i in range(50)})
    scenes = [scanned(name) for name in names]
    result = splits_of(assign(CARD, scenes))
    counts = [list(result.values()).count(split) for split in ("train", "val", "test")]
    assert counts == [30, 10, 10]
    shuffled = [scenes[i] for i in np.random.default_rng(seed).permutation(len(scenes))]
    assert splits_of(assign(CARD, shuffled)) == result


def test_followers_that_look_alike_and_duplicates_anywhere_share_a_group():
    rng = np.random.default_rng(0)
    first, other = rng.normal(size=(2, 2, 256))
    scenes = [
        scanned("000", first),
        scanned("100", first + 0.2 * rng.normal(size=(2, 256))),  # correlation about 0.98
        scanned("200", other),
        scanned("300", first + 0.2 * rng.normal(size=(2, 256))),  # like 000, but no follower
        scanned("400", first),
    ]
    groups = {item.scene.name: item.group for item in assign(CARD, scenes)}
    assert groups == {"000": "000", "100": "000", "200": "200", "300": "000", "400": "000"}
    assert groups["300"] == groups["400"]  # followers; 400 is 000 once more, so that all are one group


def test_folders_go_before_lists_and_lists_before_shares():
    scenes = [scanned("a", split="val"), scanned("x010"), scanned("x013"), scanned("x018"), scanned("y1")]
    result = splits_of(assign(CARD, scenes, {"test": ["x013", "a"]}))
    assert result["a"] == "val"
    assert result["x013"] == "test"
    assert result["x010"] == result["x018"] == "near_test"
    assert result["y1"] in CARD.fractions


def test_neighbours_of_a_listed_scene_that_is_absent_are_kept_apart():
    assert splits_of(assign(CARD, [scanned("x010"), scanned("x030")], {"test": ["x012"]})) == {
        "x010": "near_test",
        "x030": "train",
    }


def test_scenes_of_a_split_lie_in_order():
    items = assign(CARD, [scanned(name, split="val") for name in ("b", "a")])
    assert [item.scene.name for item in by_split(items)["val"]] == ["a", "b"]


def test_cards_state_their_rule():
    assert "train 80 %" not in CARDS["msrs"].split_rule
    assert CARDS["msrs"].split_rule.startswith("Splits are those of the folders")
    rule = CARDS["roadscene"].split_rule
    assert "Names in roadscene_test.txt are test, and what else is of their sequences near_test" in rule
    assert "85 % train, 15 % val, by whole sequences" in rule
    assert "file numbers are at most 20 apart" in rule
    assert CARDS["tno"].split_rule.endswith("The others: 100 % test.")


@pytest.mark.parametrize(
    "name, key", [("FLIR_00018", ("FLIR_", 18)), ("a/00004N", ("a/", 4)), ("harbour", ("harbour", None))]
)
def test_sequence_key(name, key):
    assert sequence_key(name) == key


def test_fingerprints_tell_pictures_apart_and_ignore_brightness():
    rng = np.random.default_rng(0)
    visible, other = rng.integers(0, 100, (2, 40, 50, 3)).astype(np.uint8)
    infrared = visible[:, :, 0].astype(np.uint16) * 200
    a, brighter, b = (
        fingerprint(image, infrared) for image in (visible, visible * np.uint8(2) + np.uint8(9), other)
    )
    np.testing.assert_allclose((a * a).sum(axis=1), 1, rtol=1e-5)
    assert (a * brighter).sum(axis=1).min() > 0.999
    assert (a * b).sum(axis=1)[0] < 0.5
    assert similar_pairs(np.stack([a, b, brighter]), least=0.9) == [(0, 2)]


def test_flat_images_resemble_nothing():
    flat = fingerprint(np.full((20, 20, 3), 7, np.uint8), np.zeros((20, 20), np.uint8))
    assert similar_pairs(np.stack([flat, flat]), least=0.5) == []
