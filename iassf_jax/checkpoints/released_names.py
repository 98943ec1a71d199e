"""Names and layouts of the released PyTorch parameters against those of `models/iassf_released.py`.

Two rules, used in both directions, cover all parameters:

- names: modules nest as in PyTorch, list indices are joined to the list's name
  (`layer1.blocks.0.attn.V` <-> layer1/blocks_0/attn/V);
- layouts: the kind of a module follows from its name, and the kind gives the parameter's name and axes.

| kind (module name)         | PyTorch                          | Flax                              |
|----------------------------|----------------------------------|-----------------------------------|
| convolution 1x1            | weight (O,I,1,1)                 | kernel (I,O)                      |
| convolution                | weight (O,I,h,w)                 | kernel (h,w,I,O)                  |
| depthwise (`conv`)         | weight (C,1,5,5)                 | kernel (5,5,C)                    |
| linear (`linear_layer`, `meta.N`) | weight (O,I)              | kernel (I,O)                      |
| norm (`normN`)             | weight, bias (1,C,1,1)           | scale, bias (C,)                  |
| norm's rescaling (`metaN`) | weight (C,1,1,1)                 | kernel (C,)                       |
| prompt pool                | prompt_param (1,L,C,S,S)         | prompt_param (L,S,S,C)            |
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Path = tuple[str, ...]

BUFFER = "relative_positions"  # a constant that PyTorch stores beside the parameters
# Stored in the released dehaze network and used by nothing: kept apart, so that an export is complete.
UNUSED_MODULES = ("w_ir", "w_vi", "ir_scale_conv", "vi_scale_conv")

_LISTS = r"blocks|mlp|proj|meta|prompt_in_blocks_(?:enc|dec)|prompt_adjust_conv_(?:enc|dec)"
_INDEX_IN_NAME = re.compile(rf"\b({_LISTS})\.(\d+)(?=\.|$)")
_INDEX_IN_PATH = re.compile(rf"({_LISTS})_(\d+)")


class _Layout(NamedTuple):
    released: str  # the parameter's own name in PyTorch
    flax: str
    to_flax: Callable[[np.ndarray], np.ndarray]
    to_released: Callable[[np.ndarray], np.ndarray]


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _conv_to_flax(x: np.ndarray) -> np.ndarray:
    return x[:, :, 0, 0].T if x.shape[2:] == (1, 1) else x.transpose(2, 3, 1, 0)


def _conv_to_released(x: np.ndarray) -> np.ndarray:
    return x.T[:, :, None, None] if x.ndim == 2 else x.transpose(3, 2, 0, 1)


_BIAS = _Layout("bias", "bias", _same, _same)
_CONV = (_Layout("weight", "kernel", _conv_to_flax, _conv_to_released), _BIAS)
_DEPTHWISE = (
    _Layout(
        "weight", "kernel", lambda x: x[:, 0].transpose(1, 2, 0), lambda x: x.transpose(2, 0, 1)[:, None]
    ),
    _BIAS,
)
_LINEAR = (_Layout("weight", "kernel", np.transpose, np.transpose), _BIAS)
_NORM = tuple(
    _Layout(released, flax, lambda x: x.reshape(-1), lambda x: x.reshape(1, -1, 1, 1))
    for released, flax in (("weight", "scale"), ("bias", "bias"))
)
_RESCALING = (_Layout("weight", "kernel", lambda x: x.reshape(-1), lambda x: x.reshape(-1, 1, 1, 1)), _BIAS)
_BARE = (
    _Layout(
        "prompt_param",
        "prompt_param",
        lambda x: x[0].transpose(0, 2, 3, 1),
        lambda x: x.transpose(0, 3, 1, 2)[None],
    ),
    _Layout("w_ir", "w_ir", _same, _same),
    _Layout("w_vi", "w_vi", _same, _same),
)

# The first pattern that the module's path (list indices after a dot) matches at its end.
_KINDS = (
    (r"norm\d", _NORM),
    (r"norm\d\.meta\d", _RESCALING),
    (r"linear_layer|attn\.meta\.\d", _LINEAR),
    (r"conv", _DEPTHWISE),
    (r".*", _CONV),
)


def _layouts(modules: str) -> tuple[_Layout, ...]:
    kind = next(layouts for pattern, layouts in _KINDS if re.search(rf"(?:^|\.)(?:{pattern})$", modules))
    return _BARE + kind


def to_flax(name: str, array: np.ndarray) -> tuple[Path, np.ndarray] | None:
    """Translate one released parameter, named within its network, into its Flax path and layout.

    None where the name follows no rule. The array is not copied and its shape not checked here.
    """
    modules, _, leaf = name.rpartition(".")
    layout = next((layout for layout in _layouts(modules) if layout.released == leaf), None)
    if layout is None:
        return None
    nested = _INDEX_IN_NAME.sub(r"\1_\2", modules)
    return (*(nested.split(".") if nested else ()), layout.flax), layout.to_flax(array)


def to_released(path: Path, array: np.ndarray) -> tuple[str, np.ndarray] | None:
    """Translate one Flax parameter, its path within its network, into its released name and layout.

    The inverse of `to_flax`; None where the path follows no rule.
    """
    parts = [re.sub(rf"^{_INDEX_IN_PATH.pattern}$", r"\1.\2", part) for part in path[:-1]]
    modules = ".".join(parts)
    layout = next((layout for layout in _layouts(modules) if layout.flax == path[-1]), None)
    if layout is None:
        return None
    return ".".join((*parts, layout.released)), layout.to_released(array)


def relative_positions(window: int = 8) -> np.ndarray:
    """Return the released buffer: sign(d) ln(1 + |d|) of the offsets between a window's pixels.

    Shape (window^2, window^2, 2), float32; query, key, (rows, columns).
    """
    row, column = np.divmod(np.arange(window * window), window)
    position = np.stack([row, column], axis=-1).astype(np.float32)
    offset = position[:, None] - position[None, :]
    return np.sign(offset) * np.log(np.float32(1) + np.abs(offset))
