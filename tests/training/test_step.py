"""The training step: a pure function of (state, batch, alpha, seed), compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iassf_jax import models
from iassf_jax.core.rng import stream_key
from iassf_jax.losses import iassf_loss
from iassf_jax.training.state import init_state, make_initializer
from iassf_jax.training.step import compile_train_step, make_train_step
from iassf_jax.training.task import IassfTask

AUGMENT = {"horizontal_flip": True, "vertical_flip": True, "rotate": False}
STILL = {"horizontal_flip": False, "vertical_flip": False, "rotate": False}


@pytest.fixture
def batch(rng):
    shapes = {"visible_hazy": 3, "visible_clear": 3, "infrared": 1}
    images = {k: jnp.asarray(rng.integers(0, 256, (2, 16, 16, c), dtype=np.uint8)) for k, c in shapes.items()}
    return images | {"mask": jnp.ones(2, jnp.float32)}


@pytest.fixture
def parts(tiny_network):
    model, optimizer = models.create("tiny"), optax.sgd(0.1)
    return model, optimizer, init_state(make_initializer(model, optimizer, seed=0))


def task(model, *, signed=False):
    return IassfTask(model, loss_options={"signed": signed})


def scalars(alpha=2.0, seed=0):
    return jnp.asarray(alpha, jnp.float32), jnp.asarray(seed, jnp.int32)


def test_the_update_is_gradient_descent_on_the_loss(parts, batch):
    model, optimizer, state = parts
    step = make_train_step(task(model, signed=True), optimizer, augment_options=STILL)
    new, records, finite = jax.jit(step)(state, batch, *scalars(alpha=3.0))

    def loss(params):
        floats = {k: v.astype(jnp.float32) / 255.0 for k, v in batch.items() if k != "mask"}
        outputs = model.apply({"params": params}, floats["visible_hazy"], floats["infrared"])
        return iassf_loss(outputs, floats, alpha=3.0, signed=True)["total"]

    value, grads = jax.value_and_grad(loss)(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads)
    for a, b in zip(jax.tree.leaves(new.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(records["loss/total"].result(), value, rtol=1e-5)
    np.testing.assert_allclose(records["grad_norm"].result(), optax.tree.norm(grads), rtol=1e-4)
    assert records["loss/total"].count == 2.0
    assert new.step == 1
    assert finite


def test_masked_images_do_not_count(parts, batch):
    step = jax.jit(make_train_step(task(parts[0]), parts[1], augment_options=STILL))
    first = {k: v[:1] for k, v in batch.items()}
    padded = batch | {"mask": jnp.array([1.0, 0.0])}
    alone, with_padding = (step(parts[2], b, *scalars()) for b in (first, padded))
    for a, b in zip(jax.tree.leaves(alone[0]), jax.tree.leaves(with_padding[0]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert with_padding[1]["loss/total"].count == 1.0


def test_other_values_never_compile_again(parts, batch):
    step = make_train_step(task(parts[0]), parts[1], augment_options=AUGMENT)
    traces = []
    compiled = compile_train_step(lambda *args: traces.append(1) or step(*args))
    state = parts[2]
    for index, alpha in enumerate((0.5, 2.0, 7.0)):
        state, _, _ = compiled(state, batch, *scalars(alpha, seed=index))
    assert len(traces) == 1
    assert state.step == 3


def test_flips_are_those_of_the_seed_and_the_step(parts, batch):
    model, optimizer, state = parts
    step = jax.jit(make_train_step(task(model), optimizer, augment_options=AUGMENT))
    at = {n: state.replace(step=jnp.asarray(n, jnp.int32)) for n in range(8)}
    totals = [float(step(at[n], batch, *scalars())[1]["grad_norm"].result()) for n in at]
    again = [float(step(at[n], batch, *scalars())[1]["grad_norm"].result()) for n in at]
    other = [float(step(at[n], batch, *scalars(seed=1))[1]["grad_norm"].result()) for n in at]
    assert totals == again
    assert len(set(totals)) > 1
    assert totals != other


def test_nan_is_flagged(parts, batch):
    model, optimizer, state = parts
    step = jax.jit(make_train_step(task(model), optimizer, augment_options=STILL))
    broken = jax.tree.map(lambda x: x * jnp.nan, state.params)
    assert not step(state.replace(params=broken), batch, *scalars())[2]


def test_the_initial_state_is_a_function_of_the_seed(parts):
    model, optimizer, state = parts
    same, other = (init_state(make_initializer(model, optimizer, seed=seed)) for seed in (0, 1))
    np.testing.assert_array_equal(same.params["first"]["kernel"], state.params["first"]["kernel"])
    assert np.abs(other.params["first"]["kernel"] - state.params["first"]["kernel"]).max() > 0.01
    variables = model.init(stream_key(0, "init"), jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 16, 16, 1)))
    np.testing.assert_allclose(
        state.params["first"]["kernel"], variables["params"]["first"]["kernel"], atol=1e-6
    )
    shapes = jax.eval_shape(make_initializer(model, optimizer, seed=0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
