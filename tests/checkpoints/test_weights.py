"""The weights file: what is saved is loaded, nothing else is."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from iassf_jax.checkpoints import load_weights, save_weights
from iassf_jax.checkpoints.weights import parameter_shapes, read_header
from iassf_jax.core.errors import CheckpointError


@pytest.fixture
def model(released_model_fields):
    return {"name": "iassf_released", **released_model_fields}


@pytest.fixture
def variables(model, rng):
    flat = {
        path: rng.standard_normal(shape, dtype=np.float32) for path, shape in parameter_shapes(model).items()
    }
    unused = {"dehaze": {"w_ir": np.ones(1, np.float32)}}
    return {"params": traverse_util.unflatten_dict(flat), "unused": unused}


def test_round_trip(tmp_path, model, variables):
    path = tmp_path / "new" / "w.safetensors"
    save_weights(path, model=model, variables=variables, info={"step": 7, "psnr": 20.5})
    found_model, found = load_weights(path)
    assert found_model == model
    assert jax.tree.structure(found) == jax.tree.structure(variables)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), found, variables)
    assert read_header(path) == (model, {"step": 7, "psnr": 20.5}, "float32")
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("dtype", "precision"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_half_size_files_load_as_float32(tmp_path, model, variables, dtype, precision):
    for name in (dtype, "float32"):
        save_weights(tmp_path / f"{name}.safetensors", model=model, variables=variables, dtype=name)
    found = load_weights(tmp_path / f"{dtype}.safetensors")[1]

    def close(a, b):
        assert a.dtype == np.float32
        # Half precision has a spacing of 2^-24 near zero, below its normal range.
        assert (np.abs(a - b) <= precision * np.abs(b) + 2.0**-25).all()

    jax.tree.map(close, found, variables)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in (dtype, "float32")]
    assert sizes[0] < 0.75 * sizes[1]
    assert read_header(tmp_path / f"{dtype}.safetensors").dtype == dtype


def test_numbers_beyond_a_dtype_are_not_turned_into_infinity(tmp_path, model, variables):
    variables["params"]["fusion"]["final_conv"]["bias"][0] = 1e6
    with pytest.raises(CheckpointError, match="params/fusion/final_conv/bias exceeds the range of float16"):
        save_weights(tmp_path / "w.safetensors", model=model, variables=variables, dtype="float16")
    save_weights(tmp_path / "w.safetensors", model=model, variables=variables, dtype="bfloat16")


def without(variables, *path):
    flat = traverse_util.flatten_dict(variables)
    del flat[path]
    return traverse_util.unflatten_dict(flat)


def with_array(variables, shape, *path):
    flat = traverse_util.flatten_dict(variables)
    return traverse_util.unflatten_dict({**flat, path: np.zeros(shape, np.float32)})


BIAS = ("params", "fusion", "final_conv", "bias")


def tampered(path, model, variables, *, metadata=None):
    """A weights file that `save_weights` would not write."""
    flat = {"/".join(key): array for key, array in traverse_util.flatten_dict(variables).items()}
    given = {"format": "iassf_jax weights", "format_version": "1", "model": json.dumps(model), "info": "{}"}
    safetensors.numpy.save_file(flat, path, metadata={**given, **(metadata or {})})
    return path


def test_wrong_parameters_are_named_on_saving_and_on_loading(tmp_path, model, variables):
    cases = {
        r"1 missing: fusion/final_conv/bias \(3,\)": without(variables, *BIAS),
        r"fusion/final_conv/bias \(expected \(3,\), found \(4,\)\)": with_array(variables, (4,), *BIAS),
        r"1 unknown: fusion/other \(2,\)": with_array(variables, (2,), "params", "fusion", "other"),
    }
    for message, wrong in cases.items():
        with pytest.raises(CheckpointError, match=message):
            save_weights(tmp_path / "w.safetensors", model=model, variables=wrong)
        assert not (tmp_path / "w.safetensors").exists()
        path = tampered(tmp_path / "tampered.safetensors", model, wrong)
        with pytest.raises(CheckpointError, match=rf"tampered\.safetensors does not fit.*{message}"):
            load_weights(path)


def test_networks_of_another_version_are_named(tmp_path, model, variables):
    path = tampered(tmp_path / "a.safetensors", {**model, "colour": 1}, variables)
    with pytest.raises(CheckpointError, match="iassf_released has no field 'colour'"):
        load_weights(path)
    with pytest.raises(CheckpointError, match="no network is called 'iasf'"):
        save_weights(tmp_path / "b.safetensors", model={"name": "iasf"}, variables=variables)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "pt"}, "another program"),
        ({"format_version": "2"}, "format version 2"),
        ({"model": "{"}, "unreadable metadata"),
        ({"model": "[]"}, "unreadable metadata"),
    ],
)
def test_foreign_metadata_is_refused(tmp_path, model, variables, metadata, message):
    path = tampered(tmp_path / "a.safetensors", model, variables, metadata=metadata)
    with pytest.raises(CheckpointError, match=rf"a\.safetensors .*{message}"):
        load_weights(path)


def test_integers_in_place_of_weights_are_refused(tmp_path, model, variables):
    path = tampered(tmp_path / "a.safetensors", model, jax.tree.map(lambda x: x.astype(np.int32), variables))
    with pytest.raises(CheckpointError, match="I32"):
        load_weights(path)


def test_truncated_foreign_and_missing_files_are_named(tmp_path, model, variables):
    path = tmp_path / "w.safetensors"
    save_weights(path, model=model, variables=variables)
    data = path.read_bytes()
    for content in (b"", data[:7], data[:100], data[:-1], b"PK\x03\x04" + data):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"w\.safetensors is truncated or no \.safetensors file"):
            load_weights(path)
    for wrong in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match=rf"{wrong.name} (does not exist|is a folder)"):
            load_weights(wrong)


def test_only_safetensors_of_known_dtypes_are_written(tmp_path, model, variables):
    with pytest.raises(CheckpointError, match=r"expected \.safetensors"):
        save_weights(tmp_path / "w.pth", model=model, variables=variables)
    with pytest.raises(CheckpointError, match="'int8'; there are float32, float16, bfloat16"):
        save_weights(tmp_path / "w.safetensors", model=model, variables=variables, dtype="int8")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, model, variables, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, model=model, variables=variables)
    before = path.read_bytes()

    write = Path.write_bytes

    def full_disk(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(CheckpointError, match=r"w\.safetensors cannot be written: No space left"):
        save_weights(path, model=model, variables=variables)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
