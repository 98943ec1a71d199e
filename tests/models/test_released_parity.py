"""The released network against recorded arrays of the PyTorch code (skips where they are not at hand)."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iassf_jax import models
from iassf_jax.checkpoints import import_torch
from iassf_jax.checkpoints.released_names import to_released
from iassf_jax.checkpoints.torch_import import import_with_report
from iassf_jax.losses import iassf_loss
from iassf_jax.training.joining import on_joined
from tests.compiling import AS_USERS_DO

SLOW = pytest.mark.slow


@functools.cache
def network(state: Path):
    report = import_with_report(state)
    model = models.create("iassf_released", **report.fields)
    params = jax.tree.map(jnp.asarray, report.variables["params"])
    forward = jax.jit(
        lambda h, i, d: model.apply({"params": params}, h, i, haze_density=d), compiler_options=AS_USERS_DO
    )
    return model, params, forward


def unit_nhwc(signed_nchw: np.ndarray) -> jax.Array:
    return jnp.asarray((signed_nchw.transpose(0, 2, 3, 1) + 1.0) / 2.0)


def inputs(arrays) -> tuple[jax.Array, jax.Array]:
    if "in/hazy" in arrays:
        return unit_nhwc(arrays["in/hazy"]), unit_nhwc(arrays["in/ir"])
    return tuple(jnp.asarray(arrays[f"in/{k}_u8"], jnp.float32) / 255.0 for k in ("hazy", "ir"))


def density(arrays) -> np.ndarray:
    values = np.asarray(arrays["d/density"])
    return values[:, 0] if values.ndim == 4 else values.reshape(-1, *values.shape[-2:])


def sample(x: np.ndarray, stride: int) -> np.ndarray:
    rows, columns = (sorted({*range(0, n, stride), n - 1}) for n in x.shape[2:])
    return x[:, :, rows][:, :, :, columns]


def ours(outputs, name: str) -> np.ndarray:
    base, _, stride = name.partition("@s")
    value = np.asarray(outputs[base.replace("d/", "dehaze/", 1).replace("f/", "fusion/", 1)])
    value = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
    return sample(value, int(stride)) if stride else value


@pytest.mark.parametrize(
    "case",
    [
        "smallA_64x64",
        "smallA_72x88",
        "full_64x64",
        pytest.param("smallA_batch2_64x64", marks=SLOW),
        pytest.param("smallA_68x76", marks=SLOW),
        pytest.param("full_72x88", marks=SLOW),
        pytest.param("full_256x256", marks=SLOW),
    ],
)
def test_every_recorded_array_with_the_density_injected(shared, case):
    arrays = np.load(shared / "parity" / f"fwd_{case}.npz")
    forward = network(shared / "parity" / f"state_{case.split('_')[0]}.npz")[2]
    outputs = forward(*inputs(arrays), jnp.asarray(density(arrays)))
    names = [name for name in arrays.files if name[:2] in ("d/", "f/") and not name.startswith("d/density")]
    assert len(names) >= 5
    for name in names:
        expected = arrays[name]
        error = np.abs(ours(outputs, name).reshape(expected.shape) - expected).max()
        tolerance = 2e-5 if name.split("@")[0] in ("d/out", "f/out", "d/ir3") else 5e-5
        assert error <= tolerance * np.abs(expected).max(), name


@pytest.mark.parametrize("case", ["smallA_64x64", "full_64x64"])
def test_end_to_end_up_to_single_grey_levels_of_the_density(shared, case):
    arrays = np.load(shared / "parity" / f"fwd_{case}.npz")
    outputs = network(shared / "parity" / f"state_{case.split('_')[0]}.npz")[2](*inputs(arrays), None)
    for name in ("d/out", "f/out"):
        expected = arrays[name]
        error = np.abs(ours(outputs, name) - expected) / np.abs(expected).max()
        assert error.max() < 5e-3 and np.percentile(error, 99) < 1e-4


@SLOW
def test_statistics_of_a_whole_image(shared):
    stats = np.load(shared / "parity" / "fwd_full_480x640_stats.npz")
    from data_pipelines.decode import read_infrared, read_visible

    scenes = shared / "data" / "msrs_hazy" / "train"
    hazy, infrared = read_visible(scenes / "hazy" / "00131D.jpg"), read_infrared(scenes / "IR" / "00131D.jpg")
    images = (jnp.asarray(x, jnp.float32)[None] / 255.0 for x in (hazy, infrared[..., None]))
    outputs = network(shared / "parity" / "state_full.npz")[2](*images, None)
    for name in ("d/out", "f/out"):
        expected = stats[f"grid/{name}"]
        got = ours(outputs, name)[:, :, 15::30, 20::40].reshape(expected.shape)
        error = np.abs(got - expected) / np.abs(expected).max()
        # The recorded run read the lossless original of these JPEG files.
        assert error.max() < 5e-2 and error.mean() < 5e-3


@functools.cache
def training(shared: Path):
    """Losses, gradients and three AdamW steps as the released code makes them, density as recorded."""
    arrays = np.load(shared / "parity" / "train_smallA_batch2_64x64.npz")
    model, params, _ = network(shared / "parity" / "state_smallA.npz")
    hazy, infrared, clear = (unit_nhwc(arrays[f"in/{k}"]) for k in ("hazy", "ir", "gt"))
    batch = {"visible_clear": clear, "infrared": infrared[..., :1]}

    def objective(params, haze):
        outputs = model.apply({"params": params}, hazy, infrared, haze_density=haze)
        losses = iassf_loss(outputs, batch, alpha=2.0, signed=True)
        return losses["total"], losses

    optimizer = on_joined(optax.adamw(2e-4, weight_decay=0.01))

    @jax.jit  # compiled like the other tests: with all optimisation it takes three times as long
    def step(params, opt_state, haze):
        (_, losses), grads = jax.value_and_grad(objective, has_aux=True)(params, haze)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, losses, grads

    history = []
    with jax.numpy_dtype_promotion("standard"):
        opt_state = optimizer.init(params)
        for number in range(4):
            haze = arrays[f"d/density_step{number}"].reshape(2, 64, 64)
            params, opt_state, losses, grads = step(params, opt_state, jnp.asarray(haze))
            history.append((params, losses, grads))
    return arrays, history


def test_three_steps_of_training(shared):
    """One test for all that they show, so that only one process of a parallel run compiles them."""
    check_losses(shared)
    check_gradients_of_the_first_step(shared)
    check_parameters_after_the_first_step(shared)


def check_losses(shared):
    _, history = training(shared)
    record = json.loads((shared / "parity" / "train.json").read_text())["smallA"]
    key = next(k for k in record if k.startswith("losses_before_step"))
    for number, (expected, (_, losses, _)) in enumerate(zip(record[key], history, strict=True)):
        got = [losses["intensity"], losses["gradient"], 2.0 * losses["restoration"], losses["total"]]
        np.testing.assert_allclose(got, expected, rtol=1e-5 if number == 0 else 2e-4)


def check_gradients_of_the_first_step(shared):
    arrays, history = training(shared)
    named = released_names(history[0][2])
    norms = json.loads((shared / "parity" / "train.json").read_text())["smallA"]["grad_norm"]
    for name, norm in norms.items():
        if norm > 1e-6:  # the rest has no effect; what PyTorch computed there is rounding
            assert np.linalg.norm(named[name]) == pytest.approx(norm, rel=3e-4), name
    compared = [name for name in arrays.files if name.startswith("grad/")]
    assert len(compared) >= 20
    for name in compared:
        expected, got = arrays[name], named[name.removeprefix("grad/")]
        assert np.linalg.norm(got - expected) <= 2e-4 * np.linalg.norm(expected), name


def check_parameters_after_the_first_step(shared):
    arrays, history = training(shared)
    named = released_names(history[0][0])
    prefix = "paramnorm_after_step1/"
    names = [n.removeprefix(prefix) for n in arrays.files if n.startswith(prefix)]
    for name in (n for n in names if n in named):
        assert np.linalg.norm(named[name]) == pytest.approx(float(arrays[prefix + name]), rel=1e-5), name


def released_names(tree) -> dict[str, np.ndarray]:
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {}
    for path, leaf in flat:
        part, *rest = (k.key for k in path)
        name, array = to_released(tuple(rest), np.asarray(leaf))
        named[f"{part}.{name}"] = array
    return named


def test_released_checkpoint_file_gives_the_same_parameters(shared):
    ours_, theirs = (
        import_torch(shared / "parity" / name)["params"]
        for name in ("state_smallA.npz", "small_ckpt_released_format.pth")
    )
    jax.tree.map(np.testing.assert_array_equal, ours_, theirs)
