"""PyTorch files: what is written is read, what is damaged or hostile is refused."""

import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.checkpoints.named_arrays import read_named_arrays, write_named_arrays
from iassf_jax.checkpoints.pth import read_pth, write_pth
from iassf_jax.core.errors import CheckpointError

DTYPES = [
    np.float32,
    np.float64,
    np.float16,
    ml_dtypes.bfloat16,
    np.int64,
    np.int32,
    np.int16,
    np.int8,
    np.uint8,
]
DTYPES += [np.bool_, np.complex64, np.complex128]


def tensor_ops(shape, strides, *, offset=0, size=6, storage="FloatStorage", key="0") -> bytes:
    """The pickle, in the readable opcodes of protocol 0, of one tensor."""

    def numbers(values) -> str:
        return "(" + "".join(f"I{v}\n" for v in values) + "t"

    text = f"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\n{storage}\n"
    text += f"V{key}\nVcpu\nI{size}\ntQI{offset}\n"
    return (text + numbers(shape) + numbers(strides) + "I00\nccollections\nOrderedDict\n(tRtR").encode()


def dict_ops(**values: bytes) -> bytes:
    items = b"".join(f"V{key}\n".encode() + ops + b"s" for key, ops in values.items())
    return b"(d" + items + b"."


def zip_file(path: Path, pickled: bytes, storages: dict[str, bytes], compression=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", pickled)
        for key, data in storages.items():
            archive.writestr(f"model/data/{key}", data)
    return path


SIX = np.arange(6, dtype=np.float32)


def test_round_trip_keeps_every_bit_of_every_dtype_and_container(tmp_path, rng):
    arrays = {np.dtype(d).name: (rng.standard_normal((2, 3, 1)) * 3).astype(d) for d in DTYPES}
    tree = {
        "arrays": arrays,
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": rng.standard_normal((3, 4)).astype(np.float32).T,
        "plain": [1, -(2**31), 2**31, -(2**40), 2**70, 0.1, True, False, None, "grün", (1, 2)],
        "state": {0: {"step": 3}},
    }
    write_pth(tmp_path / "a.pth", tree)
    found = read_pth(tmp_path / "a.pth")
    for name, array in arrays.items():
        assert found["arrays"][name].dtype == array.dtype
        assert found["arrays"][name].shape == array.shape
        assert found["arrays"][name].tobytes() == array.tobytes()
    assert found["scalar"].shape == () and found["scalar"] == 2.5
    assert found["empty"].shape == (0, 3)
    np.testing.assert_array_equal(found["transposed"], tree["transposed"])
    assert found["plain"] == tree["plain"] and found["state"] == tree["state"]


def test_storages_are_aligned_and_equal_arrays_give_equal_files(tmp_path, rng):
    tree = {f"w{i}": rng.standard_normal(i + 1).astype(np.float32) for i in range(9)}
    for folder in ("one", "two"):
        write_pth(tmp_path / folder / "a.pth", tree)
    data = (tmp_path / "one" / "a.pth").read_bytes()
    assert data == (tmp_path / "two" / "a.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "one" / "a.pth") as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            name_length, extra_length = struct.unpack("<HH", data[info.header_offset + 26 :][:4])
            assert (info.header_offset + 30 + name_length + extra_length) % 64 == 0


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_views_of_a_shared_storage(tmp_path, compression):
    pickled = dict_ops(
        whole=tensor_ops((2, 3), (3, 1)),
        transposed=tensor_ops((3, 2), (1, 3)),
        tail=tensor_ops((2,), (2,), offset=3),
        expanded=tensor_ops((4,), (0,), offset=5),
    )
    found = read_pth(zip_file(tmp_path / "a.pth", pickled, {"0": SIX.tobytes()}, compression))
    np.testing.assert_array_equal(found["whole"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(found["transposed"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(found["tail"], [3.0, 5.0])
    np.testing.assert_array_equal(found["expanded"], [5.0] * 4)
    assert not found["whole"].flags.writeable


@pytest.mark.parametrize(
    "ops",
    [
        tensor_ops((7,), (1,)),  # longer than the storage
        tensor_ops((2, 3), (3, 1), offset=1),
        tensor_ops((2,), (-1,), offset=3),
        tensor_ops((-2,), (1,)),
        tensor_ops((2, 3), (1,)),
        tensor_ops((2**40,), (0,)),  # a small file that would fill the memory
        tensor_ops((6,), (1,), size=60),  # the storage is shorter than it says
        tensor_ops((6,), (1,), storage="DoubleStorage"),
        tensor_ops((6,), (1,), key="5"),  # no such storage
    ],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, ops):
    path = zip_file(tmp_path / "a.pth", dict_ops(w=ops), {"0": SIX.tobytes()})
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        read_pth(path)


class Hostile:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def legacy_file(path: Path, pickled: bytes, keys: list[str], storages: bytes) -> Path:
    head = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path.write_bytes(b"".join([*head, pickled, pickle.dumps(keys, 2), storages]))
    return path


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("function", [os.system, eval, getattr, __import__])
def test_pickles_that_call_anything_else_are_refused_and_not_executed(tmp_path, form, function):
    marker = tmp_path / "executed"
    arguments = {
        os.system: (f"touch {marker}",),
        eval: (f"open({str(marker)!r}, 'w')",),
        getattr: (marker, "touch"),
        __import__: ("antigravity",),
    }
    pickled = pickle.dumps({"w": Hostile(function, *arguments[function])}, 2)
    path = tmp_path / "evil.pth"
    zip_file(path, pickled, {}) if form == "zip" else legacy_file(path, pickled, [], b"")
    with pytest.raises(CheckpointError, match=rf"evil\.pth was refused.*\.{function.__name__},"):
        read_pth(path)
    assert not marker.exists()


def test_pickles_cannot_alter_the_functions_that_they_may_call(tmp_path):
    # BUILD with a (dict, dict) state sets attributes, here a default of the function that rebuilds tensors.
    alter = b"ctorch._utils\n_rebuild_tensor_v2\n(N(dV__kwdefaults__\nNstb"
    path = zip_file(tmp_path / "a.pth", dict_ops(f=alter, w=tensor_ops((6,), (1,))), {"0": SIX.tobytes()})
    with pytest.raises(CheckpointError, match="attempt to alter"):
        read_pth(path)


def test_legacy_format(tmp_path):
    pickled = dict_ops(w=tensor_ops((2, 3), (3, 1)).replace(b"I6\nt", b"I6\nNt"), epoch=b"I3\n")
    path = legacy_file(tmp_path / "old.pth", pickled, ["0"], struct.pack("<q", 6) + SIX.tobytes())
    found = read_pth(path)
    np.testing.assert_array_equal(found["w"], SIX.reshape(2, 3))
    assert found["epoch"] == 3
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        read_pth(path)


@given(fraction=st.floats(0, 1, exclude_max=True))
@settings(max_examples=20, deadline=None)
def test_truncated_files_are_refused_wherever_they_end(tmp_path_factory, fraction):
    path = tmp_path_factory.mktemp("truncated") / "a.pth"
    write_pth(path, {"w": SIX, "v": {"u": SIX[:2]}})
    data = path.read_bytes()
    path.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        read_pth(path)


def test_damaged_numbers_are_noticed(tmp_path):
    path = tmp_path / "a.pth"
    write_pth(path, {"w": SIX})
    data = bytearray(path.read_bytes())
    data[data.index(SIX.tobytes()) + 5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="checksum of a/data/0 is wrong"):
        read_pth(path)


def test_files_that_are_no_checkpoints_say_what_they_are(tmp_path):
    (tmp_path / "text.pth").write_text("hello, world")
    (tmp_path / "empty.pth").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("readme.txt", "x")
    cases = {
        "text": "not a PyTorch checkpoint",
        "empty": "empty",
        "other": "0 data.pkl",
        "none": "cannot be read",
    }
    for name, message in cases.items():
        with pytest.raises(CheckpointError, match=message):
            read_pth(tmp_path / f"{name}.pth")
    write_pth(tmp_path / "list.pth", {"w": SIX})
    zip_file(tmp_path / "list.pth", b"(l.", {})
    with pytest.raises(CheckpointError, match="holds a list"):
        read_pth(tmp_path / "list.pth")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.pth"
    write_pth(path, {"w": SIX})
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="cannot write a object"):
        write_pth(path, {"w": SIX, "x": object()})
    with pytest.raises(CheckpointError, match="uint16"):
        write_pth(path, {"w": SIX.astype(np.uint16)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_pytorch_reads_what_is_written(tmp_path, released_groups):
    torch = pytest.importorskip("torch")
    write_pth(tmp_path / "a.pth", released_groups)
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    for group, arrays in released_groups.items():
        assert list(found[group]) == list(arrays)
        for name, array in arrays.items():
            assert found[group][name].numpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("new_format", [True, False])
def test_what_pytorch_writes_is_read(tmp_path, new_format):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 1))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    base = torch.arange(24.0).reshape(4, 6)
    saved = {
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "view": base[1:, ::2],
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "parameter": torch.nn.Parameter(base),
        "size": base.shape,
    }
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=new_format)
    found = read_pth(tmp_path / "a.pth")
    for name, tensor in saved["net"].items():
        np.testing.assert_array_equal(found["net"][name], tensor.numpy())
    moment = optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    np.testing.assert_array_equal(found["optimizer"]["state"][0]["exp_avg"], moment)
    for name in ("view", "half", "parameter"):
        np.testing.assert_array_equal(found[name], saved[name].detach().numpy())
    np.testing.assert_array_equal(found["bfloat16"].astype(np.float32), saved["bfloat16"].float().numpy())
    assert found["size"] == (4, 6)


def test_reference_checkpoint_equals_its_arrays(shared):
    found = read_pth(shared / "parity" / "small_ckpt_released_format.pth")
    with np.load(shared / "parity" / "state_smallA.npz") as expected:
        assert sum(map(len, found.values())) == len(expected.files)
        for key in expected.files:
            group, _, name = key.partition("/")
            np.testing.assert_array_equal(found[group][name], expected[key], strict=True)


def test_a_small_file_cannot_claim_a_large_memory(tmp_path):
    # LONG_BINPUT: an entry of the pickle's memo with a large number, for which C code would make room.
    pickled = b"\x80\x02}r" + struct.pack("<I", 2**22) + b"."
    path = zip_file(tmp_path / "a.pth", pickled, {})
    tracemalloc.start()
    assert read_pth(path) == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


@given(
    position=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), form=st.sampled_from(["pth", "npz"])
)
@settings(max_examples=20, deadline=None)
def test_damaged_bytes_are_noticed_or_harmless(tmp_path_factory, position, byte, form):
    path = tmp_path_factory.mktemp("damaged") / f"a.{form}"
    write_named_arrays(path, {"g": {"w": SIX}})
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] = byte
    path.write_bytes(bytes(data))
    try:
        found = read_named_arrays(path)
    except CheckpointError as error:
        assert path.name in str(error)
    else:
        # Names have no checksum of their own and may have changed; numbers never.
        assert all(array.tobytes() == SIX.tobytes() for array in jax.tree.leaves(found))
