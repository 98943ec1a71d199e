"""Import and export of released checkpoints: the same numbers both ways, and no silent partial load."""

import warnings

import jax
import numpy as np
import pytest
from flax import core, traverse_util

from iassf_jax import models
from iassf_jax.checkpoints import export_torch, import_torch
from iassf_jax.checkpoints.named_arrays import read_named_arrays, write_named_arrays
from iassf_jax.checkpoints.released_names import BUFFER
from iassf_jax.checkpoints.torch_import import import_with_report
from iassf_jax.core.errors import CheckpointError

DEHAZE, FUSION = "dehaze_network_state_dict", "fusion_network_state_dict"


def write(path, groups, **other):
    write_named_arrays(path, {**groups, **other})
    return path


def assert_same(a, b):
    flat_a, flat_b = traverse_util.flatten_dict(a), traverse_util.flatten_dict(b)
    assert flat_a.keys() == flat_b.keys()
    for path, array in flat_a.items():
        assert array.tobytes() == flat_b[path].tobytes() and array.shape == flat_b[path].shape, path


def initial_shapes(fields):
    network = models.create("iassf_released", **fields)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    tree = jax.eval_shape(network.init, jax.random.key(0), image, image)
    return {path: (x.shape, x.dtype) for path, x in traverse_util.flatten_dict(tree).items()}


@pytest.mark.parametrize("first", ["a.pth", "a.npz"])
@pytest.mark.parametrize("second", ["b.pth", "b.npz"])
def test_round_trip_is_exact_to_the_bit(tmp_path, released_groups, first, second):
    # Values that any arithmetic on the way would change.
    special = np.array([np.nan, -np.nan, np.inf, -0.0], np.float32)
    released_groups[DEHAZE]["layer1.blocks.0.attn.V.bias"] = special
    source = write(tmp_path / first, released_groups)
    variables = import_torch(source)
    export_torch(variables, tmp_path / second)
    assert_same(import_torch(tmp_path / second), variables)
    written = read_named_arrays(tmp_path / second)
    for group, arrays in released_groups.items():
        assert list(written[group]) == list(arrays)
        for name, array in arrays.items():
            assert written[group][name].tobytes() == array.tobytes()
            assert written[group][name].shape == array.shape


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_fusion_blocks": 1},
        {"num_fusion_blocks": 3, "fusion_width": 5},
        {"num_fusion_blocks": 7},
    ],
)
def test_imported_parameters_are_exactly_those_of_the_model(
    tmp_path, released_model_fields, make_groups, change
):
    fields = {**released_model_fields, **change}
    found = import_with_report(write(tmp_path / "a.npz", make_groups(fields)))
    assert found.fields == fields and not found.unused and not found.other
    imported = traverse_util.flatten_dict({"params": found.variables["params"]})
    assert {path: (x.shape, x.dtype) for path, x in imported.items()} == initial_shapes(fields)


def test_unused_tensors_are_kept_apart(tmp_path, released_groups):
    variables = import_torch(write(tmp_path / "a.pth", released_groups))
    assert set(variables["unused"]["dehaze"]) == {"w_ir", "w_vi", "ir_scale_conv", "vi_scale_conv"}
    assert not set(variables["unused"]["dehaze"]) & set(variables["params"]["dehaze"])
    kernel = variables["unused"]["dehaze"]["ir_scale_conv"]["kernel"]
    np.testing.assert_array_equal(kernel.T, released_groups[DEHAZE]["ir_scale_conv.weight"][:, :, 0, 0])


def test_export_of_a_network_that_never_had_them_is_complete(tmp_path, released_groups):
    variables = import_torch(write(tmp_path / "a.pth", released_groups))
    export_torch(core.freeze({"params": variables["params"]}), tmp_path / "b.pth")
    written = read_named_arrays(tmp_path / "b.pth")
    for group, arrays in released_groups.items():
        assert {n: a.shape for n, a in written[group].items()} == {n: a.shape for n, a in arrays.items()}
    assert_same(import_torch(tmp_path / "b.pth")["params"], variables["params"])


def test_other_windows_survive_an_export(tmp_path, released_model_fields, make_groups):
    groups = make_groups({**released_model_fields, "window": 4})
    found = import_with_report(write(tmp_path / "a.pth", groups))
    export_torch(found.variables, tmp_path / "b.pth", window=found.fields["window"])
    assert import_with_report(tmp_path / "b.pth").fields == found.fields
    name = "encoder1.attn.attn.relative_positions"
    assert read_named_arrays(tmp_path / "b.pth")[FUSION][name].tobytes() == groups[FUSION][name].tobytes()


def test_missing_parameters_are_named(tmp_path, released_groups):
    gone = [name for name in released_groups[DEHAZE] if name.startswith("layer2.blocks.1.mlp.")]
    gone += ["skip1.bias", "conv24_3.weight"]
    for name in gone:
        del released_groups[DEHAZE][name]
    with pytest.raises(CheckpointError) as error:
        import_torch(write(tmp_path / "a.pth", released_groups))
    message = str(error.value)
    assert "a.pth" in message and "6 missing" in message and "and 1 more" in message
    assert sum(f"dehaze/{name}" in message for name in gone) == 5


