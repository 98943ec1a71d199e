"""`iassf fuse` as a person meets it, with a network that returns its input."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from data_pipelines.decode import read_visible
from iassf_jax import models
from iassf_jax.cli import fuse
from iassf_jax.cli.main import main
from iassf_jax.inference import fuser

HEIGHT, WIDTH = 48, 64


class Passthrough(nn.Module):
    @nn.compact
    def __call__(self, hazy, infrared, *, haze_density=None):
        density = hazy.mean(-1) if haze_density is None else haze_density
        return {"fused": hazy, "restored": jnp.broadcast_to(infrared, hazy.shape), "haze_density": density}


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setitem(models.MODELS, "passthrough", Passthrough)
    monkeypatch.setattr(fuser, "load_pretrained", lambda source: ({"name": "passthrough"}, {}))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    for name in ("vi", "ir"):
        (tmp_path / name).mkdir()
    return tmp_path / "vi", tmp_path / "ir"


def colour(rng) -> Image.Image:
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR))


def encode(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def run(*words: object) -> int:
    return main(["fuse", *(str(word) for word in words)])


def run_folders(folders: tuple[Path, Path], output: Path, *words: object) -> int:
    command = ("--visible", folders[0], "--infrared", folders[1], "--output", output, "--weights", "w")
    return run(*command, *words)


def hollow_png(rng) -> bytes:
    header = struct.pack(">IIBBBBB", int(rng.integers(5_000, 9_000)), 8_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    body = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def cut(data: bytes, rng) -> bytes:
    return data[: int(len(data) * rng.uniform(0.01, 0.95))]


UNUSABLE = {  # what is wrong with a visible file -> its bytes
    "cut_png": lambda rng: cut(encode(colour(rng)), rng),
    "cut_jpeg": lambda rng: cut(encode(colour(rng), "jpeg"), rng),
    "cut_tiff": lambda rng: cut(encode(colour(rng), "tiff"), rng),
    "text": lambda rng: b"this is no image " * int(rng.integers(1, 9)),
    "empty": lambda rng: b"",
    "dot": lambda rng: encode(Image.new("RGB", (1, 1))),
    "hollow": hollow_png,
    "noise": lambda rng: rng.bytes(int(rng.integers(1, 2000))),
}


def deep_png(rng) -> bytes:
    return cv2.imencode(".png", rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16))[1].tobytes()


def rotated_jpeg(rng) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(colour(rng).transpose(Image.Transpose.ROTATE_90), "jpeg", exif=exif)


def with_alpha(rng) -> Image.Image:
    image = colour(rng)
    image.putalpha(100)
    return image


CONVERTIBLE = {
    "cmyk": lambda rng: encode(colour(rng).convert("CMYK"), "jpeg"),
    "palette": lambda rng: encode(colour(rng).quantize(32)),
    "deep": deep_png,
    "alpha": lambda rng: encode(with_alpha(rng)),
    "rotated": rotated_jpeg,
    "misnamed": lambda rng: encode(colour(rng), "webp"),
}


def test_a_hundred_odd_files_among_twenty_good_pairs(tmp_path, folders, rng, capsys):
    visible, infrared = folders
    kinds = {**UNUSABLE, **CONVERTIBLE}
    good = [f"good{index:02}" for index in range(20)]
    odd = {f"{kind}{index:03}": kind for index, kind in zip(range(100), list(kinds) * 8, strict=False)}
    for name in [*good, *odd]:
        (infrared / f"{name}.png").write_bytes(encode(colour(rng).convert("L")))
        data = kinds[odd[name]](rng) if name in odd else encode(colour(rng))
        (visible / f"{name}.png").write_bytes(data)
    assert run_folders(folders, tmp_path / "out", "--batch", 4) == 1
    printed = capsys.readouterr()
    unusable = {name for name, kind in odd.items() if kind in UNUSABLE}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.png" for name in [*good, *odd] if name not in unusable}
    for name in written:
        assert read_visible(tmp_path / "out" / name).shape == (HEIGHT, WIDTH, 3)
    lines = {line.split()[0]: line for line in printed.out.splitlines() if line.startswith("  ")}
    assert lines.keys() == unusable
    for name, line in lines.items():
        assert str(visible / f"{name}.png") in line and len(line) < 300
    assert "Traceback" not in printed.out + printed.err
    assert f"{len(written)} of 120 fused" in printed.out


def test_good_pairs_in_folders_exit_with_zero(tmp_path, folders, rng, capsys):
    for name in ("a", "b"):
        image = colour(rng)
        image.save(folders[0] / f"{name}.PNG")
        image.convert("L").save(folders[1] / f"{name}.png")
    assert run_folders(folders, tmp_path / "out", "--save", "haze,restored") == 0
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")} == {
        f"{kind}/{name}.png" for kind in ("fused", "restored", "haze") for name in ("a", "b")
    }
    assert "2 of 2 fused" in capsys.readouterr().out
    assert run_folders(folders, tmp_path / "out", "--save", "haze") == 2
    assert "4 outputs exist already" in capsys.readouterr().err
    assert run_folders(folders, tmp_path / "out", "--save", "haze", "--overwrite") == 0


def test_files_without_partner_give_exit_code_one(tmp_path, folders, rng, capsys):
    for folder, name in ((folders[0], "a"), (folders[0], "alone[1]"), (folders[1], "a")):
        colour(rng).save(folder / f"{name}.png")
    assert run_folders(folders, tmp_path / "out") == 1
    assert "alone[1]  no infrared image of this name" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_one_pair_to_one_file(tmp_path, rng, capsys):
    visible, infrared, output = (tmp_path / name for name in ("v.png", "i.tif", "results/out.png"))
    colour(rng).save(visible)
    kelvin = rng.normal(290, 10, (HEIGHT, WIDTH)).astype(np.float32)
    Image.fromarray(kelvin).save(infrared)
    command = ("--visible", visible, "--infrared", infrared, "--weights", "w", "--output")
    assert run(*command, output, "--save", "restored", "--ir-range", "280,300") == 0
    np.testing.assert_array_equal(read_visible(output), read_visible(visible))
    expected = np.rint(np.clip((kelvin - 280) / 20, 0, 1) * 255)
    restored = read_visible(output.with_name("out_restored.png"))[:, :, 0]
    assert np.abs(restored - expected).max() <= 1
    assert run(*command, tmp_path / "folder") == 0
    assert (tmp_path / "folder" / "v.png").is_file()


def test_a_pair_of_different_sizes_names_both_and_the_way_out(tmp_path, rng, capsys):
    visible, infrared = tmp_path / "v.png", tmp_path / "i.png"
    colour(rng).save(visible)
    colour(rng).resize((32, 24)).save(infrared)
    command = ("--visible", visible, "--infrared", infrared, "--weights", "w", "--output", tmp_path / "o.png")
    assert run(*command) == 1
    printed = capsys.readouterr().out
    for part in (str(visible), "64x48", str(infrared), "32x24", "--resize-infrared"):
        assert part in printed
    assert not (tmp_path / "o.png").exists()
    assert run(*command, "--resize-infrared") == 0


def test_large_images_are_said_to_be_tiled(tmp_path, rng, capsys):
    colour(rng).resize((200, 100)).save(tmp_path / "v.png")
    colour(rng).resize((200, 100)).save(tmp_path / "i.png")
    command = ("--visible", tmp_path / "v.png", "--infrared", tmp_path / "i.png", "--weights", "w")
    assert run(*command, "--output", tmp_path / "o.png", "--tile", 64) == 0
    assert "larger than 64x64 pixels" in capsys.readouterr().out
    np.testing.assert_array_equal(read_visible(tmp_path / "o.png"), read_visible(tmp_path / "v.png"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--save", "restored,depth"], "unknown depth; there are restored, haze"),
        (["--ir-range", "9,1"], "infrared range 9,1"),
        (["--batch", "0"], "--batch 0: expected at least 1"),
        (["--max-shapes", "0"], "--max-shapes 0"),
        (["--tile", "8"], "tile 8: expected at least 64"),
        (["--output", "{root}/out.png"], "two folders of images need a folder"),
        (["--visible", "{root}/absent"], "absent: no such file or folder"),
        (["--visible", "{root}/vi/a.png"], "only one of"),
        (["--output", "{root}/vi", "--overwrite"], "is an input"),
        (
            ["--visible", "{root}/vi/a.png", "--infrared", "{root}/ir/a.png", "--output", "{root}/fused.bmp"],
            "fused.bmp: .bmp cannot be written; give a name with .jpeg, .jpg, .png, .tif, .tiff",
        ),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, folders, rng, capsys, words, message):
    for folder in folders:
        colour(rng).save(folder / "a.png")
    words = [word.replace("{root}", str(tmp_path)) for word in words]
    assert run_folders(folders, tmp_path / "out", *words) == 2
    printed = capsys.readouterr()
    assert message in printed.err and "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


def test_without_weights_the_message_says_where_to_get_some(tmp_path, folders, rng, capsys, monkeypatch):
    for folder in folders:
        colour(rng).save(folder / "a.png")
    command = ("--visible", folders[0], "--infrared", folders[1], "--output", tmp_path / "out")
    monkeypatch.setattr(fuse, "packaged_weights", dict)
    assert run(*command) == 2
    printed = capsys.readouterr().err
    for part in ("--weights", "iassf train", "iassf import-weights"):
        assert part in printed
    monkeypatch.setattr(fuse, "packaged_weights", lambda: {"iassf": tmp_path / "w"})
    assert run(*command) == 0
