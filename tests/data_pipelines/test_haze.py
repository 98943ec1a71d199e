"""Haze on the device: the recipes' formulas, ranges, independence of the batch, mixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.haze import PRESETS, as_mixture, released_haze, synthesize, synthesize_with_parameters
from data_pipelines.haze.draws import LogUniform, OneOf, Uniform, uniforms
from data_pipelines.haze.frames import place
from data_pipelines.haze.noise import smooth_noise
from data_pipelines.haze.scattering import airlight_level

HEIGHT, WIDTH = 18, 24
# The options that shape the program; everything else is traced.
made = jax.jit(
    synthesize_with_parameters,
    static_argnames=("params", "pseudo_depth", "frame"),
)


@pytest.fixture
def clear(rng):
    coarse = rng.integers(0, 256, (6, HEIGHT // 6, WIDTH // 6, 3))
    return jnp.asarray(np.kron(coarse, np.ones((1, 6, 6, 1))) / 255, jnp.float32)


@pytest.fixture
def depth():
    """Distances of 1 m at the bottom up to 100 m at the top, and a nearer post."""
    metres = np.broadcast_to(np.geomspace(100, 1, HEIGHT)[:, None], (HEIGHT, WIDTH)).copy()
    metres[:, 10:12] = 5
    return jnp.asarray(np.broadcast_to(metres[None, :, :, None], (6, HEIGHT, WIDTH, 1)), jnp.float32)


def _law(clear, distance, drawn):
    """Koschmieder's law with the drawn numbers, by NumPy, as 8-bit values."""
    t = np.exp(-np.asarray(drawn.beta, np.float64)[:, None, None, None] * distance)
    a = np.asarray(drawn.airlight, np.float64)[:, None, None, :]
    return 255 * np.clip(np.asarray(clear) * t + a * (1 - t), 0, 1), t.mean(axis=(1, 2, 3))


def _inside(values, draw):
    low, high = (min(draw.values), max(draw.values)) if isinstance(draw, OneOf) else (draw.low, draw.high)
    return np.all((np.asarray(values) >= low - 1e-6) & (np.asarray(values) <= high + 1e-6))


def _blurred(x, size):
    """Box mean as OpenCV's: mirrored without the edge."""
    before, after = size // 2, (size - 1) // 2
    padded = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return windows.mean(axis=(-1, -2))


def _expected_distance(name, depth):
    metres = np.asarray(depth, np.float64)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH][:, None, :, :, None]
    near80 = np.minimum(metres, 80.0)
    return {
        "reside_ots": lambda: near80,
        "reside_its": lambda: near80 / near80.max(),
        "mioir": lambda: near80 / near80.max(),
        "foggy_cityscapes": lambda: metres,
        "onerestore": lambda: np.minimum(
            _blurred(1 - (1 / metres - 1 / 100) / (1 / 1 - 1 / 100), PRESETS["onerestore"].blur), 0.7
        ),
        "ems_radial": lambda: 17 - 0.04 * np.hypot(rows - 99.0, columns - 299.0),
        "uniform": lambda: np.ones((1, HEIGHT, WIDTH, 1)),
        "clear": lambda: np.ones((1, HEIGHT, WIDTH, 1)),
    }[name]()


@pytest.mark.parametrize(
    "name",
    ["clear", "reside_ots", "reside_its", "mioir", "foggy_cityscapes", "onerestore", "ems_radial", "uniform"],
)
def test_every_recipe_is_the_law_over_its_own_distance(name, clear, depth):
    hazy, drawn = made(jax.random.key(3), clear, name, depth=depth)
    distance = np.broadcast_to(_expected_distance(name, depth), (6, HEIGHT, WIDTH, 1))
    expected, mean = _law(clear, distance, drawn)
    values = np.asarray(hazy, np.float64) * 255
    np.testing.assert_allclose(values, expected, atol=0.51)
    np.testing.assert_allclose(values, np.rint(values), atol=1e-4)  # 8-bit values
    np.testing.assert_allclose(drawn.mean_transmission, mean, rtol=1e-4)
    assert _inside(drawn.beta, PRESETS[name].beta)
    if PRESETS[name].airlight is not None:
        assert _inside(drawn.airlight, PRESETS[name].airlight)


