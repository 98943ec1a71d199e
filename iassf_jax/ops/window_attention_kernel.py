"""Window attention and its gradients as one Pallas kernel each, for GPUs.

The logits of a window of 8x8 pixels are 64 numbers per pixel, where a head has 12 to 24. In plain JAX they go
through memory several times, between the matrix products that XLA does not fuse with anything. The kernels
hold them in registers, and work them out anew for the gradients.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt
from jaxtyping import Array, Float

_LEAST_SIDE = 16  # of the matrices that Triton multiplies; their sides are powers of two
_WINDOWS = 8  # that a program of the kernels works on, one after the other

Queries = Float[Array, "n t d"]
Values = Float[Array, "n t v"]
Bias = Float[Array, "t t"]


def attend_in_kernel(q: Queries, k: Queries, v: Values, bias: Bias, *, interpret: bool = False) -> Values:
    """Return softmax(q k + bias) v; `interpret` runs the kernel, slowly, on any device."""
    (attended,) = _call(_attend_kernel, (q, k, v), bias, (v,), interpret=interpret)
    return attended


def gradients_in_kernel(
    q: Queries, k: Queries, v: Values, bias: Bias, g: Values, *, interpret: bool = False
) -> tuple[Queries, Queries, Values, Bias]:
    """Return the gradients of `attend_in_kernel` for q, k, v and the bias, given that of its result."""
    dq, dk, dv, parts = _call(
        _gradient_kernel, (q, k, v, g), bias, (q, k, v), bias_sums=True, interpret=interpret
    )
    return dq, dk, dv, parts.sum(axis=0).astype(bias.dtype)


def _call(
    kernel: Callable[..., None],
    inputs: tuple[Array, ...],
    bias: Bias,
    like: tuple[Array, ...],
    *,
    bias_sums: bool = False,
    interpret: bool,
) -> tuple[Array, ...]:
    """Run `kernel` on the windows of `inputs`, `_WINDOWS` to each program.

    It returns arrays `like` those given; with `bias_sums`, also one like the bias, in float32, per program.
    """
    windows, tokens, _ = inputs[0].shape
    programs = pl.cdiv(windows, _WINDOWS)

    def block(x: Array) -> pl.BlockSpec:
        width = max(_LEAST_SIDE, pl.next_power_of_2(x.shape[2]))
        return pl.BlockSpec((_WINDOWS, tokens, width), lambda i: (i, 0, 0))

    out_specs, out_shape = [block(x) for x in like], [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in like]
    if bias_sums:
        out_specs.append(pl.BlockSpec((None, *bias.shape), lambda i: (i, 0, 0)))
        out_shape.append(jax.ShapeDtypeStruct((programs, *bias.shape), jnp.float32))
    return pl.pallas_call(
        functools.partial(kernel, windows=windows, widths=[x.shape[2] for x in inputs]),
        grid=(programs,),
        in_specs=[*map(block, inputs), pl.BlockSpec(bias.shape, lambda i: (0, 0))],
        out_specs=out_specs,
        out_shape=out_shape,
        interpret=interpret,
        # In products of full float32, four warps run out of registers (7 KB of them spilled, 0.5 with eight).
        compiler_params=plt.CompilerParams(
            num_warps=8 if inputs[0].dtype == jnp.float32 else 4, num_stages=2
        ),
    )(*inputs, bias)


def _attend_kernel(q_ref, k_ref, v_ref, bias_ref, out_ref, *, windows: int, widths: list[int]) -> None:
    bias = bias_ref[...]

    def attend_window(index: Array, _: None) -> None:
        q, k, v = _load(index, (q_ref, k_ref, v_ref), widths)
        exponentials, total = _exponentials(q, k, bias)
        weighted = _product(exponentials.astype(v.dtype), v, (1, 0))
        _store(index, out_ref, weighted / total, widths[2])

    lax.fori_loop(0, _windows_here(windows), attend_window, None)


def _gradient_kernel(
    q_ref, k_ref, v_ref, g_ref, bias_ref, q_out, k_out, v_out, bias_out, *, windows: int, widths: list[int]
) -> None:
    bias = bias_ref[...]

    def add_window(index: Array, bias_gradient: Array) -> Array:
        q, k, v, g = _load(index, (q_ref, k_ref, v_ref, g_ref), widths)
        exponentials, total = _exponentials(q, k, bias)
        weights = exponentials / total
        _store(index, v_out, _product(weights.astype(g.dtype), g, (0, 0)), widths[2])
        d_weights = _product(g, v, (1, 1))
        d_logits = weights * (d_weights - (weights * d_weights).sum(axis=1, keepdims=True))
        _store(index, q_out, _product(d_logits.astype(k.dtype), k, (1, 0)), widths[0])
        _store(index, k_out, _product(d_logits.astype(q.dtype), q, (0, 0)), widths[1])
        return bias_gradient + d_logits

    bias_out[...] = lax.fori_loop(0, _windows_here(windows), add_window, jnp.zeros(bias.shape, jnp.float32))


def _windows_here(windows: int) -> Array:
    """Windows of the present program; the last one may have fewer."""
    return jnp.minimum(_WINDOWS, windows - _WINDOWS * pl.program_id(0))


def _exponentials(q: Array, k: Array, bias: Array) -> tuple[Array, Array]:
    """Return the numerators of the softmax, [t, t], and their sum for each query, [t, 1]."""
    logits = _product(q, k, (1, 1)) + bias
    exponentials = jnp.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials, exponentials.sum(axis=1, keepdims=True)


def _product(a: Array, b: Array, contracted: tuple[int, int]) -> Array:
    axes = (((contracted[0],), (contracted[1],)), ((), ()))
    return lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)


def _load(index: Array, refs: tuple[Any, ...], widths: list[int]) -> list[Array]:
    """Read one window of each; zeros fill up the powers of two."""
    return [
        plt.load(ref.at[index], mask=_valid(ref, n), other=0.0) for ref, n in zip(refs, widths, strict=True)
    ]


def _store(index: Array, ref: Any, x: Array, width: int) -> None:
    plt.store(ref.at[index], x.astype(ref.dtype), mask=_valid(ref, width))


def _valid(ref: Any, width: int) -> Array:
    return lax.broadcasted_iota(jnp.int32, ref.shape[1:], 1) < width
