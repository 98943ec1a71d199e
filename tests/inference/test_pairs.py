from pathlib import Path

import pytest

from iassf_jax.core.errors import InputError
from iassf_jax.inference import Failure, OutputLayout, Pair, match_pairs


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    visible, infrared = tmp_path / "visible", tmp_path / "infrared"
    visible.mkdir()
    infrared.mkdir()
    return visible, infrared


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def test_names_match_whatever_the_extension(folders):
    visible, infrared = folders
    touch(visible, "b.JPG", "a.v2.png", "readme.txt")
    touch(infrared, "a.v2.tif", "b.png")
    pairs, failures = match_pairs(*folders)
    assert pairs == [
        Pair("a.v2", visible / "a.v2.png", infrared / "a.v2.tif"),
        Pair("b", visible / "b.JPG", infrared / "b.png"),
    ]
    assert failures == []


def test_files_without_partner_are_reported(folders):
    visible, infrared = folders
    touch(visible, "a.png", "b.png", "c.png", "c.jpg")
    touch(infrared, "a.png", "c.png", "d.png")
    pairs, failures = match_pairs(*folders)
    assert [pair.name for pair in pairs] == ["a"]
    assert failures == [
        Failure("b", "no infrared image of this name"),
        Failure("c", "several visible images have this name: c.jpg, c.png"),
        Failure("d", "no visible image of this name"),
    ]


def test_folders_without_common_names_list_the_first_of_each_side(folders):
    visible, infrared = folders
    touch(visible, *(f"vis_{index}.png" for index in range(9)))
    touch(infrared, "ir_1.png")
    with pytest.raises(InputError) as caught:
        match_pairs(*folders)
    message = str(caught.value)
    assert "visible:  vis_0.png, vis_1.png, vis_2.png, ... (9 images)" in message
    assert "infrared: ir_1.png" in message


def test_empty_and_missing_folders(folders, tmp_path):
    with pytest.raises(InputError, match="infrared: no images"):
        match_pairs(*folders)
    with pytest.raises(InputError, match="absent: no such folder"):
        match_pairs(folders[0], tmp_path / "absent")


def test_where_results_go(tmp_path):
    alone, more = OutputLayout(tmp_path), OutputLayout(tmp_path, ("restored", "haze"))
    assert alone.paths("a.v2") == {"fused": tmp_path / "a.v2.png"}
    assert more.paths("a") == {kind: tmp_path / kind / "a.png" for kind in ("fused", "restored", "haze")}
    single = OutputLayout(tmp_path / "out.jpg", ("haze",))
    assert single.paths("a") == {"fused": tmp_path / "out.jpg", "haze": tmp_path / "out_haze.jpg"}


def test_existing_outputs_are_kept_unless_told_otherwise(tmp_path):
    pairs = [Pair(name, tmp_path / f"{name}_v.png", tmp_path / f"{name}_i.png") for name in "abcde"]
    layout = OutputLayout(tmp_path / "out")
    layout.check(pairs, overwrite=False)
    (tmp_path / "out").mkdir()
    touch(tmp_path / "out", *(f"{name}.png" for name in "abcd"))
    with pytest.raises(InputError, match=r"4 outputs exist already: .*a\.png, .*c\.png, \.\.\.; --overwrite"):
        layout.check(pairs, overwrite=False)
    layout.check(pairs, overwrite=True)


def test_inputs_are_never_replaced(folders):
    visible, infrared = folders
    pair = Pair("a", visible / "a.png", infrared / "a.png")
    with pytest.raises(InputError, match="is an input"):
        OutputLayout(visible.parent / "infrared" / ".." / "visible").check([pair], overwrite=True)