def test_clear_is_the_input_itself(clear):
    hazy, drawn = made(jax.random.key(0), clear, "clear")
    np.testing.assert_array_equal(np.rint(np.asarray(hazy) * 255), np.rint(np.asarray(clear) * 255))
    np.testing.assert_array_equal(drawn.mean_transmission, np.ones(6))


def test_released_haze_is_the_released_formula(clear):
    hazy, drawn = made(jax.random.key(1), clear, "iassf_released")
    values = released_haze(clear, drawn.beta, drawn.modulation, drawn.airlight[:, 0])
    np.testing.assert_allclose(np.asarray(hazy) * 255, np.asarray(values) * 255, atol=0.51)
    assert np.asarray(hazy).min() * 255 >= 126.9
    preset = PRESETS["iassf_released"]
    assert _inside(drawn.beta, preset.beta)
    assert _inside(drawn.modulation, preset.modulation)
    assert _inside(drawn.airlight, preset.airlight)
    assert np.ptp(np.asarray(drawn.airlight), axis=1).max() == 0  # grey


def test_foggy_cityscapes_takes_the_airlight_from_the_picture(clear, depth):
    colour = jnp.asarray([0.9, 0.8, 0.7])
    fog = jnp.tile(colour, (6, HEIGHT, WIDTH, 1)).at[:, :, -1].set(clear[:, :, -1] * 0.5)
    drawn = made(jax.random.key(0), fog, "foggy_cityscapes", depth=depth)[1]
    np.testing.assert_allclose(drawn.airlight, np.tile(colour, (6, 1)), rtol=1e-6)
    assert set(np.asarray(drawn.beta).tolist()) <= {np.float32(b) for b in (0.005, 0.01, 0.02)}


def test_physical_haze_of_a_photograph(clear, depth):
    hazy, drawn = made(jax.random.key(2), clear, "physical", depth=depth)
    dark = made(jax.random.key(2), clear * 0.1, "physical", depth=depth)[1]
    again = made(jax.random.key(2), clear, "physical", depth=depth)[0]
    np.testing.assert_array_equal(hazy, again)
    assert np.all(np.asarray(drawn.airlight).mean(1) > np.asarray(dark.airlight).mean(1))
    assert np.ptp(np.asarray(drawn.airlight), axis=1).max() > 0.002  # not grey
    # The drawn optical depth is that of the geometric mean distance.
    optical = np.asarray(drawn.beta) * np.exp(np.log(np.asarray(depth)).mean(axis=(1, 2, 3)))
    assert _inside(optical, PRESETS["physical"].beta)
    # What is far away takes on the airlight, what is near keeps its own colour.
    error = np.abs(np.asarray(hazy) - np.asarray(clear)).mean(axis=(0, 2, 3))
    assert error[:4].mean() > 2 * error[-4:].mean()


def test_airlight_follows_the_light():
    share = jnp.asarray([0.0, 1.0, 0.0, 1.0])
    pictures = jnp.stack([jnp.full((4, 4, 3), v) for v in (0.5, 0.5, 0.0, 0.0)])
    np.testing.assert_allclose(airlight_level(share, pictures), [0.62, 1.0, 0.2, 0.55], atol=1e-6)


def test_the_same_example_gets_the_same_haze_in_every_batch(clear):
    name = "iassf_released:1,physical:1,clear:1"
    key, ids = jax.random.key(5), jnp.asarray([11, 4, 900, 2**31 + 7, 5, 6], jnp.uint32)
    whole, drawn = made(key, clear, name, pseudo_depth="radial", examples=ids)
    order = np.array([3, 0, 5])
    part, part_drawn = made(key, clear[order], name, pseudo_depth="radial", examples=ids[order])
    np.testing.assert_array_equal(part, whole[order])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[order], rtol=1e-6), part_drawn, drawn)
    other, _ = made(key, clear, name, pseudo_depth="radial", examples=ids + jnp.uint32(1))
    assert not np.array_equal(other[3], whole[3])
    assert not np.array_equal(
        made(jax.random.key(6), clear, name, pseudo_depth="radial", examples=ids)[0], whole
    )


