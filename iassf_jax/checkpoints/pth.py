"""PyTorch checkpoint files (.pth, .pt), read and written without PyTorch and without executing pickled code.

    state = read_pth("IASSF.pth")["dehaze_network_state_dict"]
    write_pth("copy.pth", {"dehaze_network_state_dict": state})

The file is a zip archive: `NAME/data.pkl` is the pickle of the saved object with every tensor given as a view
of a storage, `NAME/data/KEY` are the storages' bytes. Before PyTorch 1.6 it was a row of pickles followed by
the storages; such files are read too.
"""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iassf_jax.checkpoints.split_files import MappedFiles, is_part, order_parts
from iassf_jax.checkpoints.torch_pickle import TensorPickler
from iassf_jax.checkpoints.torch_unpickle import StorageRef, TensorUnpickler, resolve_tensors
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import CheckpointError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = pickle.PROTO + b"\x02" + pickle.LONG1 + b"\x0a" + pickle.encode_long(_LEGACY_MAGIC)
_ZIP_START = b"PK\x03\x04"
_ALIGNMENT = 64  # bytes, of every storage in the file, as PyTorch itself does it


def read_pth(path: str | Path | Sequence[str | Path]) -> dict[str, Any]:
    """Read a checkpoint; a sequence of paths is one file split into parts.

    Returns:
      The saved dictionary with tensors as read-only NumPy arrays. They are views of the mapped file: nothing
      is copied, and the file must not be changed while they are used.

    Raises:
      CheckpointError: missing, truncated or damaged file, no PyTorch checkpoint, or one whose pickle asks for
        anything but tensors in containers (such a file is refused without executing any of it).
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else order_parts([Path(p) for p in path])
    file = MappedFiles(paths)
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} ... {paths[-1].name}"
    start = file.view(0, min(len(_LEGACY_START), file.size)).tobytes()
    if start.startswith(_ZIP_START):
        state = _read_zip(file, name)
    elif start == _LEGACY_START:
        state = _read_legacy(file, name)
    elif file.size == 0:
        raise CheckpointError(f"{name} is empty (0 bytes)")
    else:
        raise CheckpointError(f"{name} is not a PyTorch checkpoint: it starts with {start[:8]!r}")
    if not isinstance(state, dict):
        raise CheckpointError(f"{name} holds a {type(state).__name__}, expected a dictionary of tensors")
    return state


def write_pth(path: str | Path, mapping: Mapping[str, Any]) -> None:
    """Write nested mappings of arrays as a checkpoint that `torch.load(weights_only=True)` reads.

    The file appears whole or not at all, and equal arrays give equal bytes.

    Raises:
      CheckpointError: something in `mapping` is no array, number, text or container; or the disk refuses.
    """
    path = Path(path)
    pickler = TensorPickler()
    pickled = pickler.dumps(mapping)
    with written_aside(path, error=CheckpointError) as aside, open(aside, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            entries: list[tuple[str, bytes | memoryview]] = [
                ("data.pkl", pickled),
                ("byteorder", b"little"),
                *((f"data/{key}", _bytes_of(array)) for key, array in enumerate(pickler.storages)),
                ("version", b"3\n"),
            ]
            for entry, content in entries:
                archive.writestr(_aligned_entry(f"{path.stem}/{entry}", file.tell()), content)


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _aligned_entry(name: str, position: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    # The content follows the name and the extra field: padding there ("FB" in PyTorch too) aligns it.
    header = position + 30 + len(name.encode()) + 4
    padding = -header % _ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    return info


def _read_zip(file: MappedFiles, name: str) -> Any:
    try:
        archive = zipfile.ZipFile(file)
    # Besides BadZipFile, a damaged directory shows as unknown versions, impossible texts and numbers.
    except Exception as error:
        missing = "the last part or parts are missing" if is_part(file.paths[-1]) else "it is truncated"
        raise CheckpointError(
            f"{name} has no readable zip directory at its end ({error}): {missing}"
        ) from error
    entries = {info.filename: info for info in archive.infolist()}
    pickles = [entry for entry in entries if entry.endswith("/data.pkl") and entry.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError(
            f"{name} is a zip file but no PyTorch checkpoint: it has {len(pickles)} data.pkl"
        )
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise CheckpointError(f"{name} is a TorchScript program, expected a saved state dict")

    def content(entry: str) -> np.ndarray:
        if entry not in entries:
            raise CheckpointError(f"{name} is damaged: it lacks {entry}")
        return _entry_bytes(file, archive, entries[entry], name)

    if f"{root}byteorder" in entries and content(f"{root}byteorder").tobytes() != b"little":
        raise CheckpointError(f"{name} was written on a big-endian machine, which is not supported")
    stream = io.BytesIO(content(pickles[0]).tobytes())
    return _guarded(name, lambda: _load_zip_object(stream, content, f"{root}data/", name))


def _load_zip_object(stream: io.BytesIO, content: Callable[[str], np.ndarray], folder: str, name: str) -> Any:
    unpickler = TensorUnpickler(stream, name=name)
    value = unpickler.load()
    # Several tensors may share a storage; each storage is checked once.
    storages = {ref: _checked(content(folder + key), ref, name) for key, ref in unpickler.storages.items()}
    return resolve_tensors(value, storages.__getitem__, name=name)


def _entry_bytes(file: MappedFiles, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    if info.compress_type != zipfile.ZIP_STORED:
        return _guarded(name, lambda: np.frombuffer(archive.read(info), np.uint8))
    header = file.view(info.header_offset, 30).tobytes()
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    data = file.view(info.header_offset + 30 + name_length + extra_length, info.file_size)
    if header[:4] != _ZIP_START or zlib.crc32(data.data) != info.CRC:
        raise CheckpointError(f"{name} is damaged: the checksum of {info.filename} is wrong")
    return data


def _checked(data: np.ndarray, ref: StorageRef, name: str) -> np.ndarray:
    if data.size < ref.size * ref.dtype.itemsize:
        raise CheckpointError(
            f"{name} is damaged: storage {ref.key} has {data.size} bytes, "
            f"expected {ref.size} x {ref.dtype.itemsize}"
        )
    return data


def _read_legacy(file: MappedFiles, name: str) -> Any:
    return _guarded(name, lambda: _load_legacy_object(file, name))


def _load_legacy_object(file: MappedFiles, name: str) -> Any:
    _magic, _protocol, system = (TensorUnpickler(file, name=name).load() for _ in range(3))
    if not system.get("little_endian", True):
        raise CheckpointError(f"{name} was written on a big-endian machine, which is not supported")
    unpickler = TensorUnpickler(file, name=name)
    value = unpickler.load()
    keys = TensorUnpickler(file, name=name).load()
    position, storages = file.tell(), {}
    for key in keys:
        ref = unpickler.storages[str(key)]
        (count,) = struct.unpack("<q", file.view(position, 8).tobytes())
        length = count * ref.dtype.itemsize
        storages[ref] = _checked(file.view(position + 8, length), ref, name)
        position += 8 + length
    return resolve_tensors(value, storages.__getitem__, name=name)


def _guarded(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except CheckpointError:
        raise
    # A damaged pickle can make the reader fail in any way at all.
    except Exception as error:
        raise CheckpointError(f"{name} is damaged: {type(error).__name__}: {error}") from error
