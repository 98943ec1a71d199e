import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from iassf_jax.core.errors import CheckpointError, InputError
from iassf_jax.inference import Fuser
from iassf_jax.inference.inputs import prepare_pair


def pair(rng, height: int, width: int, dtype=np.uint8) -> tuple[np.ndarray, np.ndarray]:
    visible = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return visible, rng.integers(0, np.iinfo(dtype).max, (height, width), dtype=dtype)


@pytest.mark.parametrize("size", [(351, 161), (17, 31), (16, 16), (64, 48)])
def test_outputs_have_the_size_and_range_of_the_pair(rng, known_fuser, size):
    visible, infrared = pair(rng, *size)
    result = known_fuser()(visible, infrared)
    np.testing.assert_array_equal(result.fused, visible)
    np.testing.assert_array_equal(result.restored, np.repeat(infrared[:, :, None], 3, 2))
    np.testing.assert_allclose(result.haze_density, np.minimum(visible.mean(-1) / 255 * 1.5, 1), atol=1e-6)
    assert result.haze_density.dtype == np.float32
    assert result.tiles == 1


def test_forms_of_one_image_give_one_result(rng, known_fuser):
    fuser = known_fuser()
    grey, infrared = rng.integers(0, 256, (2, 20, 24), dtype=np.uint8)
    expected = fuser(np.dstack([grey] * 3), infrared)
    for visible, thermal in [
        (grey, infrared),
        (jnp.asarray(grey), jnp.asarray(infrared)),
        (grey, np.dstack([infrared] * 3)),
        (grey, infrared[:, :, None]),
    ]:
        result = fuser(visible, thermal)
        np.testing.assert_array_equal(result.fused, expected.fused)
        np.testing.assert_array_equal(result.restored, expected.restored)


def test_infrared_range_reaches_the_network(rng, known_fuser):
    visible, infrared = pair(rng, 20, 24, np.uint16)
    full = known_fuser(ir_range="full")(visible, infrared).restored[:, :, 0]
    np.testing.assert_array_equal(full, np.rint(infrared / 65535 * 255))
    given = known_fuser(ir_range=(1000, 2000))(visible, infrared).restored[:, :, 0]
    np.testing.assert_array_equal(given, np.rint(np.clip((infrared - 1000.0) / 1000, 0, 1) * 255))
    kelvin = np.linspace(280, 310, 20 * 24, dtype=np.float32).reshape(20, 24)
    auto = known_fuser()(visible, kelvin).restored
    assert auto.min() == 0 and auto.max() == 255


@pytest.mark.parametrize(
    ("visible", "infrared", "message"),
    [
        (np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31), np.uint8), "visible 30x20, infrared 31x20"),
        (np.zeros((15, 30, 3), np.uint8), np.zeros((15, 30), np.uint8), "30x15: both sides must be 16"),
        (np.zeros((20, 30, 4), np.uint8), np.zeros((20, 30), np.uint8), r"uint8 \[20, 30, 4\]"),
        (np.zeros((20, 30, 3), np.float32), np.zeros((20, 30), np.uint8), "float32"),
        (np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.int64), "int64"),
        (np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30, 2), np.uint8), r"\[20, 30, 2\]"),
        (np.zeros((20, 30, 3), np.uint8), np.full((20, 30), np.inf, np.float32), "not finite"),
    ],
)
def test_what_a_pair_cannot_be(known_fuser, visible, infrared, message):
    with pytest.raises(InputError, match=message):
        known_fuser()(visible, infrared)


def test_a_result_that_is_not_finite_is_an_error(rng, known_fuser):
    with pytest.raises(CheckpointError, match="not finite"):
        known_fuser("broken")(*pair(rng, 20, 24))
    with pytest.raises(CheckpointError, match="not finite"):
        known_fuser("broken", tile=64)(*pair(rng, 80, 100))


def test_one_compilation_a_size(rng, known_fuser, traced):
    fuser = known_fuser()
    for size in [(20, 24), (32, 24), (20, 24)]:
        fuser(*pair(rng, *size))
    assert traced == [(1, 20, 24, 3), (1, 32, 24, 3)]


