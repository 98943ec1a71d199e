"""The pickled part of a PyTorch checkpoint, written without PyTorch."""

import io
import pickle
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from iassf_jax.checkpoints.torch_unpickle import STORAGE_DTYPES
from iassf_jax.core.errors import CheckpointError

# Reversed, so that uint8 gets its own class rather than that of untyped bytes.
_STORAGE_NAMES = {dtype: name for name, dtype in reversed(STORAGE_DTYPES.items())}


class TensorPickler:
    """Writes nested mappings, lists, numbers and arrays as `torch.load(weights_only=True)` wants them.

    The opcodes are written by hand: pickle itself would have to import PyTorch to name its functions.
    """

    def __init__(self):
        self.storages: list[np.ndarray] = []
        self._out = io.BytesIO()

    def dumps(self, value: Any) -> bytes:
        """Return the pickle of `value`; the arrays met are in `storages`, in order of their keys 0, 1, ...

        Raises:
          CheckpointError: `value` holds something that is neither container, number, text nor array.
        """
        self._out = io.BytesIO(pickle.PROTO + b"\x02")
        self._out.seek(2)
        self._write(value)
        self._out.write(pickle.STOP)
        return self._out.getvalue()

    def _write(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self._raw(pickle.EMPTY_DICT, pickle.MARK)
            for key, item in value.items():
                self._write(key)
                self._write(item)
            self._raw(pickle.SETITEMS)
        elif isinstance(value, (list, tuple)):
            is_list = isinstance(value, list)
            self._raw(*((pickle.EMPTY_LIST, pickle.MARK) if is_list else (pickle.MARK,)))
            for item in value:
                self._write(item)
            self._raw(pickle.APPENDS if is_list else pickle.TUPLE)
        elif isinstance(value, (str, bool, int, float, type(None))):
            self._scalar(value)
        elif hasattr(value, "dtype") and hasattr(value, "shape"):
            self._tensor(np.asarray(value, order="C"))
        else:
            raise CheckpointError(
                f"cannot write a {type(value).__name__}: expected arrays, numbers, text, containers"
            )

    def _scalar(self, value: str | bool | int | float | None) -> None:
        if value is None or isinstance(value, bool):
            self._raw({None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value])
        elif isinstance(value, str):
            text = value.encode()
            self._raw(pickle.BINUNICODE, struct.pack("<I", len(text)), text)
        elif isinstance(value, float):
            self._raw(pickle.BINFLOAT, struct.pack(">d", value))
        elif -(2**31) <= value < 2**31:
            self._raw(pickle.BININT, struct.pack("<i", value))
        else:
            digits = pickle.encode_long(value)
            self._raw(pickle.LONG1, bytes([len(digits)]), digits)

    def _tensor(self, array: np.ndarray) -> None:
        if array.dtype not in _STORAGE_NAMES:
            raise CheckpointError(f"cannot write an array of {array.dtype}: convert it to float32 first")
        self._raw(_global("torch._utils", "_rebuild_tensor_v2"), pickle.MARK)
        self._raw(pickle.MARK)
        self._write("storage")
        self._raw(_global("torch", _STORAGE_NAMES[array.dtype]))
        self._write(str(len(self.storages)))
        self._write("cpu")
        self._write(array.size)
        self._raw(pickle.TUPLE, pickle.BINPERSID)
        self._write(0)
        self._write(array.shape)
        self._write(tuple(s // array.itemsize for s in array.strides))
        self._write(False)
        no_hooks = (_global("collections", "OrderedDict"), pickle.EMPTY_TUPLE, pickle.REDUCE)
        self._raw(*no_hooks, pickle.TUPLE, pickle.REDUCE)
        self.storages.append(array)

    def _raw(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._out.write(piece)


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()
