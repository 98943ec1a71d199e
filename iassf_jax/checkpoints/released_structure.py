"""The released networks' parameters: names, shapes and order, from the fields of `IassfReleased`."""

from collections.abc import Iterator, Mapping
from typing import Any

from iassf_jax.checkpoints.released_names import BUFFER

Shape = tuple[int, ...]
Shapes = Iterator[tuple[str, Shape]]

NETWORKS = ("dehaze", "fusion")
POSITION_WIDTH = 256  # hidden units of the MLP that turns relative positions into attention bias
ENCODER_MLP_RATIO = 2.66
IMAGE_CHANNELS = 3  # also of the infrared image, which is grey copied three times
FUSION_PROMPT_FEATURES = 6  # what the fusion network's prompt weights are predicted from, whatever its width


def has_attention(block: int, depth: int, ratio: float) -> bool:
    """Tell whether a block of a layer has attention: the last `ratio` of its `depth` blocks do.

    Evaluated in floating point exactly as the released code does, which decides for ratios such as 1/3.
    """
    return block >= depth - ratio * depth


def released_shapes(fields: Mapping[str, Any]) -> dict[str, dict[str, Shape]]:
    """Return the shape of everything that the released state dicts hold for these model fields.

    Returns:
      "dehaze" and "fusion", each by released name in the released order, buffers and unused tensors included.
    """
    return {"dehaze": dict(_dehaze(fields)), "fusion": dict(_fusion(fields))}


