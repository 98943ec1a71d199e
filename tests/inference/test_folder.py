import itertools
import threading
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from data_pipelines.decode import read_visible
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import write_image
from iassf_jax.inference import FolderReport, OutputLayout, Pair, folder, fuse_pairs


@pytest.fixture
def make_pair(tmp_path, rng):
    def make(name: str, height: int, width: int, infrared_size: tuple[int, int] | None = None) -> Pair:
        pair = Pair(name, tmp_path / "visible" / f"{name}.png", tmp_path / "infrared" / f"{name}.png")
        write_image(pair.visible, rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        write_image(pair.infrared, rng.integers(0, 256, infrared_size or (height, width), dtype=np.uint8))
        return pair

    return make


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def reasons(report: FolderReport) -> dict[str, str]:
    return {failure.name: failure.reason for failure in report.failures}


@pytest.mark.parametrize("batch", [1, 3])
def test_every_pair_is_written_at_its_size(tmp_path, make_pair, known_fuser, batch):
    sizes = [(351, 161), (17, 31), (16, 16), (40, 60), (40, 60), (33, 50), (64, 40)]
    pairs = [make_pair(f"p{index}", *size) for index, size in enumerate(sizes)]
    done: list[str] = []
    layout = OutputLayout(tmp_path / "out", ("restored", "haze"))
    report = fuse_pairs(known_fuser(), pairs, layout, batch=batch, on_done=done.append)
    assert sorted(report.written) == sorted(done) == [pair.name for pair in pairs]
    assert report.failures == [] and report.seconds > 0
    for pair, size in zip(pairs, sizes, strict=True):
        paths = layout.paths(pair.name)
        np.testing.assert_array_equal(read_visible(paths["fused"]), read_visible(pair.visible))
        np.testing.assert_array_equal(read_visible(paths["restored"]), read_visible(pair.infrared))
        haze = cv2.imread(str(paths["haze"]), cv2.IMREAD_UNCHANGED)
        assert haze.shape == size and haze.dtype == np.uint8
    assert len(files(tmp_path / "out")) == 3 * len(pairs)


def test_twenty_sizes_compile_a_handful_of_shapes(tmp_path, make_pair, known_fuser, traced):
    pairs = [make_pair(f"p{i:02}", 20 + 3 * i, 90 - 2 * i) for i in range(20)]
    report = fuse_pairs(known_fuser(), pairs, OutputLayout(tmp_path / "out"), max_shapes=4)
    assert len(report.written) == 20
    assert 1 <= len(traced) <= 4


def test_pairs_of_one_size_equal_the_network_without_padding(tmp_path, make_pair, known_fuser, traced):
    """The network takes a mean over the whole image, so any padding would show."""
    pairs = [make_pair(f"p{i}", 27, 43) for i in range(3)]
    fuse_pairs(known_fuser("mean"), pairs, OutputLayout(tmp_path / "out"), batch=2)
    assert traced == [(2, 27, 43, 3)]
    for pair in pairs:
        expected = np.rint(read_visible(pair.visible).mean())
        np.testing.assert_array_equal(read_visible(tmp_path / "out" / f"{pair.name}.png"), expected)


@pytest.mark.parametrize(("tile", "together"), [(72, 2), (64, 1)])  # 2 x 40 x 60 pixels are 69 x 69
def test_two_pairs_are_computed_at_once_where_both_have_room(
    tmp_path, make_pair, known_fuser, monkeypatch, tile, together
):
    fuser = known_fuser(tile=tile)
    fuse_prepared, calls = fuser.fuse_prepared, itertools.count(1)
    meeting, threads = threading.Barrier(together), set()

    def meet(*images, **options):
        threads.add(threading.current_thread())
        if next(calls) > 1:  # the first compiles, alone
            meeting.wait(timeout=60)
        return fuse_prepared(*images, **options)

    monkeypatch.setattr(fuser, "fuse_prepared", meet)
    pairs = [make_pair(f"p{index}", 40, 60) for index in range(5)]
    report = fuse_pairs(fuser, pairs, OutputLayout(tmp_path / "out"))
    assert report.written == [pair.name for pair in pairs] and report.failures == []
    assert (threads == {threading.current_thread()}) == (together == 1)
    for pair in pairs:
        found = read_visible(tmp_path / "out" / f"{pair.name}.png")
        np.testing.assert_array_equal(found, read_visible(pair.visible))


def test_large_pairs_are_tiled_and_said_to_be(tmp_path, make_pair, known_fuser, traced):
    pairs = [make_pair("large", 150, 200), make_pair("small", 40, 60)]
    seen = []
    report = fuse_pairs(
        known_fuser(tile=64, batch=5),
        pairs,
        OutputLayout(tmp_path / "out"),
        on_tiles=lambda *progress: seen.append(progress),
    )
    assert seen == [("large", 5, 12), ("large", 10, 12), ("large", 12, 12)]
    assert report.tiled == {"large": 12}
    assert set(traced) == {(5, 64, 64, 3), (1, 55, 73, 3), (1, 40, 60, 3)}
    np.testing.assert_array_equal(
        read_visible(tmp_path / "out" / "large.png"), read_visible(pairs[0].visible)
    )


def test_pairs_that_fail_do_not_stop_the_others(tmp_path, make_pair, known_fuser):
    good, unequal, small, cut = (
        make_pair("good", 40, 60),
        make_pair("unequal", 40, 60, (20, 30)),
        make_pair("small", 15, 60),
        make_pair("cut", 40, 60),
    )
    cut.infrared.write_bytes(cut.infrared.read_bytes()[:500])
    report = fuse_pairs(known_fuser(), [cut, good, small, unequal], OutputLayout(tmp_path / "out"), batch=2)
    assert report.written == ["good"]
    found = reasons(report)
    assert list(found) == ["cut", "small", "unequal"]
    assert str(cut.infrared) in found["cut"] and "cut off" in found["cut"]
    assert "60x15: both sides must be 16" in found["small"]
    for part in (str(unequal.visible), "60x40", str(unequal.infrared), "30x20", "--resize-infrared"):
        assert part in found["unequal"]
    assert files(tmp_path / "out") == {"good.png"}


def test_infrared_of_another_size_is_resized_on_demand(tmp_path, make_pair, known_fuser):
    pair = make_pair("a", 40, 60, (20, 30))
    layout = OutputLayout(tmp_path / "out", ("restored",))
    report = fuse_pairs(known_fuser(), [pair], layout, resize_infrared=True)
    assert report.failures == []
    small = cv2.imread(str(pair.infrared), cv2.IMREAD_UNCHANGED)
    expected = cv2.resize(small, (60, 40), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(read_visible(layout.paths("a")["restored"])[:, :, 0], expected)


def test_a_network_or_device_that_fails_is_reported_for_each_pair(
    tmp_path, make_pair, known_fuser, monkeypatch
):
    pairs = [make_pair("a", 40, 60), make_pair("b", 40, 60)]
    report = fuse_pairs(known_fuser("broken"), pairs, OutputLayout(tmp_path / "out"), batch=2)
    assert all("not finite" in reason for reason in reasons(report).values())

    def exhausted(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory " + "detail " * 1000)

    fuser = known_fuser()
    monkeypatch.setattr(fuser, "fuse_prepared", exhausted)
    report = fuse_pairs(fuser, pairs, OutputLayout(tmp_path / "out"))
    assert list(reasons(report)) == ["a", "b"]
    assert all(len(reason) <= 400 and "EXHAUSTED" in reason for reason in reasons(report).values())
    assert not (tmp_path / "out").exists()


def test_a_failed_write_is_reported_and_leaves_nothing(tmp_path, make_pair, known_fuser, monkeypatch):
    pairs = [make_pair("a", 40, 60), make_pair("b", 40, 60)]

    def write(path, array):
        if path.name == "a.png":
            raise OSError("disk full")
        write_image(path, array)

    monkeypatch.setattr(folder, "write_image", write)
    report = fuse_pairs(known_fuser(), pairs, OutputLayout(tmp_path / "out"))
    assert reasons(report) == {"a": "disk full"}
    assert files(tmp_path / "out") == {"b.png"}


def test_a_bug_is_not_reported_as_a_bad_pair(tmp_path, make_pair, known_fuser, monkeypatch):
    def bug(*_, **__):
        raise AttributeError("bug")

    fuser = known_fuser()
    monkeypatch.setattr(fuser, "fuse_prepared", bug)
    with pytest.raises(AttributeError, match="bug"):
        fuse_pairs(fuser, [make_pair("a", 40, 60)], OutputLayout(tmp_path / "out"))


def test_existing_results_stop_the_run_before_it_starts(tmp_path, make_pair, known_fuser):
    pairs = [make_pair("a", 40, 60), make_pair("b", 40, 60)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_text("old")
    with pytest.raises(InputError, match="1 output exists already"):
        fuse_pairs(known_fuser(), pairs, OutputLayout(tmp_path / "out"))
    assert files(tmp_path / "out") == {"b.png"}
    report = fuse_pairs(known_fuser(), pairs, OutputLayout(tmp_path / "out"), overwrite=True)
    assert report.written == ["a", "b"]
    np.testing.assert_array_equal(read_visible(tmp_path / "out" / "b.png"), read_visible(pairs[1].visible))
