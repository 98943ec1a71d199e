"""The schedule against its formula, and the optimizers against the updates they should make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iassf_jax.core.errors import ConfigError
from iassf_jax.training.optimizer import OPTIMIZERS, make_optimizer, make_schedule

OPTIONS = {
    "name": "adamw",
    "learning_rate": 2e-4,
    "final_learning_rate": 2e-6,
    "warmup_steps": 0,
    "hold_steps": 1,
    "weight_decay": 0.01,
    "decay": "all",
    "b1": 0.9,
    "b2": 0.999,
    "eps": 1e-8,
    "clip_norm": None,
    "rates": (),
}


def rates(steps, counts, **changes):
    schedule = make_schedule(OPTIONS | changes, steps=steps)
    return np.array([float(schedule(jnp.asarray(count, jnp.int32))) for count in counts])


def test_cosine_runs_from_the_first_rate_to_the_last():
    counts = np.arange(101)
    expected = 2e-6 + (2e-4 - 2e-6) * (1 + np.cos(np.pi * counts / 100)) / 2
    np.testing.assert_allclose(rates(101, counts), expected, rtol=1e-5)
    np.testing.assert_allclose(rates(101, [0, 50, 100, 1000]), [2e-4, 1.01e-4, 2e-6, 2e-6], rtol=1e-5)


def test_warm_up_is_linear_and_meets_the_cosine():
    np.testing.assert_allclose(
        rates(30, [0, 1, 2, 3, 4, 29], warmup_steps=4), [4e-5, 8e-5, 1.2e-4, 1.6e-4, 2e-4, 2e-6], rtol=1e-5
    )


def test_held_rate_is_the_released_schedule_per_epoch():
    per_epoch, epochs = 180, 300
    counts = [0, 179, 180, 26999, 27000, 54179]
    epoch = np.array([count // per_epoch for count in counts])
    expected = 2e-6 + 0.5 * (2e-4 - 2e-6) * (1 + np.cos(np.pi * epoch / epochs))
    np.testing.assert_allclose(
        rates(per_epoch * (epochs + 1), counts, hold_steps=per_epoch), expected, rtol=1e-5
    )


def test_first_adamw_update_is_the_rate_times_the_sign_plus_the_decay():
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full((2,), -1.0)}
    grads = {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.full((2,), -0.25)}
    optimizer = make_optimizer(OPTIONS, steps=10)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -2e-4 * (1 + 0.01 * 3.0), rtol=1e-4)
    np.testing.assert_allclose(updates["bias"], 2e-4 * (1 + 0.01), rtol=1e-4)


def test_decay_of_kernels_only_spares_the_biases():
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full((2,), 3.0)}
    zero = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros((2,))}
    optimizer = make_optimizer(OPTIONS | {"decay": "kernels"}, steps=10)
    updates, _ = optimizer.update(zero, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -2e-4 * 0.01 * 3.0, rtol=1e-4)
    np.testing.assert_array_equal(updates["bias"], 0.0)


def test_gradients_are_clipped_by_their_global_norm():
    params = {"a": jnp.zeros(3), "b": jnp.zeros(4)}
    grads = {"a": jnp.full((3,), 10.0), "b": jnp.full((4,), 10.0)}
    sgd = OPTIONS | {"name": "sgd", "learning_rate": 1.0, "weight_decay": 0.0, "clip_norm": 0.5}
    optimizer = make_optimizer(sgd, steps=10)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(optax.tree.norm(updates), 0.5, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends_a_bowl(name):
    params = {"x": jnp.array([1.0, -2.0])}
    options = OPTIONS | {"name": name, "learning_rate": 0.02, "final_learning_rate": 0.01}
    optimizer = make_optimizer(options, steps=20)
    state = optimizer.init(params)
    for _ in range(20):
        updates, state = optimizer.update({"x": 2.0 * params["x"]}, state, params)
        params = optax.apply_updates(params, updates)
    assert np.abs(params["x"]).sum() < 2.9


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": "adamm"}, "adamw, lion"),
        ({"decay": "some"}, "all, kernels"),
        ({"warmup_steps": 10}, "under config.steps"),
        ({"hold_steps": 0}, "hold_steps"),
        ({"clip_norm": 0.0}, "clip_norm"),
    ],
)
def test_impossible_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_optimizer(OPTIONS | changes, steps=10)


PARAMS = {"dehaze": {"kernel": jnp.full((4, 3), 2.0)}, "fusion": {"kernel": jnp.full((3, 2), 3.0)}}
GRADS = {"dehaze": {"kernel": jnp.full((4, 3), 0.5)}, "fusion": {"kernel": jnp.full((3, 2), -0.25)}}


def update_with(**changes):
    optimizer = make_optimizer(OPTIONS | changes, steps=10)
    state = optimizer.init(PARAMS)
    return optimizer.update(GRADS, state, PARAMS)[0], state


def test_two_optimizers_of_the_released_code_are_one_for_each_network():
    one, _ = update_with()
    two, state = update_with(rates=(("^dehaze/", 1.0), ("^fusion/", 1.0)))
    for a, b in zip(one.values(), two.values(), strict=True):
        np.testing.assert_allclose(a["kernel"], b["kernel"], rtol=1e-6)
    assert set(state.inner_states) == {"0", "1", "2"}


def test_rates_of_groups_scale_their_updates():
    plain, _ = update_with()
    slow, _ = update_with(rates=(("^fusion/", 0.1),))
    np.testing.assert_allclose(slow["dehaze"]["kernel"], plain["dehaze"]["kernel"], rtol=1e-6)
    np.testing.assert_allclose(slow["fusion"]["kernel"], 0.1 * plain["fusion"]["kernel"], rtol=1e-5)


def test_frozen_groups_do_not_move_and_do_not_count_in_the_norm():
    frozen, _ = update_with(rates=(("^dehaze/", 0.0),), name="sgd", weight_decay=0.0, clip_norm=0.1)
    assert not np.any(frozen["dehaze"]["kernel"])
    norm = 0.25 * np.sqrt(6)
    np.testing.assert_allclose(
        frozen["fusion"]["kernel"], 2e-4 * 0.1 * np.full((3, 2), 0.25) / norm, rtol=1e-5
    )


@pytest.mark.parametrize("rates", [(("(", 1.0),), (("a", -1.0),), ("a",), (("a", "fast"),)])
def test_impossible_groups_are_named(rates):
    with pytest.raises(ConfigError, match="pairs of a regular expression and a factor"):
        update_with(rates=rates)


def test_a_pattern_that_finds_no_parameter_is_named():
    update_with(
        rates=(("^dehaze/", 0.1), ("kernel$", 0.5), ("^dehaze/kernel", 1.0))
    )  # the last one comes late
    optimizer = make_optimizer(OPTIONS | {"rates": (("^fusion/", 0.1), ("^dehase/", 0.0))}, steps=10)
    with pytest.raises(ConfigError, match=r"rates: '\^dehase/' .* begin with dehaze, fusion"):
        jax.eval_shape(optimizer.init, PARAMS)