def _conv(name: str, out: int, into: int, size: int = 1, *, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (out, into, size, size)
    if bias:
        yield f"{name}.bias", (out,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (1, width, 1, 1)
    yield f"{name}.bias", (1, width, 1, 1)
    yield from _conv(f"{name}.meta1", width, 1)
    yield from _conv(f"{name}.meta2", width, 1)


def _attention(name: str, width: int, heads: int, window: int) -> Shapes:
    yield from _conv(f"{name}.QK", 2 * width, width)
    yield f"{name}.attn.{BUFFER}", (window**2, window**2, 2)
    yield f"{name}.attn.meta.0.weight", (POSITION_WIDTH, 2)
    yield f"{name}.attn.meta.0.bias", (POSITION_WIDTH,)
    yield f"{name}.attn.meta.2.weight", (heads, POSITION_WIDTH)
    yield f"{name}.attn.meta.2.bias", (heads,)


def _projections(name: str, width: int) -> Shapes:
    yield from _conv(f"{name}.V", width, width)
    yield from _conv(f"{name}.proj", width, width)


def _mlp(name: str, width: int, hidden: int, *, bias: bool = True) -> Shapes:
    yield from _conv(f"{name}.mlp.0", hidden, width, bias=bias)
    yield from _conv(f"{name}.mlp.2", width, hidden, bias=bias)


def _encoder_block(name: str, into: int, width: int, window: int) -> Shapes:
    yield from _norm(f"{name}.norm1", width)
    yield from _projections(f"{name}.attn", width)
    yield from _attention(f"{name}.attn", width, 1, window)
    yield from _norm(f"{name}.norm2", width)
    yield from _mlp(f"{name}.ffn", width, int(width * ENCODER_MLP_RATIO))
    yield from _conv(f"{name}.mlp", width, into)


def _main_block(name: str, width: int, hidden: int, heads: int | None, window: int) -> Shapes:
    if heads is not None:
        yield from _norm(f"{name}.norm1", width)
    yield f"{name}.attn.conv.weight", (width, 1, 5, 5)
    yield f"{name}.attn.conv.bias", (width,)
    yield from _projections(f"{name}.attn", width)
    if heads is not None:
        yield from _attention(f"{name}.attn", width, heads, window)
    yield from _mlp(f"{name}.mlp", width, hidden)


def _layer(number: int, fields: Mapping[str, Any]) -> Shapes:
    width, depth, heads, ratio, mlp_ratio = (
        fields[key][number - 1] for key in ("embed_dims", "depths", "num_heads", "attn_ratios", "mlp_ratios")
    )
    for block in range(depth):
        block_heads = heads if has_attention(block, depth, ratio) else None
        name = f"layer{number}.blocks.{block}"
        yield from _main_block(name, width, int(width * mlp_ratio), block_heads, fields.get("window", 8))


def _selective_fusion(name: str, width: int) -> Shapes:
    reduced = max(width // 8, 4)
    yield f"{name}.mlp.0.weight", (reduced, width, 1, 1)
    yield f"{name}.mlp.2.weight", (2 * width, reduced, 1, 1)


def _dehaze(fields: Mapping[str, Any]) -> Shapes:
    c0, c1, c2, c3, c4 = fields["embed_dims"]
    window = fields.get("window", 8)
    yield from (("w_ir", (1,)), ("w_vi", (1,)))
    yield from _conv("ir_scale_conv", c0, c0, bias=False)
    yield from _conv("vi_scale_conv", c0, c0, bias=False)
    yield from _encoder_block("restormer_encoder", IMAGE_CHANNELS, c0, window)
    yield from _conv("conv24_3", IMAGE_CHANNELS, c0)
    prompt = "PromptGenerationAndEmbeddingBlock"
    yield (
        f"{prompt}.prompt_param",
        (1, fields["num_prompts"], c0, fields["prompt_size"], fields["prompt_size"]),
    )
    yield f"{prompt}.linear_layer.weight", (fields["num_prompts"], c0)
    yield f"{prompt}.linear_layer.bias", (fields["num_prompts"],)
    yield from _conv(f"{prompt}.conv3x3_gen", c0, c0, 3, bias=False)
    yield from _projections(f"{prompt}.attention", 2 * c0)
    yield from _attention(f"{prompt}.attention", 2 * c0, fields["prompt_heads"], window)
    yield from _conv(f"{prompt}.conv1x1_embed", c0, 2 * c0, bias=False)
    yield from _conv(f"{prompt}.conv3x3_embed", c0, c0, 3, bias=False)
    yield from _conv("patch_embed.proj", c0, c0, 3)
    yield from _conv("skip0", c0, c0)
    yield from _layer(1, fields)
    yield from _conv("patch_merge1.proj", c1, c0, 2)
    yield from _conv("skip1", c0, c0)
    yield from _layer(2, fields)
    yield from _conv("patch_merge2.proj", c2, c1, 2)
    yield from _conv("skip2", c1, c1)
    yield from _layer(3, fields)
    yield from _conv("patch_split1.proj.0", 4 * c3, c2)
    yield from _selective_fusion("fusion1", c3)
    yield from _layer(4, fields)
    yield from _conv("patch_split2.proj.0", 4 * c4, c3)
    yield from _selective_fusion("fusion2", c4)
    yield from _layer(5, fields)
    yield from _selective_fusion("fusion3", c4)
    yield from _conv("patch_unembed.proj.0", IMAGE_CHANNELS, c4, 3)


def _prompt_embedding(name: str, width: int, window: int) -> Shapes:
    yield from _projections(f"{name}.attention", 2 * width)
    yield from _attention(f"{name}.attention", 2 * width, 1, window)
    yield from _conv(f"{name}.conv1x1", width, 2 * width, bias=False)
    yield from _conv(f"{name}.conv3x3", width, width, 3, bias=False)


def _fusion(fields: Mapping[str, Any]) -> Shapes:
    base, size, prompts = fields["fusion_width"], fields["fusion_prompt_size"], fields["num_prompts"]
    window = fields.get("window", 8)
    encoders = [base * 2**stage for stage in range((fields["num_fusion_blocks"] + 1) // 2)]
    decoders = encoders[-2::-1]
    prompt = "prompt_gen_block"
    yield f"{prompt}.prompt_param", (1, prompts, base, size, size)
    yield f"{prompt}.linear_layer.weight", (prompts, FUSION_PROMPT_FEATURES)
    yield f"{prompt}.linear_layer.bias", (prompts,)
    yield from _conv(f"{prompt}.conv3x3", base, base, 3, bias=False)
    yield from _conv(f"{prompt}.adjust_channels", base, base, bias=False)
    yield from _conv(f"{prompt}.conv1", FUSION_PROMPT_FEATURES, IMAGE_CHANNELS, bias=False)
    for side, widths in (("enc", encoders), ("dec", decoders)):
        for index, width in enumerate(widths):
            yield from _prompt_embedding(f"prompt_in_blocks_{side}.{index}", width, window)
    for number, width in enumerate(encoders, start=1):
        into = 2 * IMAGE_CHANNELS if number == 1 else width // 2
        yield from _encoder_block(f"encoder{number}", into, width, window)
    for number, width in zip(range(len(encoders), 1, -1), decoders, strict=True):
        yield from _encoder_block(f"decoder{number}", 2 * width, width, window)
    yield from _conv("final_conv", IMAGE_CHANNELS, base)
    for number, width in enumerate(encoders[:-1], start=1):
        yield from _conv(f"skip_conv{number}", width, width)
    for side, widths in (("enc", encoders), ("dec", decoders)):
        for index, width in enumerate(widths):
            yield from _conv(f"prompt_adjust_conv_{side}.{index}", width, base, bias=False)