def test_sharding_over_devices_changes_nothing(clear):
    batch = jnp.concatenate([clear, clear[:2]])
    key, ids = jax.random.key(5), jnp.arange(100, 108)
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4], axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    sharded = made(key, jax.device_put(batch, rows), "uniform:1,clear:1", examples=jax.device_put(ids, rows))
    single = made(key, batch, "uniform:1,clear:1", examples=ids)
    np.testing.assert_array_equal(sharded[0], single[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), sharded[1], single[1])


def test_a_mixture_gives_each_recipe_its_share_and_its_own_haze():
    count = 1500
    clear = jnp.tile(jnp.linspace(0.0, 1.0, 48).reshape(1, 4, 4, 3), (count, 1, 1, 1))
    key = jax.random.key(9)
    hazy, drawn = made(key, clear, "iassf_released:0.5, uniform:0.3, clear:0.2")
    shares = np.bincount(np.asarray(drawn.preset), minlength=3) / count
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.05)  # four standard deviations
    for position, name in enumerate(("iassf_released", "uniform", "clear")):
        chosen = np.asarray(drawn.preset) == position
        alone, alone_drawn = made(key, clear, name)
        np.testing.assert_array_equal(np.asarray(hazy)[chosen], np.asarray(alone)[chosen])
        np.testing.assert_array_equal(np.asarray(drawn.beta)[chosen], np.asarray(alone_drawn.beta)[chosen])


def test_a_frame_shows_a_random_part_of_the_whole_haze():
    clear = jnp.full((64, 8, 8, 3), 0.1)
    frame = (24, 32)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(64))
    window = place(keys, (8, 8), size=frame)
    assert np.asarray(window.rows).min() == 0
    assert np.asarray(window.rows).max() == frame[0] - 1
    assert np.asarray(window.columns).max() == frame[1] - 1
    hazy, drawn = made(jax.random.key(0), clear, "iassf_released", frame=frame)
    rows, columns = (np.asarray(x) for x in (window.rows, window.columns))
    k, c, a = (np.asarray(x) for x in (drawn.beta, drawn.modulation, drawn.airlight[:, 0]))
    phase = 2 * np.pi * (rows[:, :, None] + columns[:, None, :]) / sum(frame)
    t = np.exp(-k[:, None, None] * (1 + c[:, None, None] * np.sin(phase)))
    values = 127.5 * (0.1 * t + a[:, None, None] * (1 - t)) + 127
    np.testing.assert_allclose(np.asarray(hazy)[..., 0] * 255, values, atol=0.51)


def test_jit_agrees_with_eager(clear):
    eager = synthesize(jax.random.key(0), clear, "uniform")
    compiled = made(jax.random.key(0), clear, "uniform")[0]
    assert np.mean(np.asarray(eager) == np.asarray(compiled)) > 0.99
    np.testing.assert_allclose(eager, compiled, atol=1.01 / 255)


def test_draws_are_quantile_functions():
    u = jnp.asarray([0.0, 0.5, 1.0 - 2.0**-24])
    np.testing.assert_allclose(Uniform(2.0, 6.0)(u), [2.0, 4.0, 6.0], rtol=1e-6)
    np.testing.assert_allclose(LogUniform(1.0, 100.0)(u), [1.0, 10.0, 100.0], rtol=1e-5)
    np.testing.assert_allclose(OneOf((1.0, 5.0, 9.0))(u), [1.0, 5.0, 9.0])


def test_one_more_draw_leaves_the_others_alone():
    keys = jax.random.split(jax.random.key(0), 3)
    few, more = uniforms(keys, ("beta",)), uniforms(keys, ("airlight", "beta"))
    np.testing.assert_array_equal(few["beta"], more["beta"])
    assert not np.array_equal(more["beta"], more["airlight"])


