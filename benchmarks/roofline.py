"""How much arithmetic and memory traffic a task needs at least, and what the device could do at most."""

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ELEMENTWISE = {"add", "add_any", "sub", "mul", "div", "max", "min", "exp", "log", "sqrt", "rsqrt", "square"}
_REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min"}
# Feature maps between blocks. Each is written by one block and read by the next, whatever is fused inside.
_BOUNDARIES = re.compile(
    r"dehaze/(enc_vi|enc_ir|prompt_resized|prompt|peb_attn|peb_out|combined|patch_embed|skip\d|layer\d\.\d+"
    r"|merge\d|split\d|sk\d_res|out|ir3)"
    r"|fusion/(prompt_resized|prompt|prompt_adj\d|down\d|enc\d|peb\d|up\d|dec\d|skip_conv\d|stage\d|out)"
)
# Passes over a boundary in training: written and read forward; read again for the gradients, whose own map is
# written and read.
_TRAIN_PASSES = 5
# Passes over a parameter: read forward; gradient written and read; it and both moments read and written.
_PARAMETER_PASSES = 9


def flops(function: Callable, *arguments: Any) -> float:
    """Count floating point operations, a multiply-add as two, from the traced program before optimisation."""
    return float(_count(jax.make_jaxpr(function)(*arguments).jaxpr))


def forward_bytes(model: Any, variables: Any, *images: Any) -> float:
    """Return the traffic of a forward pass whose blocks read their input and write their output once."""
    return 2.0 * _boundary_bytes(model, variables, *images) + _size(variables)


def train_bytes(model: Any, params: Any, *images: Any) -> float:
    """Return the same for a training step with AdamW."""
    floats = [jax.ShapeDtypeStruct(image.shape, np.float32) for image in images]
    boundaries = _boundary_bytes(model, {"params": params}, *floats)
    return float(_TRAIN_PASSES * boundaries + _PARAMETER_PASSES * _size(params))


def ceilings(precision: str) -> dict[str, Any]:
    """Measure the first device: {"device", "flops_per_second", "bytes_per_second"}, the best of several runs.

    The first by a square matrix product at `precision`, the second by y = a x + b on arrays far larger than
    the caches.
    """
    device = jax.devices()[0]
    side, length = (2048, 2**26) if device.platform == "cpu" else (8192, 2**28)
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    matmul = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}[precision]
    matrix = jnp.ones((side, side), dtype)
    vector = jnp.ones(length, jnp.float32)
    product = _fastest(jax.jit(lambda a: jnp.matmul(a, a, precision=matmul)), matrix)
    return {
        "device": device.device_kind,
        "flops_per_second": 2.0 * side**3 / product,
        "bytes_per_second": 2.0 * vector.nbytes / _fastest(jax.jit(lambda x: 3.0 * x + 1.0), vector),
    }


def _fastest(function: Callable, argument: Any, *, runs: int = 10) -> float:
    seconds = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        jax.block_until_ready(function(argument))
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def _boundary_bytes(model: Any, variables: Any, *images: Any) -> float:
    outputs: Mapping[str, Any] = jax.eval_shape(model.apply, variables, *images)
    return sum(_size(value) for name, value in outputs.items() if _BOUNDARIES.fullmatch(name))


def _size(tree: Any) -> float:
    return float(sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree)))


def _count(jaxpr: Any) -> float:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: Any) -> float:
    name = equation.primitive.name
    output = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2.0 * output * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        outputs_axis = equation.params["dimension_numbers"].rhs_spec[0]
        return 2.0 * output * math.prod(kernel) / kernel[outputs_axis]
    if name in _ELEMENTWISE:
        return float(output)
    if name in _REDUCTIONS:
        return float(math.prod(equation.invars[0].aval.shape))
    inner = [_count(part) for part in _programs(equation.params)]
    if name == "cond":
        return max(inner)
    return equation.params["length"] * sum(inner) if name == "scan" else sum(inner)


def _programs(params: Mapping[str, Any]) -> list[Any]:
    """Programs inside an equation: of a call, a loop, the branches of a condition."""
    found = []
    for value in params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            part = getattr(part, "jaxpr", part)
            if hasattr(part, "eqns"):
                found.append(part)
    return found


if __name__ == "__main__":  # a process of its own: the parent of the workers must not take the accelerator
    import sys

    print(json.dumps(ceilings(sys.argv[1])))
