"""Split files: any way of naming the parts gives the same bytes, a missing part is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.checkpoints.named_arrays import read_named_arrays, write_named_arrays
from iassf_jax.checkpoints.split_files import MappedFiles, find_parts, is_part
from iassf_jax.core.errors import CheckpointError

GROUPS = {
    "dehaze_network_state_dict": {"w": np.arange(300, dtype=np.float32), "b": np.ones((2, 2), np.float32)}
}
LETTERS = ["IASSF_part_aa", "IASSF_part_ab", "IASSF_part_ac"]


def split(tmp_path, names=LETTERS):
    write_named_arrays(tmp_path / "whole.pth", GROUPS)
    data = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "whole.pth").unlink()
    folder = tmp_path / "parts"
    folder.mkdir()
    # The first cut lies within the numbers of "w", so that one array is in two files.
    middle = data.index(GROUPS["dehaze_network_state_dict"]["w"].tobytes()) + 601
    cuts = [0, middle, middle + 700, len(data)]
    for name, start, end in zip(names, cuts, cuts[1:], strict=False):
        (folder / name).write_bytes(data[start:end])
    return folder


def check(found):
    for name, array in GROUPS["dehaze_network_state_dict"].items():
        np.testing.assert_array_equal(found["dehaze_network_state_dict"][name], array)


@pytest.mark.parametrize(
    "names", [LETTERS, ["x.part0", "x.part1", "x.part2"], ["x-part01", "x-part02", "x-part03"]]
)
def test_one_part_the_folder_or_all_parts_in_any_order(tmp_path, names):
    folder = split(tmp_path, names)
    (folder / "README.md").write_text("not a part")
    for source in (folder, *(folder / name for name in names), [str(folder / name) for name in names[::-1]]):
        check(read_named_arrays(source))


@pytest.mark.parametrize("missing", LETTERS)
def test_a_missing_part_is_named(tmp_path, missing):
    folder = split(tmp_path)
    (folder / missing).unlink()
    message = "last part or parts are missing" if missing == LETTERS[-1] else f"part {missing} is missing"
    for source in (folder, folder / LETTERS[0], folder / LETTERS[1]):
        with pytest.raises(CheckpointError, match=message):
            read_named_arrays(source)


def test_letters_count_on_after_z(tmp_path):
    names = [f"m_part_{a}{b}" for a in "ab" for b in "abcdefghijklmnopqrstuvwxyz"][:28]
    for name in reversed(names):
        (tmp_path / name).write_bytes(name.encode())
    assert [p.name for p in find_parts(tmp_path / "m_part_ac")] == names
    (tmp_path / "m_part_az").unlink()
    with pytest.raises(CheckpointError, match="m_part_az is missing"):
        find_parts(tmp_path / "m_part_aa")


def test_names_of_parts():
    assert all(map(is_part, [*LETTERS, "a.pth.part1", "a.part_003"]))
    assert not any(map(is_part, ["IASSF.pth", "part", "party.npz", "IASSF_part_aa.zip"]))


def test_folders_with_no_or_several_files_are_ambiguous(tmp_path):
    with pytest.raises(CheckpointError, match="found none"):
        read_named_arrays(tmp_path)
    for name in ("a.pth", "b.npz"):
        write_named_arrays(tmp_path / name, GROUPS)
    with pytest.raises(CheckpointError, match=r"found a\.pth, b\.npz"):
        read_named_arrays(tmp_path)
    (tmp_path / "b.npz").unlink()
    check(read_named_arrays(tmp_path))


def test_npz_round_trip_and_damage(tmp_path):
    path = tmp_path / "a.npz"
    write_named_arrays(path, GROUPS)
    check(read_named_arrays(path))
    data = path.read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 10):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"a\.npz"):
            read_named_arrays(path)
    np.savez(path, **{"g/x": np.array([object()], dtype=object)})
    with pytest.raises(CheckpointError, match="allow_pickle"):
        read_named_arrays(path)


def test_other_suffixes_are_not_written(tmp_path):
    with pytest.raises(CheckpointError, match=r"\.txt"):
        write_named_arrays(tmp_path / "a.txt", GROUPS)
    with pytest.raises(CheckpointError, match="does not exist"):
        read_named_arrays(tmp_path / "a.pth")


@given(
    pieces=st.lists(st.binary(max_size=20), min_size=1, max_size=5),
    start=st.integers(0, 60),
    length=st.integers(0, 60),
)
@settings(max_examples=20, deadline=None)
def test_mapped_files_are_their_concatenation(tmp_path_factory, pieces, start, length):
    folder = tmp_path_factory.mktemp("pieces")
    paths = [folder / str(i) for i in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    joined, mapped = b"".join(pieces), MappedFiles(paths)
    assert mapped.size == len(joined) and mapped.read() == joined
    mapped.seek(-min(len(joined), 3), 2)
    assert mapped.read() == joined[-3:]
    if start + length <= len(joined):
        assert mapped.view(start, length).tobytes() == joined[start : start + length]
    else:
        with pytest.raises(CheckpointError, match="truncated"):
            mapped.view(start, length)