def test_smooth_noise_is_smooth_and_has_unit_deviation():
    keys = jax.random.split(jax.random.key(0), 200)
    places = jnp.tile(jnp.linspace(0.0, 1.0, 65)[None], (200, 1))
    field = np.asarray(jax.jit(smooth_noise)(keys, places, places))[..., 0]
    assert abs(field.mean()) < 0.05
    assert 0.85 < field[:, 8:-8, 8:-8].std() < 1.15
    assert np.abs(np.diff(field, axis=1)).max() < 0.6


@settings(max_examples=15, deadline=None)
@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=4))
def test_mixtures_are_read_back(weights):
    names = list(PRESETS)[: len(weights)]
    mixture = as_mixture(", ".join(f"{n}:{w!r}" for n, w in zip(names, weights, strict=True)))
    assert mixture.names == tuple(names)
    np.testing.assert_allclose(mixture.probabilities, np.array(weights) / sum(weights))
    assert as_mixture(mixture) is mixture
    assert as_mixture(PRESETS["mioir"]).presets == (PRESETS["mioir"],)


def test_a_recipe_can_be_left_out_of_a_mixture():
    mixture = as_mixture("clear:0.5,uniform:0.4,mioir:0.1").without("clear")
    assert mixture.names == ("uniform", "mioir")
    np.testing.assert_allclose(mixture.probabilities, (0.8, 0.2))
    assert as_mixture("clear").without("clear").names == ("clear",)


@pytest.mark.parametrize(
    "text, message",
    [
        ("phsyical", "no haze preset 'phsyical'; did you mean 'physical'"),
        ("", "expected a preset or"),
        ("mioir,mioir", "each name once"),
        ("mioir:-1", "weight of mioir is '-1'; expected a number above 0"),
        ("mioir:lots", "weight of mioir is 'lots'"),
    ],
)
def test_unreadable_recipes_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        as_mixture(text)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    "options, message",
    [
        ({"clear": jnp.zeros((2, 8, 8, 1))}, "clear has 1 channels"),
        ({"depth": jnp.zeros((2, 8, 9, 1))}, r"depth has shape \(2, 8, 9, 1\); expected \(2, 8, 8, 1\)"),
        ({"examples": jnp.arange(3)}, r"examples has shape \(3,\); expected \(2,\)"),
        ({"frame": (4, 100)}, "frame of 4x100 pixels is smaller than the images of 8x8"),
        ({"params": "mioir", "pseudo_depth": "flat"}, "pseudo_depth is 'flat'; expected one of 'mixed'"),
    ],
)
def test_arrays_and_options_that_do_not_fit_are_refused(options, message):
    arguments = {"clear": jnp.zeros((2, 8, 8, 3)), "params": "uniform", **options}
    with pytest.raises(ValueError, match=message):
        synthesize(jax.random.key(0), arguments.pop("clear"), arguments.pop("params"), **arguments)


def test_a_stronger_haze_has_the_power_of_the_transmission():
    rng = np.random.default_rng(0)
    clear = jnp.asarray(rng.random((2, 16, 16, 3)), jnp.float32)
    key, mixture = jax.random.key(3), as_mixture("uniform")
    drawn = [synthesize_with_parameters(key, clear, one)[1] for one in (mixture, mixture.stronger(2.0))]
    np.testing.assert_allclose(drawn[1].beta, 2 * drawn[0].beta, rtol=1e-6)
    np.testing.assert_allclose(drawn[1].mean_transmission, drawn[0].mean_transmission ** 2, rtol=1e-5)
    traced = jax.jit(lambda s: synthesize_with_parameters(key, clear, mixture.stronger(s))[0])
    np.testing.assert_allclose(
        traced(jnp.float32(2.0)),
        synthesize_with_parameters(key, clear, mixture.stronger(2.0))[0],
        atol=1 / 254,
    )