@pytest.mark.parametrize(
    ("group", "name", "shape", "expected"),
    [
        (FUSION, "encoder2.mlp.weight", (4, 3, 1, 1), "(4, 2, 1, 1)"),
        (DEHAZE, "layer3.blocks.1.attn.V.weight", (13, 12, 1, 1), "(12, 12, 1, 1)"),
        (DEHAZE, "layer3.blocks.1.attn.V.bias", (13,), "(12,)"),
        (DEHAZE, "PromptGenerationAndEmbeddingBlock.prompt_param", (1, 3, 4, 5, 6), "(1, 3, 4, 6, 6)"),
        (FUSION, "prompt_gen_block.linear_layer.bias", (5,), "(3,)"),
        (FUSION, f"encoder1.attn.attn.{BUFFER}", (16, 16, 2), "(64, 64, 2)"),
        (DEHAZE, "w_ir", (2,), "(1,)"),
    ],
)
def test_misshaped_parameters_are_named(tmp_path, released_groups, group, name, shape, expected):
    released_groups[group][name] = np.zeros(shape, np.float32)
    with pytest.raises(CheckpointError) as error:
        import_torch(write(tmp_path / "a.pth", released_groups))
    assert f"1 with another shape: {group[:6]}/{name} (expected {expected}, found {shape})" in str(
        error.value
    )


def test_entries_that_belong_to_nothing_are_reported(tmp_path, released_groups):
    released_groups[FUSION]["extra.weight"] = np.ones(3, np.float32)
    path = write(
        tmp_path / "a.pth", released_groups, epoch=3, optimizer_dehaze_state_dict={"state": {0: {"step": 1}}}
    )
    with pytest.warns(UserWarning, match="not used: fusion/extra.weight$"):
        variables = import_torch(path)
    assert "extra" not in variables["params"]["fusion"]
    found = import_with_report(path)
    assert found.unused == ["fusion/extra.weight"]
    assert found.other == ["epoch", "optimizer_dehaze_state_dict"]


def test_prefix_of_data_parallel_is_dropped(tmp_path, released_groups):
    plain = import_torch(write(tmp_path / "a.pth", released_groups))
    wrapped = {
        g: {f"module.{name}": x for name, x in arrays.items()} for g, arrays in released_groups.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(import_torch(write(tmp_path / "b.pth", wrapped)), plain)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_become_float32(tmp_path, released_groups, dtype):
    stored = {
        g: {name: x.astype(dtype) for name, x in arrays.items()} for g, arrays in released_groups.items()
    }
    for name in stored[DEHAZE]:
        if name.endswith(BUFFER):
            # Half precision cannot hold the constant to the tolerance; such files have to leave it out.
            stored[DEHAZE][name] = released_groups[DEHAZE][name]
    stored[FUSION] = {name: x for name, x in stored[FUSION].items() if not name.endswith(BUFFER)}
    variables = import_torch(write(tmp_path / "a.npz", stored))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    bias = variables["params"]["fusion"]["final_conv"]["bias"]
    np.testing.assert_array_equal(bias, stored[FUSION]["final_conv.bias"].astype(np.float32))


def test_a_position_table_of_other_code_is_refused(tmp_path, released_groups):
    name = "restormer_encoder.attn.attn.relative_positions"
    released_groups[DEHAZE][name] = released_groups[DEHAZE][name] * np.float32(1.00001)
    with pytest.raises(CheckpointError, match=f"dehaze/{name} is off by"):
        import_torch(write(tmp_path / "a.pth", released_groups))


def test_files_of_other_networks_say_what_they_hold(tmp_path):
    path = tmp_path / "resnet.pth"
    write_named_arrays(path, {"state_dict": {"conv1.weight": np.ones((3, 3, 1, 1), np.float32)}})
    with pytest.raises(CheckpointError, match=r"resnet\.pth: expected .*dehaze_network.*found state_dict"):
        import_torch(path)


def test_variables_of_other_networks_are_not_exported(tmp_path, released_groups):
    variables = import_torch(write(tmp_path / "a.pth", released_groups))
    variables["params"]["fusion"]["surplus"] = {"kernel": np.ones((2, 2), np.float32)}
    with pytest.raises(CheckpointError, match=r"unexpected fusion/surplus\.weight"):
        export_torch(variables, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="encoder/embedding has no counterpart"):
        export_torch({"params": {"encoder": {"embedding": np.ones(3, np.float32)}}}, tmp_path / "b.pth")
    assert not (tmp_path / "b.pth").exists()


@pytest.mark.parametrize("name", ["state_full.npz", "state_smallA.npz", "small_ckpt_released_format.pth"])
def test_reference_checkpoints_round_trip(tmp_path, shared, name):
    source = shared / "parity" / name
    found = import_with_report(source)
    assert not found.unused and not found.other
    imported = traverse_util.flatten_dict({"params": found.variables["params"]})
    assert {path: (x.shape, x.dtype) for path, x in imported.items()} == initial_shapes(found.fields)
    export_torch(found.variables, tmp_path / "b.pth")
    original, written = read_named_arrays(source), read_named_arrays(tmp_path / "b.pth")
    for group, arrays in original.items():
        assert written[group].keys() == arrays.keys()
        for key, array in arrays.items():
            assert written[group][key].tobytes() == array.tobytes(), key
    assert_same(import_torch(tmp_path / "b.pth"), found.variables)