def test_a_batch_equals_single_pairs(rng, known_fuser, traced):
    fuser = known_fuser("mean")
    pairs = [pair(rng, 20, 24) for _ in range(3)]
    results = fuser.fuse_batch([visible for visible, _ in pairs], [infrared for _, infrared in pairs])
    assert traced == [(3, 20, 24, 3)]
    for (visible, infrared), result in zip(pairs, results, strict=True):
        np.testing.assert_array_equal(result.fused, np.rint(visible.mean()))
        np.testing.assert_array_equal(result.restored[:, :, 0], infrared)


def test_batches_of_unequal_pairs_are_refused(rng, known_fuser):
    a, b = pair(rng, 20, 24), pair(rng, 24, 20)
    with pytest.raises(InputError, match="24x20, 20x24"):
        known_fuser().fuse_batch([a[0], b[0]], [a[1], b[1]])
    with pytest.raises(InputError, match="1 visible and 0 infrared"):
        known_fuser().fuse_batch([a[0]], [])


def test_padding_to_a_shape_is_cropped_exactly(rng, known_fuser, traced):
    pairs = [prepare_pair(*pair(rng, *size)) for size in [(17, 31), (20, 24), (32, 32)]]
    results = known_fuser().fuse_prepared(pairs, shape=(32, 32), batch=4)
    assert traced == [(4, 32, 32, 3)]
    for (visible, _), result in zip(pairs, results, strict=True):
        np.testing.assert_array_equal(result.fused, visible)
        assert result.haze_density.shape == visible.shape[:2]


@pytest.mark.parametrize("kind", ["identity", "constant"])
@pytest.mark.parametrize("size", [(150, 200), (65, 300), (300, 40)])
def test_tiles_do_not_show(rng, known_fuser, kind, size):
    visible, infrared = pair(rng, *size)
    tiled, whole = (
        known_fuser(kind, tile=64, batch=2)(visible, infrared),
        known_fuser(kind)(visible, infrared),
    )
    assert tiled.tiles > 1
    np.testing.assert_array_equal(tiled.fused, whole.fused)
    np.testing.assert_array_equal(tiled.restored, whole.restored)
    assert tiled.haze_density.shape == size and tiled.haze_density.max() <= 1


def test_tiles_share_the_haze_density_of_the_whole_image(known_fuser):
    ramp = np.tile(np.linspace(0, 160, 256).astype(np.uint8), (128, 1))
    result = known_fuser(tile=64)(ramp, ramp)
    np.testing.assert_allclose(result.haze_density, ramp / 255 * 1.5, atol=0.03)


def test_networks_without_density_are_tiled_without(rng, known_fuser):
    visible, infrared = pair(rng, 80, 100)
    result = known_fuser(uses_haze_density=False, tile=64)(visible, infrared)
    np.testing.assert_array_equal(result.fused, visible)


def test_tiles_compile_once_for_images_of_different_sizes(rng, known_fuser, traced):
    fuser = known_fuser(tile=64)
    for size in [(150, 200), (90, 210), (128, 128)]:
        fuser(*pair(rng, *size))
    assert sum(shape == (1, 64, 64, 3) for shape in traced) == 2  # the tiles, and the 64x64 copy of 128x128


@pytest.mark.parametrize(("option", "message"), [({"tile": 32}, "tile 32"), ({"batch": 0}, "batch 0")])
def test_options_are_checked(known_fuser, option, message):
    with pytest.raises(InputError, match=message):
        known_fuser(**option)


@pytest.mark.parametrize(("devices", "kernels"), [(1, True), (2, False)])
def test_kernels_are_for_one_device(rng, devices, kernels):
    class Kernels(nn.Module):
        pallas: bool = True

        def __call__(self, hazy, infrared, *, haze_density=None):
            image = jnp.full_like(hazy, float(self.pallas))
            return {"fused": image, "restored": image, "haze_density": image[..., 0]}

    fuse = Fuser(Kernels(), {}, batch=devices, devices=jax.devices()[:devices])
    results = fuse.fuse_batch(*zip(*[pair(rng, 16, 16)] * devices, strict=True))
    assert all((result.fused == 255 * kernels).all() for result in results)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="absent"):
        Fuser.from_pretrained(tmp_path / "absent")
