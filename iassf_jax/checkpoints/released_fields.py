"""The fields of `IassfReleased` that a released state dict was made with, read off its shapes."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from iassf_jax.checkpoints.released_names import BUFFER
from iassf_jax.checkpoints.released_structure import has_attention
from iassf_jax.core.errors import CheckpointError

_LAYERS = (1, 2, 3, 4, 5)
_PROMPT = "PromptGenerationAndEmbeddingBlock"


def released_fields(state: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Infer the model fields from the shapes and the presence of parameters.

    Where several parameters tell the same (every block tells its layer's width), the most frequent value
    counts, so that one wrong shape is found to be wrong and does not redefine the network.

    Args:
      state: "dehaze" and "fusion", each a mapping from released names to arrays.

    Returns:
      Keyword arguments for `models.create("iassf_released", ...)`.

    Raises:
      CheckpointError: parameters that the answer depends on are missing, or no network has this structure.
    """
    dehaze = {name: np.shape(array) for name, array in state["dehaze"].items()}
    fusion = {name: np.shape(array) for name, array in state["fusion"].items()}
    layers = [_layer_fields(dehaze, number) for number in _LAYERS]
    pool = _shape(dehaze, f"{_PROMPT}.prompt_param", 5)
    fusion_pool = _shape(fusion, "prompt_gen_block.prompt_param", 5)
    encoders = _count(fusion, r"encoder(\d+)\.")
    if encoders == 0:
        raise CheckpointError("encoder1 of the fusion network is missing: not a released IASSF checkpoint")
    return {
        **{key: tuple(layer[key] for layer in layers) for key in layers[0]},
        "prompt_heads": _shape(dehaze, f"{_PROMPT}.attention.attn.meta.2.weight", 2)[0],
        "prompt_size": pool[-1],
        "fusion_width": _shape(fusion, "final_conv.weight", 4)[1],
        "fusion_prompt_size": fusion_pool[-1],
        "num_prompts": pool[1],
        "num_fusion_blocks": 2 * encoders - 1,
        "window": _window({**dehaze, **fusion}),
    }


def mlp_ratio(width: int, hidden: int) -> float:
    """Return a ratio for which int(width * ratio) is `hidden`: hidden / width, up to its rounding."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def attention_ratio(with_attention: list[bool]) -> float:
    """Return a ratio for which just these blocks of a layer have attention.

    Raises:
      CheckpointError: the blocks with attention are not the layer's last ones.
    """
    depth, count = len(with_attention), sum(with_attention)
    # count / depth can round to one block fewer by the rule; half a block more never rounds to one too many.
    for ratio in (count / depth, (count + 0.5) / depth):
        if [has_attention(block, depth, ratio) for block in range(depth)] == with_attention:
            return ratio
    present = [block for block, present in enumerate(with_attention) if present]
    raise CheckpointError(f"blocks {present} of {depth} have attention, expected the last ones of the layer")


def _layer_fields(shapes: Mapping[str, tuple[int, ...]], number: int) -> dict[str, Any]:
    prefix = rf"layer{number}\.blocks"
    depth = _count(shapes, rf"{prefix}\.(\d+)\.", first=0)
    if depth == 0:
        raise CheckpointError(f"layer{number}.blocks.0 is missing: not a released IASSF checkpoint")
    block = f"layer{number}.blocks.0"
    width = _vote(shapes, rf"{prefix}\.\d+\.attn\.(?:V|proj|conv)\.bias", f"{block}.attn.V.bias")
    hidden = _vote(shapes, rf"{prefix}\.\d+\.mlp\.mlp\.0\.bias", f"{block}.mlp.mlp.0.bias")
    attention = [
        any(re.match(rf"{prefix}\.{index}\.(?:norm1|attn\.QK|attn\.attn)\.", name) for name in shapes)
        for index in range(depth)
    ]
    heads = 1
    if any(attention):
        last = f"layer{number}.blocks.{depth - 1}.attn.attn.meta.2.bias"
        heads = _vote(shapes, rf"{prefix}\.\d+\.attn\.attn\.meta\.2\.bias", last)
    try:
        ratio = attention_ratio(attention)
    except CheckpointError as error:
        raise CheckpointError(f"layer{number}: {error}") from error
    return {
        "embed_dims": width,
        "depths": depth,
        "num_heads": heads,
        "attn_ratios": ratio,
        "mlp_ratios": mlp_ratio(width, hidden),
    }


def _count(names: Iterable[str], pattern: str, *, first: int = 1) -> int:
    """Return how many consecutive numbers, from `first` to the largest, the pattern's group takes."""
    found = [int(match[1]) for name in names if (match := re.match(pattern, name))]
    return max(found) - first + 1 if found else 0


def _vote(shapes: Mapping[str, tuple[int, ...]], pattern: str, example: str) -> int:
    """Return the most frequent length of the vectors whose names match; `example` is one such name."""
    lengths = [shape[0] for name, shape in shapes.items() if len(shape) == 1 and re.fullmatch(pattern, name)]
    if not lengths or 0 in lengths:
        raise CheckpointError(f"{example} is missing or empty: not a released IASSF checkpoint")
    return Counter(lengths).most_common(1)[0][0]


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, rank: int) -> tuple[int, ...]:
    if name not in shapes:
        raise CheckpointError(f"{name} is missing: not a released IASSF checkpoint")
    if len(shapes[name]) != rank:
        raise CheckpointError(f"{name} has shape {shapes[name]}, expected {rank} axes")
    return shapes[name]


def _window(shapes: Mapping[str, tuple[int, ...]]) -> int:
    tokens = [shape[0] for name, shape in shapes.items() if name.endswith(BUFFER) and shape]
    return math.isqrt(Counter(tokens).most_common(1)[0][0]) if tokens else 8
