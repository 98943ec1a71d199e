"""One program for a whole run: nothing compiles twice, and only what is meant to travels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.training import program, run_training


def test_a_run_compiles_its_step_once(make_config, silent, tmp_path, monkeypatch):
    compiled = []
    lower = program.program_flops
    monkeypatch.setattr(program, "program_flops", lambda lowered: compiled.append(1) or lower(lowered))
    config = make_config("data.val=", "steps=200", "log_every=50", "checkpoint_every=0")
    # Batches and numbers are put on the device and records fetched explicitly: anything else raises.
    with jax.transfer_guard("disallow"):
        result = run_training(config, tmp_path, console=silent)
    assert result.step == 200
    assert len(compiled) == 1


def test_another_shape_is_an_error_and_not_a_second_program():
    step = program.StepProgram(jax.jit(lambda x: x + 1.0))
    assert step(jnp.zeros(3))[0] == 1.0
    with pytest.raises(TypeError):
        step(jnp.zeros(4))


def test_constants_follow_the_arguments():
    step = program.StepProgram(jax.jit(lambda x, y: x - y), (jnp.ones(2),))
    np.testing.assert_array_equal(step(jnp.full(2, 3.0)), [2.0, 2.0])
    assert step.flops is not None and step.flops >= 2
