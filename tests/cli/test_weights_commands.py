"""The commands around weights files, through the entry point."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from iassf_jax.checkpoints import load_pretrained
from iassf_jax.checkpoints.named_arrays import read_named_arrays, write_named_arrays
from iassf_jax.checkpoints.released_names import BUFFER, relative_positions
from iassf_jax.checkpoints.released_structure import released_shapes
from iassf_jax.checkpoints.weights import read_header
from iassf_jax.cli import export_weights, info
from iassf_jax.cli.main import main

FIELDS = {
    "embed_dims": (4, 4, 4, 4, 4),
    "depths": (1, 1, 1, 1, 1),
    "num_heads": (2, 1, 1, 1, 1),
    "attn_ratios": (1.0, 0.0, 0.0, 0.0, 0.0),
    "mlp_ratios": (2.0, 2.0, 2.0, 2.0, 2.0),
    "prompt_heads": 2,
    "prompt_size": 4,
    "fusion_width": 2,
    "fusion_prompt_size": 4,
    "num_prompts": 3,
    "num_fusion_blocks": 3,
    "window": 8,
}


@pytest.fixture
def released(tmp_path, rng):
    groups = {
        f"{network}_network_state_dict": {
            name: relative_positions()
            if name.endswith(BUFFER)
            else rng.standard_normal(shape, dtype=np.float32)
            for name, shape in shapes.items()
        }
        for network, shapes in released_shapes(FIELDS).items()
    }
    write_named_arrays(tmp_path / "a.pth", groups)
    return tmp_path / "a.pth"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_import_then_export_gives_the_file_back(released, tmp_path, capsys):
    weights, back = tmp_path / "w.safetensors", tmp_path / "b.pth"
    assert main(["import-weights", str(released), "--output", str(weights)]) == 0
    printed = capsys.readouterr().out
    total = sum(array.size for name, array in _arrays(released).items() if not name.endswith(BUFFER))
    assert f"{total:,}" in printed
    assert re.search(r"embed_dims\W+\(4, 4, 4, 4, 4\)", printed) and "not used: nothing" in printed
    assert load_pretrained(weights)[0] == {"name": "iassf_released", **FIELDS}

    assert main(["export-weights", "--weights", str(weights), "--output", str(back)]) == 0
    found, expected = _arrays(back), _arrays(released)
    assert list(found) == list(expected)
    assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())


def _arrays(path):
    groups = read_named_arrays(path)
    return {f"{group}/{name}": array for group, arrays in groups.items() for name, array in arrays.items()}


def test_unused_entries_are_printed(released, tmp_path, capsys):
    groups = read_named_arrays(released)
    groups["fusion_network_state_dict"]["stranger"] = np.ones(2, np.float32)
    write_named_arrays(tmp_path / "b.pth", {**groups, "epoch": {"number": np.ones(1, np.float32)}})
    assert main(["import-weights", str(tmp_path / "b.pth"), "--output", str(tmp_path / "w.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert "not used: fusion/stranger" in printed and "left out: epoch" in printed


@pytest.mark.parametrize("command", ["import-weights", "export-weights"])
def test_nothing_is_overwritten_unless_asked(released, tmp_path, capsys, command):
    output = tmp_path / ("w.safetensors" if command == "import-weights" else "w.npz")
    source = [str(released)] if command == "import-weights" else ["--weights", str(released)]
    output.write_bytes(b"precious")
    assert main([command, *source, "--output", str(output)]) == 2
    assert output.read_bytes() == b"precious" and "--overwrite" in capsys.readouterr().err
    assert main([command, *source, "--output", str(output), "--overwrite"]) == 0
    assert output.stat().st_size > 1000


def test_errors_name_the_file_and_exit_with_2(tmp_path, capsys):
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04 truncated")
    assert main(["import-weights", str(tmp_path / "a.pth"), "--output", str(tmp_path / "w.safetensors")]) == 2
    assert "a.pth has no readable zip directory" in capsys.readouterr().err
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "iassf"}, "only iassf_released"),
        (
            {"name": "iassf_released", "ablation": "wo_hde"},
            "ablation 'wo_hde', which the released code has not",
        ),
    ],
)
def test_only_the_whole_released_network_is_exported(model, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("iassf_jax.cli.export_weights.load_pretrained", lambda source: (model, {}))
    assert main(["export-weights", "--weights", "w", "--output", str(tmp_path / "a.pth")]) == 2
    assert message in capsys.readouterr().err


def test_weights_are_written_small_and_with_what_is_said_of_them(released, tmp_path, capsys):
    small = tmp_path / "small.safetensors"
    words = ["--weights", str(released), "--output", str(small), "--dtype", "float16"]
    assert main(["export-weights", *words, "--info", "data=MSRS", "--info", "steps=10=ten"]) == 0
    header = read_header(small)
    assert (header.dtype, header.info) == ("float16", {"data": "MSRS", "steps": "10=ten"})
    full, half = (
        load_pretrained(path)[1]["params"]["dehaze"]["skip0"]["kernel"] for path in (released, small)
    )
    np.testing.assert_array_equal(half, full.astype(np.float16).astype(np.float32))
    assert main(["export-weights", *words, "--overwrite", "--info", "nothing"]) == 2
    assert "expected NAME=VALUE" in capsys.readouterr().err


def test_fields_without_a_part_in_the_parameters_can_be_set(released, tmp_path, capsys):
    changed = tmp_path / "changed.safetensors"
    words = ["export-weights", "--weights", str(released), "--output", str(changed)]
    assert main([*words, "--field", "remat=True", "--field", "dtype=bfloat16"]) == 0
    model = load_pretrained(changed)[0]
    assert model == load_pretrained(released)[0] | {"remat": True, "dtype": "bfloat16"}
    for field, error in (
        ("sharpness=1", "sharpness"),
        ("num_prompts=2", "does not fit the network"),
        ("remat", "expected NAME=VALUE"),
    ):
        assert main([*words, "--overwrite", "--field", field]) == 2
        assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("complement=abc", "complement=abc: expected float, such as 0.0"),
        ("rounding=abc", "rounding=abc: expected float"),
        ("rounding=1e999", "rounding=1e999: expected float"),
        ("complement=True", "complement=True: expected float"),
        ("detail_levels=1.5", "detail_levels=1.5: expected int"),
        ("remat=1", "remat=1: expected bool"),
        ("dtype=16", "dtype=16: expected str"),
        ("depths=2", "depths=2: expected tuple of int, such as (1, 2, 4, 2, 1)"),
        ("depths=(1,'a')", "expected tuple of int"),
    ],
)
def test_fields_of_another_type_are_refused(field, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export_weights, "load_pretrained", lambda source: ({"name": "iassf_lite"}, {}))
    output = tmp_path / "w.safetensors"
    assert main(["export-weights", "--weights", "w", "--output", str(output), "--field", field]) == 2
    assert message in capsys.readouterr().err


def test_a_whole_number_may_stand_for_a_float():
    value = export_weights._field_value("iassf_lite", "complement", "1")
    assert value == 1.0 and type(value) is float
    assert export_weights._field_value("iassf_released", "mlp_ratios", "(2, 2.5)") == (2, 2.5)


def test_a_network_is_not_named_beside_weights(tmp_path, capsys):
    assert main(["info", "--weights", "iassf", "--network", "iassf", "--flops"]) == 2
    assert "--network iassf: the costs are those of --weights iassf" in capsys.readouterr().err


def test_info_lists_versions_devices_and_networks(capsys, monkeypatch):
    monkeypatch.setattr(info.models, "MODELS", {"iassf_released": info.models.MODELS["iassf_released"]})
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"jax\W+\d+\.\d+", printed) and "devices (cpu is used)" in printed
    # The released dehaze (9,184,895) and fusion (2,013,681) networks without their 1,154 unused numbers.
    assert re.search(r"iassf_released\W+11,197,422", printed)


def test_info_describes_weights(released, tmp_path, capsys):
    file = shutil.copy(released, tmp_path / f"[bold]mine{released.suffix}")
    assert main(["info", "--weights", str(file)]) == 0
    printed = capsys.readouterr().out
    count = info.parameter_count({"name": "iassf_released", **FIELDS})
    assert f"{count:,}" in printed and re.search(r"all finite\W+yes", printed)
    assert re.search(r"num_fusion_blocks\W+3", printed)
    assert "[bold]mine" in re.sub(r"\s", "", printed)


def test_flops_of_a_known_layer_scale_with_the_network():
    small = info.flop_count({"name": "iassf_released", **FIELDS})
    large = info.flop_count({"name": "iassf_released", **FIELDS, "mlp_ratios": (4.0, 2.0, 2.0, 2.0, 2.0)})
    # The MLP of layer 1, 4 channels wide, grows from 8 to 16 hidden: two products of 4 x 8 more a pixel.
    expected = 2 * 2 * 4 * 8 * 256 * 256
    assert large - small == pytest.approx(expected, rel=0.2)


def test_the_package_imports_no_orbax_for_weights_files():
    code = "import sys, iassf_jax.checkpoints.sources; sys.exit('orbax.checkpoint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_mean_of_weights_has_the_shares_that_are_given(tmp_path, capsys, monkeypatch):
    kernels = {"a": np.float32(1.0), "b": np.float32(3.0), "c": np.ones(2, np.float32)}
    sources = {name: ({"name": "iassf"}, {"params": {"k": kernel}}) for name, kernel in kernels.items()}
    saved = []

    def save(path, *, variables, **_):
        saved.append(variables)
        path.write_bytes(b"")

    monkeypatch.setattr(export_weights, "load_pretrained", sources.__getitem__)
    monkeypatch.setattr(export_weights, "save_weights", save)
    words = ["export-weights", "--weights", "a", "--output", str(tmp_path / "w.safetensors"), "--overwrite"]
    assert main([*words, "--average", "b=0.25"]) == 0
    assert saved == [{"params": {"k": 1.5}}]
    impossible = {"b": "WEIGHTS=SHARE", "b=1": "less than 1 in all", "c=0.5": "another network"}
    impossible |= {"b=nan": "more than 0 each", "b=inf": "less than 1 in all", "b=0": "more than 0 each"}
    for average, message in impossible.items():
        assert main([*words, "--average", average]) == 2
        assert message in capsys.readouterr().err
