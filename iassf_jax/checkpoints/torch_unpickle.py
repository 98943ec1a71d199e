"""The pickled part of a PyTorch checkpoint, read without executing what it says.

A pickle names functions that the reader has to call. Here only the few that PyTorch uses for tensors are
known, each replaced by one of our own that merely notes its arguments; any other name is refused.
"""

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from iassf_jax.core.errors import CheckpointError

STORAGE_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
    "ComplexFloatStorage": np.dtype(np.complex64),
    "ComplexDoubleStorage": np.dtype(np.complex128),
    "UntypedStorage": np.dtype(np.uint8),
}
_TORCH_DTYPES = {
    **{name: np.dtype(name) for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64")},
    **{name: np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64", "complex64", "complex128")},
    "bool": np.dtype(np.bool_),
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")},
}


class StorageRef(NamedTuple):
    """A stretch of numbers that tensors are views of; the numbers lie elsewhere in the file."""

    key: str
    dtype: np.dtype
    size: int  # elements


class TensorRef(NamedTuple):
    """A strided view of a storage; offset and strides in elements of `dtype`."""

    storage: StorageRef
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StateDict(dict):
    """Stands for OrderedDict; the attributes that PyTorch hangs on it (module versions) are dropped."""

    def __setstate__(self, state: object) -> None:
        pass


class _Allowed:
    """A callable that a pickle may use and not alter: BUILD on a bare function could set its defaults."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("attempt to alter a function")


def _tensor(storage, offset, shape, strides, *_) -> TensorRef:
    return TensorRef(storage, storage.dtype, offset, tuple(shape), tuple(strides))


def _tensor_of_dtype(storage, offset, shape, strides, requires_grad, hooks, dtype, *_) -> TensorRef:
    return TensorRef(storage, dtype, offset, tuple(shape), tuple(strides))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Allowed(_StateDict),
    ("collections", "Counter"): _Allowed(_StateDict),
    ("torch._utils", "_rebuild_tensor"): _Allowed(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Allowed(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Allowed(_tensor_of_dtype),
    ("torch._utils", "_rebuild_parameter"): _Allowed(lambda data, *_: data),
    ("torch._utils", "_rebuild_parameter_with_state"): _Allowed(lambda data, *_: data),
    ("torch", "Size"): _Allowed(tuple),
    ("torch", "device"): _Allowed(lambda *parts: ":".join(map(str, parts))),
    ("torch.storage", "UntypedStorage"): STORAGE_DTYPES["UntypedStorage"],
    **{("torch", name): dtype for name, dtype in STORAGE_DTYPES.items()},
    **{("torch", name): dtype for name, dtype in _TORCH_DTYPES.items()},
    **{(module, "set"): _Allowed(set) for module in ("builtins", "__builtin__")},
    **{(module, "complex"): _Allowed(complex) for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): _Allowed(lambda text, encoding: _latin1(text, encoding)),
}


def _latin1(text: str, encoding: str) -> bytes:
    # How pickle protocol 2 spells a bytes object.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected text encoding {encoding!r}")
    return text.encode("latin1")


# The interpreter's C version believes a damaged file's numbers and may fill tens of gigabytes with zeros; the
# version in Python, of which the standard library keeps the name private, does not.
class TensorUnpickler(pickle._Unpickler):
    """Reads nested dictionaries, lists and numbers; a tensor becomes a `TensorRef`.

    `storages` collects the storages met, by key.

    Raises (from load):
      CheckpointError: the pickle names a function or class outside the list above. Nothing was called.
    """

    def __init__(self, file: Any, *, name: str):
        super().__init__(file, encoding="utf-8")
        self._name = name
        self.storages: dict[str, StorageRef] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise CheckpointError(
            f"{self._name} was refused: it asks for {module}.{name}, which is not needed to store tensors. "
            "Nothing was executed. If you trust the file, load it with PyTorch and save only its state dicts"
        )

    def persistent_load(self, pid: Any) -> StorageRef:
        kind, dtype, key, _device, count, *legacy_view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise CheckpointError(f"{self._name} holds a pickled {kind!r}, expected tensors only")
        if any(view is not None for view in legacy_view):
            raise CheckpointError(
                f"{self._name} uses storage views of PyTorch < 0.4: save it with a newer PyTorch"
            )
        return self.storages.setdefault(str(key), StorageRef(str(key), dtype, int(count)))


def resolve_tensors(value: Any, load: Callable[[StorageRef], np.ndarray], *, name: str) -> Any:
    """Replace every `TensorRef` in nested containers by a read-only array over `load`'s bytes (uint8).

    Raises:
      CheckpointError: a tensor reaches outside its storage, or a storage has fewer bytes than it should.
    """
    if isinstance(value, TensorRef):
        return _array(value, load, name)
    if isinstance(value, StorageRef):
        return load(value).view(value.dtype)
    if isinstance(value, dict):
        return {key: resolve_tensors(item, load, name=name) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(resolve_tensors(item, load, name=name) for item in value)
    return value


def _array(ref: TensorRef, load: Callable[[StorageRef], np.ndarray], name: str) -> np.ndarray:
    data = load(ref.storage)
    if len(ref.shape) != len(ref.strides) or min((ref.offset, *ref.shape, *ref.strides)) < 0:
        raise CheckpointError(
            f"{name}: tensor in storage {ref.storage.key} has an impossible shape {ref.shape}"
        )
    # A view may repeat elements (expand), but not so often that a small file fills the memory.
    reach = ref.offset + sum((n - 1) * s for n, s in zip(ref.shape, ref.strides, strict=True)) + 1
    empty = 0 in ref.shape
    available = data.size // ref.dtype.itemsize
    if not empty and (reach > available or np.prod(ref.shape, dtype=float) > max(available, 2**24)):
        raise CheckpointError(
            f"{name}: tensor of shape {ref.shape} exceeds storage {ref.storage.key} of {available} elements"
        )
    numbers = data[: available * ref.dtype.itemsize].view(ref.dtype)
    strides = [s * ref.dtype.itemsize for s in ref.strides]
    start = numbers[:0] if empty else numbers[ref.offset :]
    return np.lib.stride_tricks.as_strided(start, ref.shape, strides, writeable=False)
