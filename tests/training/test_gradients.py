"""Accumulated gradients are those of the whole batch; averages and loss scales follow their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iassf_jax import models
from iassf_jax.training import loss_scale
from iassf_jax.training.gradients import accumulated_gradients
from iassf_jax.training.state import init_state, make_initializer
from iassf_jax.training.step import make_train_step
from iassf_jax.training.task import IassfTask

STILL = {"horizontal_flip": False, "vertical_flip": False}
SCALARS = (jnp.asarray(2.0, jnp.float32), jnp.asarray(0, jnp.int32))


@pytest.fixture
def batch(rng):
    shapes = {"visible_hazy": 3, "visible_clear": 3, "infrared": 1}
    images = {k: jnp.asarray(rng.integers(0, 256, (8, 16, 16, c), dtype=np.uint8)) for k, c in shapes.items()}
    return images | {"mask": jnp.array([1, 1, 1, 0, 1, 1, 0, 0], jnp.float32)}


@pytest.fixture
def task(tiny_network):
    return IassfTask(models.create("tiny"), loss_options={"signed": False})


@pytest.fixture
def params(task):
    model = models.create("tiny")
    return init_state(make_initializer(model, optax.sgd(0.1), seed=0)).params


def trees_close(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **tolerance)


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_give_the_gradient_of_the_batch(task, params, batch, parts):
    images = {k: v.astype(jnp.float32) / (255.0 if v.ndim > 1 else 1.0) for k, v in batch.items()}

    def evaluate(params, images):
        return task.loss(task.apply(params, images), images, SCALARS[0])

    whole = accumulated_gradients(evaluate, params, images)
    in_parts = jax.jit(lambda p, i: accumulated_gradients(evaluate, p, i, parts=parts))(params, images)
    trees_close(in_parts, whole, rtol=1e-5, atol=1e-7)


def test_a_scaled_loss_gives_the_same_gradient(task, params, batch):
    images = {k: v.astype(jnp.float32) / (255.0 if v.ndim > 1 else 1.0) for k, v in batch.items()}

    def evaluate(params, images):
        return task.loss(task.apply(params, images), images, SCALARS[0])

    plain = accumulated_gradients(evaluate, params, images)
    scaled = accumulated_gradients(evaluate, params, images, scale=jnp.asarray(2.0**15, jnp.float32))
    trees_close(scaled, plain, rtol=1e-6)


def test_the_average_follows_its_decay(task, batch):
    model, optimizer, decay = models.create("tiny"), optax.sgd(0.1), 0.3
    state = init_state(make_initializer(model, optimizer, seed=0, ema=True))
    step = jax.jit(make_train_step(task, optimizer, augment_options=STILL, ema_decay=decay))
    mean = state.params["first"]["kernel"]
    for n in range(5):
        state, _, _ = step(state, batch, *SCALARS)
        kept = min(decay, (1 + n) / (10 + n))
        mean = kept * mean + (1 - kept) * state.params["first"]["kernel"]
    np.testing.assert_allclose(state.ema["first"]["kernel"], mean, rtol=1e-5, atol=1e-7)
    assert state.best_params is state.ema


def test_without_an_average_the_parameters_are_the_best(params):
    state = init_state(make_initializer(models.create("tiny"), optax.sgd(0.1), seed=0))
    assert state.ema == {}
    assert state.best_params is state.params


def test_an_overflow_changes_nothing_but_the_scale(task, batch):
    model, optimizer = models.create("tiny"), optax.sgd(0.1, momentum=0.9)
    state = init_state(make_initializer(model, optimizer, seed=0, loss_scaling="dynamic"))
    step = jax.jit(make_train_step(task, optimizer, augment_options=STILL))
    huge = state.replace(loss_scale=state.loss_scale.replace(scale=jnp.asarray(jnp.inf, jnp.float32)))
    after, _, goes_on = step(huge, batch, *SCALARS)
    trees_close((after.params, after.opt_state), (state.params, state.opt_state), rtol=0)
    assert goes_on
    assert after.step == 1
    good, _, goes_on = step(state, batch, *SCALARS)
    assert goes_on
    assert good.loss_scale.scale == state.loss_scale.scale
    assert good.loss_scale.good_steps == 1
    broken = state.replace(
        params=jax.tree.map(lambda x: x * jnp.nan, state.params),
        loss_scale=state.loss_scale.replace(scale=jnp.asarray(1.0, jnp.float32)),
    )
    assert not step(broken, batch, *SCALARS)[2]


def test_the_scale_halves_on_overflow_and_doubles_after_patience():
    scale = loss_scale.initial_loss_scale("dynamic")
    halved = loss_scale.adjust(scale, jnp.asarray(False))
    assert halved.scale == scale.scale / 2
    patient = scale.replace(good_steps=jnp.asarray(1999, jnp.int32))
    doubled = loss_scale.adjust(patient, jnp.asarray(True))
    assert doubled.scale == scale.scale * 2
    assert doubled.good_steps == 0
    lowest = scale.replace(scale=jnp.asarray(1.0, jnp.float32))
    assert loss_scale.adjust(lowest, jnp.asarray(False)).scale == 1.0
