"""Every form of stored weights gives the same network."""

import sys
import types

import jax
import numpy as np
import pytest

from iassf_jax import checkpoints
from iassf_jax.checkpoints import export_torch, import_torch, load_pretrained, save_weights, sources
from iassf_jax.checkpoints.named_arrays import write_named_arrays
from iassf_jax.core.errors import CheckpointError


@pytest.fixture
def stored(tmp_path, released_groups, released_model_fields):
    """The same weights as .pth, .npz, parts, a weights file and a folder with one."""
    write_named_arrays(tmp_path / "a.pth", released_groups)
    write_named_arrays(tmp_path / "a.npz", released_groups)
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "parts").mkdir()
    third = len(data) // 3
    for letters, piece in (("aa", data[:third]), ("ab", data[third:-third]), ("ac", data[-third:])):
        (tmp_path / "parts" / f"W_part_{letters}").write_bytes(piece)
    model = {"name": "iassf_released", **released_model_fields}
    variables = import_torch(tmp_path / "a.pth")
    for path in (tmp_path / "a.safetensors", tmp_path / "folder" / "weights.safetensors"):
        save_weights(path, model=model, variables=variables)
    return tmp_path, model, variables


def check(found, model, variables):
    assert found[0] == model
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), found[1], variables)


def test_all_forms_are_the_same_network(stored):
    folder, model, variables = stored
    for name in ("a.pth", "a.npz", "parts", "parts/W_part_ab", "a.safetensors", "folder"):
        check(load_pretrained(folder / name), model, variables)
        check(load_pretrained(str(folder / name)), model, variables)


def test_packaged_weights_go_by_name(stored, monkeypatch):
    folder, model, variables = stored
    (folder / "package" / "weights" / "tiny").mkdir(parents=True)
    (folder / "a.safetensors").rename(folder / "package" / "weights" / "tiny" / "weights.safetensors")
    monkeypatch.setattr(sources.importlib.resources, "files", lambda package: folder / "package")
    assert list(sources.packaged_weights()) == ["tiny"]
    check(load_pretrained("tiny"), model, variables)
    with pytest.raises(CheckpointError, match=r"tinny is neither a file.*there are: tiny"):
        load_pretrained("tinny")


def test_a_workdir_is_left_to_the_manager_of_runs(tmp_path, monkeypatch):
    manager = types.ModuleType("iassf_jax.checkpoints.manager")
    manager.load_run = lambda workdir, *, step: ({"name": "run"}, {"workdir": workdir, "step": step})
    monkeypatch.setitem(sys.modules, manager.__name__, manager)
    (tmp_path / "checkpoints").mkdir()
    expected = {"workdir": tmp_path, "step": "best or newest"}
    assert load_pretrained(tmp_path) == ({"name": "run"}, expected)


def test_what_cannot_be_weights_is_said_so(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    cases = {"a.txt": "is no weights file", "none.pth": "does not exist", "none": "neither a file"}
    for name, message in cases.items():
        with pytest.raises(CheckpointError, match=message):
            load_pretrained(tmp_path / name)
    (tmp_path / "W_part_ab").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="part W_part_aa is missing"):
        load_pretrained(tmp_path / "W_part_aa")


def test_the_package_offers_its_functions_lazily():
    assert set(checkpoints.__all__) <= set(dir(checkpoints))
    assert checkpoints.export_torch is export_torch
    with pytest.raises(AttributeError, match="no attribute 'save_all'"):
        _ = checkpoints.save_all
