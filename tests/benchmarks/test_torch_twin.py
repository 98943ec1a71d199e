"""The PyTorch rival computes the released network: against recorded arrays and against the JAX network."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.weights import released_arrays
from iassf_jax import models
from iassf_jax.checkpoints.released_fields import released_fields
from iassf_jax.checkpoints.released_names import to_flax
from iassf_jax.models.iassf_released import released_density

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'torch')")

from benchmarks.torch_density import device_density, host_density  # noqa: E402
from benchmarks.torch_training import losses, train_step  # noqa: E402
from benchmarks.torch_twin import TorchTwin, load_released  # noqa: E402

# Small networks: with more threads the barriers cost more than the arithmetic, above all on a busy machine.
torch.set_num_threads(1)

PREFIX = "{}_network_state_dict/"
TINY = {
    "embed_dims": (8, 12, 16, 12, 8),
    "depths": (1, 2, 2, 1, 1),
    "num_heads": (1, 3, 2, 1, 1),
    "attn_ratios": (0.0, 0.5, 0.5, 0.0, 0.0),
    "mlp_ratios": (2.0, 4.0, 4.0, 2.0, 2.0),
    "prompt_heads": 2,
    "prompt_size": 16,
    "fusion_width": 4,
    "fusion_prompt_size": 16,
    "num_prompts": 5,
    "num_fusion_blocks": 5,
    "window": 8,
}


def twin_from(arrays, density="host") -> "TorchTwin":
    states = {
        part: {k.split("/", 1)[1]: v for k, v in arrays.items() if k.startswith(PREFIX.format(part))}
        for part in ("dehaze", "fusion")
    }
    return load_released(TorchTwin(density=density, **released_fields(states)), arrays)


@functools.cache
def recorded_twin(state) -> "TorchTwin":
    return twin_from(dict(np.load(state)))


def tensor(x) -> "torch.Tensor":
    return torch.from_numpy(np.array(x, np.float32))


def error(got, expected) -> float:
    got = got.detach().numpy() if isinstance(got, torch.Tensor) else np.asarray(got)
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "case", ["smallA_64x64", "smallA_72x88", "smallA_68x76", "smallA_batch2_64x64", "full_64x64"]
)
def test_outputs_as_recorded(shared, case):
    arrays = np.load(shared / "parity" / f"fwd_{case}.npz")
    twin = recorded_twin(shared / "parity" / f"state_{case.split('_')[0]}.npz")
    with torch.no_grad():
        outputs = twin(tensor(arrays["in/hazy"]), tensor(arrays["in/ir"]), tensor(arrays["d/density"]))
    for name, recorded in (("restored", "d/out"), ("infrared3", "d/ir3"), ("fused", "f/out")):
        assert error(outputs[name], arrays[recorded]) <= 2e-5, name


@pytest.mark.parametrize("case", ["feat24_64x64", "feat8_72x88", "rgb_96x130", "rgb_40x48"])
def test_densities_as_recorded(shared, case):
    arrays = np.load(shared / "parity" / "haze_density.npz")
    feature, expected = tensor(arrays[f"{case}/feature"])[None], arrays[f"{case}/density"]
    for density in (host_density, device_density):
        difference = np.abs(density(feature)[0, 0].numpy() - expected)
        # One grey level, which rounding of the mean can change, moves the density by up to 0.0045.
        assert difference.max() <= 5e-3 and np.percentile(difference, 99) <= 1e-5, density.__name__


def test_losses_gradients_and_updates_as_recorded(shared):
    arrays = np.load(shared / "parity" / "train_smallA_batch2_64x64.npz")
    record = json.loads((shared / "parity" / "train.json").read_text())["smallA"]
    twin = twin_from(dict(np.load(shared / "parity" / "state_smallA.npz")))
    hazy, infrared, clear = (tensor(arrays[f"in/{k}"]) for k in ("hazy", "ir", "gt"))
    outputs = twin(hazy, infrared, tensor(arrays["d/density"]))
    total = losses(outputs, clear, infrared)["total"]
    assert total.item() == pytest.approx(record["loss_total"], rel=1e-5)
    total.backward()
    parameters = dict(twin.named_parameters())
    assert {n for n, p in parameters.items() if p.grad is None} == set(record["grad_none"])
    for name, norm in record["grad_norm"].items():
        if norm > 1e-6:  # the rest has no effect; what was recorded there is rounding
            assert parameters[name].grad.norm().item() == pytest.approx(norm, rel=3e-4), name
    step = train_step(twin)
    key = next(k for k in record if k.startswith("losses_before_step"))
    for expected in record[key]:
        assert step(hazy, infrared, clear).item() == pytest.approx(expected[-1], rel=1e-3)


@pytest.fixture(scope="module")
def generated():
    """The same generated parameters and images on both sides."""
    arrays = released_arrays(TINY, seed=1)
    rng = np.random.default_rng(2)
    images = rng.random((2, 2, 44, 52, 3), np.float32)
    images[1] = images[1, ..., :1]
    return arrays, images


def jax_params(arrays):
    params: dict = {}
    for key, array in arrays.items():
        network, _, name = key.partition("_network_state_dict/")
        if (translated := to_flax(name, array)) is not None:
            path, value = translated
            scope = params.setdefault(network, {})
            for part in path[:-1]:
                scope = scope.setdefault(part, {})
            scope[path[-1]] = jnp.asarray(value)
    return params


def test_same_numbers_as_the_jax_network(generated):
    arrays, (hazy, infrared) = generated
    model = models.create("iassf_released", **TINY)
    ours = jax.jit(model.apply)({"params": jax_params(arrays)}, jnp.asarray(hazy), jnp.asarray(infrared))
    signed = [tensor(2 * x.transpose(0, 3, 1, 2) - 1) for x in (hazy, infrared)]
    density = tensor(np.asarray(ours["haze_density"])[:, None])
    with torch.no_grad():
        theirs = twin_from(arrays)(*signed, density)
    for name in ("fused", "restored"):
        expected = (theirs[name].numpy().transpose(0, 2, 3, 1) + 1) / 2
        assert error(ours[name], expected) <= 2e-5, name


def test_three_densities_agree():
    rows = np.linspace(0, 6, 80)[:, None] + np.sin(np.arange(96) / 9)[None, :]
    feature = np.stack([rows, rows**2 / 4, np.cos(rows)]).astype(np.float32)[None]
    ours = np.asarray(released_density(jnp.asarray(feature.transpose(0, 2, 3, 1))))
    for density in (host_density, device_density):
        difference = np.abs(density(tensor(feature))[:, 0].numpy() - ours)
        assert difference.max() <= 5e-3 and np.percentile(difference, 99) <= 1e-5, density.__name__


def test_a_state_with_a_name_too_many_or_too_few_is_refused(generated):
    arrays, _ = generated
    some = next(iter(arrays))
    for changed in ({k: v for k, v in arrays.items() if k != some}, arrays | {some + "x": arrays[some]}):
        with pytest.raises(RuntimeError):
            load_released(twin_from(arrays), changed)
