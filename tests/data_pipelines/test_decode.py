import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from data_pipelines import decode
from data_pipelines.decode import ImageError, image_size, list_images, read_infrared, read_visible

LOSSLESS = {"png": {}, "tif": {}, "webp": {"lossless": True}, "bmp": {}}


@pytest.fixture
def rgb(rng) -> np.ndarray:
    return rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def deep(rng) -> np.ndarray:
    return rng.integers(0, 65536, (20, 30, 3), dtype=np.uint16)


def encode(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(kind, kind), **options)
    return buffer.getvalue()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG file with an 8-bit RGB header of the given size and the given compressed data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def reason(reader, path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        reader(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_stored_pixels(tmp_path, rgb, kind):
    path = tmp_path / f"image.{kind}"
    Image.fromarray(rgb).save(path, **LOSSLESS[kind])
    np.testing.assert_array_equal(read_visible(path), rgb)
    assert image_size(path) == (20, 30)


def test_content_decides_not_the_extension(tmp_path, rgb):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(Image.fromarray(rgb)))
    np.testing.assert_array_equal(read_visible(path), rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
def test_exif_rotation_is_applied_to_pixels_and_size(tmp_path, rgb, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image.{kind}"
    Image.fromarray(rgb).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    np.testing.assert_array_equal(read_visible(path), expected)
    assert image_size(path) == expected.shape[:2] == ((20, 30) if orientation < 5 else (30, 20))


def test_exif_rotation_of_16_bit_colour(tmp_path, deep):
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, rotated = tmp_path / "plain.png", tmp_path / "rotated.png"
    cv2.imwrite(str(plain), deep)
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    data = plain.read_bytes()
    rotated.write_bytes(data[:33] + chunk + data[33:])  # the header chunk ends at byte 33
    np.testing.assert_array_equal(read_visible(rotated), np.rot90(read_visible(plain), -1))


def test_visible_is_converted_to_rgb(tmp_path, rgb):
    image = Image.fromarray(rgb)
    grey, alpha, palette = image.convert("L"), image.copy(), image.quantize(16)
    alpha.putalpha(Image.fromarray(np.full((20, 30), 7, np.uint8)))
    cases = {
        "grey": (grey, np.repeat(np.asarray(grey)[:, :, None], 3, 2)),
        "alpha": (alpha, rgb),
        "palette": (palette, np.asarray(palette.convert("RGB"))),
        "bilevel": (image.convert("1"), np.asarray(image.convert("1").convert("RGB"))),
    }
    for name, (stored, expected) in cases.items():
        path = tmp_path / f"{name}.png"
        stored.save(path)
        np.testing.assert_array_equal(read_visible(path), expected, err_msg=name)


def test_transparent_palette_keeps_its_colours(tmp_path, rgb):
    palette = Image.fromarray(rgb).quantize(16)
    palette.save(tmp_path / "image.png", transparency=bytes(range(16)))
    np.testing.assert_array_equal(read_visible(tmp_path / "image.png"), np.asarray(palette.convert("RGB")))


def test_cmyk_keeps_its_colours(tmp_path):
    flat = Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK")
    flat.save(tmp_path / "image.jpg", quality=100)
    assert np.abs(read_visible(tmp_path / "image.jpg").astype(int) - [200, 100, 50]).max() <= 3


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bit_visible_is_scaled_by_its_full_range(tmp_path, deep, kind):
    cv2.imwrite(str(tmp_path / f"colour.{kind}"), deep)
    cv2.imwrite(str(tmp_path / f"grey.{kind}"), deep[:, :, 0])
    expected = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_visible(tmp_path / f"colour.{kind}"), expected[:, :, ::-1])
    np.testing.assert_array_equal(read_visible(tmp_path / f"grey.{kind}")[:, :, 1], expected[:, :, 0])


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bit_infrared_keeps_every_bit(tmp_path, deep, kind):
    grey = deep[:, :, 0]
    cv2.imwrite(str(tmp_path / f"one.{kind}"), grey)
    cv2.imwrite(str(tmp_path / f"three.{kind}"), np.dstack([grey] * 3))
    for name in ("one", "three"):
        infrared = read_infrared(tmp_path / f"{name}.{kind}")
        assert infrared.dtype == np.uint16
        np.testing.assert_array_equal(infrared, grey)


def test_float_infrared_keeps_its_values(tmp_path, rng):
    temperature = rng.normal(290, 20, (20, 30)).astype(np.float32)
    Image.fromarray(temperature).save(tmp_path / "t.tif")
    np.testing.assert_array_equal(read_infrared(tmp_path / "t.tif"), temperature)
    assert "32-bit" in reason(read_visible, tmp_path / "t.tif")


def test_colour_infrared_becomes_its_luma(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "image.png")
    expected = np.rint(rgb @ np.array([0.299, 0.587, 0.114]))
    infrared = read_infrared(tmp_path / "image.png")
    assert infrared.dtype == np.uint8
    assert np.abs(infrared - expected).max() <= 1


def test_one_pixel_can_be_read(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "dot.png")
    assert read_visible(tmp_path / "dot.png").tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("reader", [read_visible, read_infrared, image_size])
def test_reasons_for_files_that_are_no_images(tmp_path, reader):
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.touch()
    text.write_text("not an image")
    assert "0 bytes" in reason(reader, empty)
    assert "known format" in reason(reader, text)
    assert reason(reader, tmp_path / "absent.png") == "no such file"
    assert "folder" in reason(reader, tmp_path)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_cut_off_files_are_refused(tmp_path, rgb, kind, share):
    data = encode(Image.fromarray(rgb), kind)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[: int(share * len(data))])
    for reader in (read_visible, read_infrared):
        assert any(word in reason(reader, path) for word in ("cut off", "known format"))


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_cut_off_16_bit_colour_is_refused(tmp_path, deep, kind):
    path = tmp_path / f"cut.{kind}"
    cv2.imwrite(str(path), deep)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cut off" in reason(read_infrared, path)


def test_flipped_bit_in_a_png_is_noticed(tmp_path, rgb):
    data = bytearray(encode(Image.fromarray(rgb)))
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.png").write_bytes(data)
    assert "damaged" in reason(read_visible, tmp_path / "flipped.png")


@pytest.mark.parametrize("reader", [read_visible, read_infrared, image_size])
def test_sizes_that_the_file_cannot_hold_are_refused_before_decoding(tmp_path, reader):
    huge, large, hollow = (tmp_path / f"{name}.png" for name in ("huge", "large", "hollow"))
    huge.write_bytes(png(2_000_000, 2_000_000))
    large.write_bytes(png(9_900, 9_000))
    hollow.write_bytes(png(8_000, 8_000, zlib.compress(bytes(1000))))
    assert "megapixels" in reason(reader, huge)
    assert "9900x9000 exceeds the limit of 89 megapixels" in reason(reader, large)
    assert "has only" in reason(reader, hollow)


def test_flat_images_are_not_taken_for_bombs(tmp_path):
    for kind in ("png", "jpg", "tif", "webp", "bmp"):
        options = {"compression": "tiff_lzw"} if kind == "tif" else {}
        path = tmp_path / f"flat.{kind}"
        Image.new("RGB", (3000, 2000)).save(path, **options)
        assert read_visible(path).shape == (2000, 3000, 3), kind


@settings(max_examples=20, deadline=None)
@given(data=st.binary(max_size=200), start=st.sampled_from([b"", *decode._SIGNATURES]))
def test_random_bytes_raise_only_image_errors(tmp_path_factory, data, start):
    path = tmp_path_factory.mktemp("fuzz") / "x.png"
    path.write_bytes(start + data)
    for reader in (read_visible, read_infrared, image_size):
        reason(reader, path)


def test_list_images_sorts_and_leaves_out_what_is_no_image(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png", "c.TIFF"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.TIFF"]
    assert reason(list_images, tmp_path / "absent") == "no such folder"


def test_importing_the_decoder_starts_no_jax():
    code = "import sys, data_pipelines.decode; print('jax' in sys.modules or 'iassf_jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
