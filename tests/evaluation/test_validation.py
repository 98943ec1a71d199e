"""Validation against the metrics computed by hand, for a network whose outputs are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.validation import Validator
from iassf_jax.losses import iassf_loss

LOSSES = ("total", "intensity", "gradient", "restoration")
METRICS = (
    *("restored_psnr", "restored_ssim", "input_psnr", "input_ssim"),
    *(f"loss/{name}" for name in LOSSES),
)


class Objective:
    loss_names = LOSSES

    def __init__(self, model):
        self.model = model

    def apply(self, params, images):
        return self.model.apply({"params": params}, images["visible_hazy"], images["infrared"])

    def loss(self, outputs, images, alpha):
        return iassf_loss(outputs, images, alpha=alpha)


class Brighten(nn.Module):
    """Restores by a factor: values above 1 have to be clipped before they are compared."""

    @nn.compact
    def __call__(self, hazy, infrared):
        factor = self.param("factor", nn.initializers.constant(1.5), ())
        return {
            "restored": factor * hazy,
            "fused": jnp.broadcast_to(infrared, hazy.shape),
            "haze_density": hazy.mean(axis=-1),
        }


def example(rng, name, height, width):
    images = {"visible_hazy": 3, "visible_clear": 3, "infrared": 1}
    drawn = {k: rng.integers(0, 256, (height, width, c), dtype=np.uint8) for k, c in images.items()}
    return drawn | {"name": name}


@pytest.fixture
def examples(rng):
    return [example(rng, "a", 16, 20), example(rng, "b", 24, 16), example(rng, "c", 16, 20)]


@pytest.fixture
def params(examples):
    return {"factor": jnp.asarray(1.5, jnp.float32)}


@pytest.fixture(scope="module")
def validator():
    return Validator(Objective(Brighten()))


def psnr(a, b):
    return -10.0 * np.log10(np.mean((a - b) ** 2))


def test_means_are_per_image_whatever_its_size(validator, params, examples):
    metrics = validator(params, examples, alpha=2.0).metrics
    floats = [{k: v / 255.0 for k, v in e.items() if k != "name"} for e in examples]
    restored = [np.clip(1.5 * e["visible_hazy"], 0.0, 1.0) for e in floats]
    assert tuple(metrics) == METRICS
    expected = np.mean([psnr(r, e["visible_clear"]) for r, e in zip(restored, floats, strict=True)])
    assert metrics["restored_psnr"] == pytest.approx(expected, abs=1e-3)
    expected = np.mean([psnr(e["visible_hazy"], e["visible_clear"]) for e in floats])
    assert metrics["input_psnr"] == pytest.approx(expected, abs=1e-3)
    unclipped = np.mean([np.abs(1.5 * e["visible_hazy"] - e["visible_clear"]).mean() for e in floats])
    assert metrics["loss/restoration"] == pytest.approx(unclipped, abs=1e-5)
    total = metrics["loss/intensity"] + metrics["loss/gradient"] + 2.0 * metrics["loss/restoration"]
    assert metrics["loss/total"] == pytest.approx(total, abs=1e-5)


@pytest.fixture(scope="module")
def over_devices():
    """A function that splits a batch over four devices."""
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4], axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    return lambda batch: jax.device_put(batch, rows)


@pytest.mark.parametrize("batch_size, sharded", [(2, False), (4, True)])
def test_batches_and_devices_change_nothing(
    validator, params, examples, rng, over_devices, batch_size, sharded
):
    examples = [*examples, *(example(rng, name, 16, 20) for name in "defgh")]
    expected = validator(params, examples, alpha=2.0, num_pictures=5)
    batched = Validator(
        Objective(Brighten()),
        batch_size=batch_size,
        shard=over_devices if sharded else None,
    )(params, examples, alpha=2.0, num_pictures=5)
    assert batched.metrics == pytest.approx(expected.metrics, rel=1e-5)
    assert [picture["name"] for picture in batched.pictures] == list("abcde")
    for picture, other in zip(batched.pictures, expected.pictures, strict=True):
        assert picture.keys() == other.keys()
        for name, image in picture.items():
            np.testing.assert_array_equal(image, other[name])


def test_whatever_fills_a_batch_does_not_count(validator, params, examples):
    a, b, c = examples
    fillers = {key: np.full_like(a[key], 7) for key in a if key != "name"}
    rows = [{**a, "mask": 1.0}, {**fillers, "name": "", "mask": 0.0}, {**c, "mask": 1.0}]
    batch = {key: np.stack([row[key] for row in rows]) for key in fillers}
    batch |= {"name": [row["name"] for row in rows], "mask": np.float32([row["mask"] for row in rows])}
    alone = {key: value[None] for key, value in b.items() if key != "name"}
    alone |= {"name": ["b"], "mask": np.ones(1, np.float32)}
    validation = validator(params, [batch, alone], alpha=2.0, num_pictures=3)
    expected = validator(params, examples, alpha=2.0)
    assert validation.metrics == pytest.approx(expected.metrics, rel=1e-5)
    assert [picture["name"] for picture in validation.pictures] == ["a", "c", "b"]


def test_one_compilation_for_each_size(examples, params):
    traces = []

    class Counting(Brighten):
        def __call__(self, hazy, infrared):
            traces.append(hazy.shape)
            return super().__call__(hazy, infrared)

    validator = Validator(Objective(Counting()))
    for alpha in (1.0, 2.0):
        validator(params, examples, alpha=alpha)
    assert sorted(traces) == [(1, 16, 20, 3), (1, 24, 16, 3)]


def test_pictures_of_the_first_scenes(validator, params, examples):
    pictures = validator(params, examples, alpha=2.0, num_pictures=2).pictures
    assert [picture["name"] for picture in pictures] == ["a", "b"]
    first, source = pictures[0], examples[0]
    expected = np.clip(np.round(1.5 * source["visible_hazy"].astype(np.float32)), 0, 255)
    assert np.abs(first["restored"].astype(int) - expected.astype(int)).max() <= 1
    np.testing.assert_array_equal(first["fused"], np.repeat(source["infrared"], 3, axis=-1))
    assert {k: v.dtype for k, v in first.items() if k != "name"} == dict.fromkeys(
        ("hazy", "infrared", "restored", "fused", "haze density", "clear"), np.dtype(np.uint8)
    )


def test_a_stop_gives_the_validation_up(validator, params, examples):
    seen = []

    def watched():
        for item in examples:
            seen.append(item["name"])
            yield item

    assert validator(params, watched(), alpha=2.0, should_stop=lambda: len(seen) > 1) is None
    assert seen == ["a", "b"]


def test_no_images_is_an_error(validator, params):
    with pytest.raises(InputError, match="no images"):
        validator(params, [], alpha=2.0)
    with pytest.raises(InputError, match="batch_size of the validation is 0"):
        Validator(Objective(Brighten()), batch_size=0)


def test_parameters_are_left_alone(validator, params, examples):
    before = jax.tree.map(np.array, params)
    validator(params, examples[:1], alpha=2.0)
    np.testing.assert_array_equal(params["factor"], before["factor"])
