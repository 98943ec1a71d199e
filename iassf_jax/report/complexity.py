"""What a network costs: parameters, arithmetic, memory and time.

The conventions: prompt pools are counted apart, because they are stored and not computed with as weights are
(a pool is mixed to one prompt for each image). FLOPs are XLA's count for one pair, before it optimises: a
multiplication and its addition are two. Activation memory is what XLA reserves on the present device for
everything between the inputs and the outputs of one pair, without the parameters. Latency is the median of
calls on the present device with images that are there already, float32, one pair at a time.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from iassf_jax import models
from iassf_jax.checkpoints.weights import parameter_shapes
from iassf_jax.report.rows import Block

Size = tuple[int, int]
"""Height and width, pixels."""

SIZES: tuple[Size, ...] = ((256, 256), (480, 640))
FUSION_BLOCKS = (1, 3, 5, 7)  # values of M
_POOL = "prompt_param"  # name of the parameters that are pools of prompts
_BLOCKS = "num_fusion_blocks"


@dataclasses.dataclass(frozen=True)
class Speed:
    """What one call needs on the present device."""

    activation_bytes: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
      parameters: without prompt pools.
      pools: parameters of prompt pools.
      flops: of one pair, by its size.
      speed: by the size; empty where it was not measured.
    """

    parameters: int
    pools: int
    flops: Mapping[Size, float]
    speed: Mapping[Size, Speed]


def cost_of(
    model: Mapping[str, Any], *, sizes: Sequence[Size] = SIZES, measured: bool = False, calls: int = 5
) -> Cost:
    """Count what a network costs; with `measured`, also compile it for each size and run it `calls` times.

    Args:
      model: {"name": ..., **fields}.
      sizes: of the pair.
      measured: memory and time, too.
      calls: whose median is the latency.
    """
    own, pools = parameter_counts(model)
    flops, speed = {}, {}
    for size in sizes:
        lowered = _lower(model, size)
        analysis: Any = lowered.cost_analysis()
        flops[size] = float(analysis["flops"])
        if measured:
            speed[size] = _speed(lowered.compile(), model, size, calls)
    return Cost(own, pools, flops, speed)


def parameter_counts(model: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of trainable parameters outside and inside of prompt pools; nothing is computed."""
    sizes = {path: math.prod(shape) for path, shape in parameter_shapes(model).items()}
    pools = sum(size for path, size in sizes.items() if path[-1] == _POOL)
    return sum(sizes.values()) - pools, pools


def flop_count(model: Mapping[str, Any], size: Size = SIZES[0]) -> float:
    """Return the floating point operations of one pair, as XLA counts them before optimising."""
    return cost_of(model, sizes=(size,)).flops[size]


def variants(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the network with each number M of fusion blocks; itself alone if it has none."""
    if _BLOCKS not in models.model_fields(model["name"]):
        return [dict(model)]
    return [{**model, _BLOCKS: blocks} for blocks in FUSION_BLOCKS]


def costs_of_rows(block: Block, *, sizes: Sequence[Size] = SIZES, measured: bool = False) -> dict[str, Cost]:
    """Return the costs of every row that is a network's own output, by its label."""
    return {
        row.label: cost_of(row.networks[0].model, sizes=sizes, measured=measured)
        for row in block.rows
        if row.networks
    }


def table(costs: Mapping[str, Cost]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines of the costs by label."""
    first = next(iter(costs.values()))
    heading = ["", "parameters", "and in prompt pools"]
    heading += [f"GFLOPs at {_text(size)}" for size in first.flops]
    for size in first.speed:
        heading += [f"activations at {_text(size)}, MB", f"ms at {_text(size)}"]
    lines = []
    for label, cost in costs.items():
        line = [label, f"{cost.parameters:,}", f"{cost.pools:,}"]
        line += [f"{flops / 1e9:.2f}" for flops in cost.flops.values()]
        for speed in cost.speed.values():
            line += [f"{speed.activation_bytes / 1e6:.0f}", f"{1e3 * speed.seconds:.1f}"]
        lines.append(line)
    return heading, lines


def _lower(model: Mapping[str, Any], size: Size) -> jax.stages.Lowered:
    network = models.create(model)
    return jax.jit(network.apply).lower(_parameters(model, jax.ShapeDtypeStruct), *_images(size))


def _speed(compiled: jax.stages.Compiled, model: Mapping[str, Any], size: Size, calls: int) -> Speed:
    memory: Any = compiled.memory_analysis()
    rng = np.random.default_rng(0)
    variables = _parameters(model, lambda shape, dtype: np.asarray(rng.normal(0.0, 0.02, shape), dtype))
    images = [rng.random(image.shape, np.float32) for image in _images(size)]
    arguments = jax.device_put((variables, *images))
    seconds = []
    for _ in range(calls + 1):  # the first call also allocates
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - start)
    return Speed(int(memory.temp_size_in_bytes), statistics.median(seconds[1:]))


def _parameters(model: Mapping[str, Any], make: Any) -> dict[str, Any]:
    flat = {path: make(shape, np.float32) for path, shape in parameter_shapes(model).items()}
    return {"params": traverse_util.unflatten_dict(flat)}


def _images(size: Size) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    return (
        jax.ShapeDtypeStruct((1, *size, 3), np.float32),
        jax.ShapeDtypeStruct((1, *size, 1), np.float32),
    )


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
