"""Released names, layouts and structure: two-way rules, and the fields that shapes give away."""

import ast
import csv
import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.checkpoints.released_fields import attention_ratio, mlp_ratio, released_fields
from iassf_jax.checkpoints.released_names import BUFFER, relative_positions, to_flax, to_released
from iassf_jax.checkpoints.released_structure import has_attention, released_shapes
from iassf_jax.core.errors import CheckpointError

RELEASED = {
    "embed_dims": (24, 48, 96, 48, 24),
    "depths": (8, 8, 8, 4, 4),
    "num_heads": (2, 4, 6, 1, 1),
    "attn_ratios": (0.25, 0.5, 0.75, 0.0, 0.0),
    "mlp_ratios": (2.0, 4.0, 4.0, 2.0, 2.0),
    "prompt_heads": 2,
    "prompt_size": 256,
    "fusion_width": 6,
    "fusion_prompt_size": 256,
    "num_prompts": 5,
    "num_fusion_blocks": 5,
    "window": 8,
}


def state_of(fields):
    # Arrays that take no memory: only their shapes matter here.
    return {
        network: {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
        for network, shapes in released_shapes(fields).items()
    }


def test_every_name_and_layout_goes_there_and_back(released_groups):
    for arrays in released_groups.values():
        paths = set()
        for name, array in arrays.items():
            translated = to_flax(name, array)
            if name.endswith(BUFFER):
                assert translated is None
                continue
            path, flax_array = translated
            assert path not in paths and not any("." in part for part in path)
            paths.add(path)
            back_name, back = to_released(path, flax_array)
            assert back_name == name
            np.testing.assert_array_equal(back, array, strict=True)


LAYOUTS = """
layer1.blocks.0.attn.V.weight  (6, 3, 1, 1)  layer1/blocks_0/attn/V/kernel  (4, 2, 0, 0)  (2, 4)
patch_merge1.proj.weight  (6, 3, 2, 2)  patch_merge1/proj/kernel  (5, 1, 0, 1)  (0, 1, 1, 5)
layer2.blocks.11.attn.conv.weight  (4, 1, 5, 5)  layer2/blocks_11/attn/conv/kernel (3, 0, 1, 2)  (1, 2, 3)
skip0.bias  (4,)  skip0/bias  (2,)  (2,)
encoder1.attn.attn.meta.2.weight  (2, 256)  encoder1/attn/attn/meta_2/kernel  (1, 9)  (9, 1)
g.linear_layer.weight  (5, 24)  g/linear_layer/kernel  (4, 7)  (7, 4)
encoder1.norm1.weight  (1, 4, 1, 1)  encoder1/norm1/scale  (0, 2, 0, 0)  (2,)
encoder1.norm2.bias  (1, 4, 1, 1)  encoder1/norm2/bias  (0, 1, 0, 0)  (1,)
encoder1.norm1.meta1.weight  (4, 1, 1, 1)  encoder1/norm1/meta1/kernel  (3, 0, 0, 0)  (3,)
b.prompt_param  (1, 5, 2, 3, 4) b/prompt_param  (0, 4, 1, 2, 3) (4, 2, 3, 1)
prompt_in_blocks_enc.2.conv1x1.weight  (3, 6, 1, 1)  prompt_in_blocks_enc_2/conv1x1/kernel (1, 5, 0, 0) (5, 1)
prompt_adjust_conv_dec.1.weight  (3, 6, 1, 1)  prompt_adjust_conv_dec_1/kernel  (1, 5, 0, 0)  (5, 1)
fusion1.mlp.2.weight  (8, 4, 1, 1)  fusion1/mlp_2/kernel  (7, 3, 0, 0)  (3, 7)
conv24_3.weight  (3, 8, 1, 1)  conv24_3/kernel  (1, 5, 0, 0)  (5, 1)
w_ir  (1,)  w_ir  (0,)  (0,)
"""


@pytest.mark.parametrize("line", LAYOUTS.strip().splitlines())
def test_layouts(line):
    """Columns: released name and shape, Flax path, an index in either layout of the same number."""
    name, shape, path, index, flax_index = re.fullmatch(
        r"(\S+) +(\(.*?\)) +(\S+) +(\(.*?\)) +(\(.*?\))", line
    ).groups()
    shape, index, flax_index = map(ast.literal_eval, (shape, index, flax_index))
    array = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    found_path, found = to_flax(name, array)
    assert "/".join(found_path) == path
    assert found[flax_index] == array[index]


def test_names_outside_the_rules_have_no_counterpart():
    assert to_flax("layer1.running_mean", np.zeros(3, np.float32)) is None
    assert to_released(("layer1", "embedding"), np.zeros(3, np.float32)) is None


def test_relative_positions_by_their_definition():
    table = relative_positions(3)
    assert table.shape == (9, 9, 2) and table.dtype == np.float32
    for i, j in itertools.product(range(9), repeat=2):
        for axis, delta in enumerate((i // 3 - j // 3, i % 3 - j % 3)):
            assert table[i, j, axis] == pytest.approx(math.copysign(math.log1p(abs(delta)), delta), abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_fusion_blocks": 1},
        {"num_fusion_blocks": 3},
        {"num_fusion_blocks": 7, "fusion_width": 5},
        {"window": 4, "num_prompts": 9, "prompt_size": 24},
        # Widths, depths and ratios of every kind, the third one not exact in binary.
        {
            "embed_dims": (12, 16, 24, 16, 12),
            "depths": (2, 3, 2, 2, 2),
            "num_heads": (3, 2, 4, 2, 1),
            "mlp_ratios": (2.0, 3.0, 1.5, 2.0, 4.0),
            "attn_ratios": (1.0, 1 / 3, 1.0, 0.5, 1.0),
            "prompt_heads": 3,
        },
    ],
)
def test_fields_are_read_off_the_shapes(change):
    fields = {**RELEASED, **change}
    assert released_fields(state_of(fields)) == fields


def test_attention_in_other_than_the_last_blocks_is_no_released_network():
    state = state_of(RELEASED)
    attention = re.compile(r"layer2\.blocks\.7\.(norm1|attn\.QK|attn\.attn)\.")
    state["dehaze"] = {name: a for name, a in state["dehaze"].items() if not attention.match(name)}
    with pytest.raises(CheckpointError, match=r"layer2: blocks \[4, 5, 6\] of 8 have attention"):
        released_fields(state)


@pytest.mark.parametrize(
    ("network", "gone"),
    [
        ("dehaze", "PromptGenerationAndEmbeddingBlock.prompt_param"),
        ("dehaze", "layer4."),
        ("fusion", "encoder"),
        ("fusion", "final_conv.weight"),
    ],
)
def test_what_the_fields_depend_on_must_be_there(network, gone):
    state = state_of(RELEASED)
    state[network] = {name: array for name, array in state[network].items() if not name.startswith(gone)}
    with pytest.raises(CheckpointError, match=f"{gone.rstrip('.')}.*missing"):
        released_fields(state)


@given(depth=st.integers(1, 200), data=st.data())
@settings(max_examples=20, deadline=None)
def test_attention_ratio_inverts_the_rule(depth, data):
    count = data.draw(st.integers(0, depth))
    wanted = [block >= depth - count for block in range(depth)]
    ratio = attention_ratio(wanted)
    assert [has_attention(block, depth, ratio) for block in range(depth)] == wanted


def test_attention_ratio_is_right_for_all_small_layers():
    for depth in range(1, 65):
        for count in range(depth + 1):
            ratio = attention_ratio([block >= depth - count for block in range(depth)])
            assert sum(has_attention(block, depth, ratio) for block in range(depth)) == count


@given(width=st.integers(1, 2000), hidden=st.integers(1, 8000))
@settings(max_examples=20, deadline=None)
def test_mlp_ratio_gives_the_width_back(width, hidden):
    assert int(width * mlp_ratio(width, hidden)) == hidden


def test_mlp_ratio_where_division_rounds_down():
    # 49 * (1 / 49) is just below 1 in floating point.
    assert int(49 * (1 / 49)) == 0
    assert int(49 * mlp_ratio(49, 1)) == 1


def test_structure_is_that_of_the_released_code(shared):
    with open(shared / "parity" / "params_table.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    expected = [(row["network"], row["name"], ast.literal_eval(row["shape"])) for row in rows]
    shapes = released_shapes(RELEASED)
    assert [(network, *item) for network in shapes for item in shapes[network].items()] == expected
