"""Manifests of degraded and clean images: what is read of them, and what is refused."""

import json

import cv2
import numpy as np
import pytest

from data_pipelines.decode import ImageError
from data_pipelines.restoration_pairs import ManifestError, PairExamples, is_manifest, read_manifest


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in {
        "day": (24, 32, 3),
        "fog": (24, 32, 3),
        "warm": (24, 32),
        "small": (6, 8),
        "odd": (23, 32, 3),
    }.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, shape).astype(np.uint8))
    return tmp_path


def manifest(folder, *rows, suffix="csv"):
    path = folder / f"pairs.{suffix}"
    if suffix == "csv":
        path.write_text("hq,lq,task,modality,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    else:
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_pairs_are_read_with_what_is_wrong(images):
    path = manifest(
        images,
        "day.png,fog.png,hz,,train",
        "warm.png,small.png,SR,infrared,train",
        "day.png,,LL,visible,test",
    )
    examples = PairExamples(path)
    assert [(pair.task, pair.infrared) for pair in examples.pairs] == [
        ("HZ", False),
        ("SR4", True),
        ("LL", False),
    ]
    assert len(set(examples.names)) == 3
    first = examples[0]
    for key, name in (("visible_clear", "day"), ("visible_hazy", "fog")):
        np.testing.assert_array_equal(first[key], cv2.imread(str(images / f"{name}.png"))[..., ::-1])
    np.testing.assert_array_equal(first["infrared"], first["visible_clear"][..., :1])
    small = cv2.imread(str(images / "small.png"), cv2.IMREAD_GRAYSCALE)
    enlarged = cv2.resize(small, (32, 24), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(examples[1]["visible_hazy"], np.repeat(enlarged[..., None], 3, 2))
    # What is to be made from the clean image is the clean image until then.
    np.testing.assert_array_equal(examples[2]["visible_hazy"], examples[2]["visible_clear"])
    assert examples.pairs[2].degraded is None
    assert examples.size(1) == (24, 32)
    assert [pair.task for pair in read_manifest(path, split="test")] == ["LL"]


def test_json_lines_say_the_same(images):
    rows = [{"hq": "day.png", "lq": "fog.png", "task": "HZ"}, {"hq": "warm.png", "task": "LC", "lq": None}]
    path = manifest(images, *map(json.dumps, rows), suffix="jsonl")
    assert [(pair.task, pair.degraded is None) for pair in read_manifest(path)] == [
        ("HZ", False),
        ("LC", True),
    ]
    assert is_manifest(path)
    assert not is_manifest(images)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("day.png,,RAIN,,", "line 2 has the task 'RAIN'; there are LC, SR4"),
        ("day.png,,HZ,infrared,", "line 2 has the modality 'infrared'; HZ is visible"),
        ("day.png,,PD,,", "PD is visible or infrared"),
        (",,HZ,,", "line 2 has no clean image"),
        ("day.png,none.png,HZ,,", "line 2: .*none.png does not exist"),
    ],
)
def test_lines_that_cannot_be_used_are_named(images, row, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(manifest(images, row))


def test_files_that_are_no_manifests_are_refused(images):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(images / "nothing.csv")
    with pytest.raises(ManifestError, match="no lines of the split 'val'"):
        read_manifest(manifest(images, "day.png,,HZ,,train"), split="val")
    with pytest.raises(ManifestError, match="line 1 has a column 'depth'; there are hq, lq"):
        read_manifest(manifest(images, '{"hq": "day.png", "task": "HZ", "depth": "x"}', suffix="jsonl"))
    with pytest.raises(ManifestError, match="line 1 is no JSON object"):
        read_manifest(manifest(images, "[1]", suffix="jsonl"))
    with pytest.raises(ImageError, match="only images of SR may be smaller"):
        PairExamples(manifest(images, "day.png,odd.png,HZ,,"))[0]
