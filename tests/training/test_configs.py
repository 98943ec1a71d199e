"""Every packaged configuration: complete, resolvable, and able to train."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import configs
from iassf_jax import models
from iassf_jax.core.config import from_json, load_config, to_json
from iassf_jax.training import settings
from iassf_jax.training.optimizer import make_optimizer
from iassf_jax.training.state import init_state, make_initializer
from iassf_jax.training.step import make_train_step
from iassf_jax.training.task import make_task

NAMES = sorted(path.stem for path in Path(configs.__path__[0]).glob("*.py") if path.stem != "__init__")
SMALL = {
    "channels": 4,
    "tf_heads": (1, 1, 1),
    "tf_blocks": (1, 1, 1, 1, 1),
    "num_fusion_blocks": 1,
    "num_prompts": 2,
    "tf_kind": "block",
    "prompt_size": 8,
}
# One resolution instead of four: tracing LURE's takes longest.
SHALLOW = {
    **dict.fromkeys(("k_bt", "k_tb", "dec_blocks", "fusion_blocks"), (1,)),
    "widths": (8,),
    "latents": (4,),
}


def build(config):
    model = models.create(config.model.to_dict())
    optimizer = make_optimizer(config.optimizer.to_dict(), steps=config.steps)
    step = make_train_step(
        make_task(model, config.to_dict()), optimizer, augment_options=config.augment.to_dict()
    )
    return model, optimizer, step


def batch_of(config, side):
    sides = (side, side) if side else config.data.resize
    size = (config.data.batch_size, *sides)
    images = {"visible_hazy": 3, "visible_clear": 3, "infrared": 1}
    return {k: jnp.full((*size, c), 100, jnp.uint8) for k, c in images.items()} | {
        "mask": jnp.ones(size[:1], jnp.float32)
    }


SCALARS = (jnp.asarray(2.0, jnp.float32), jnp.asarray(0, jnp.int32))


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_is_complete(name):
    config = load_config(name, ["config.data.train=somewhere"])
    settings.check(config.to_dict())
    assert from_json(to_json(config)).to_dict() == config.to_dict()
    fields = {f.name for f in dataclasses.fields(models.MODELS[config.model.name])} - {"parent", "name"}
    assert set(config.model) - {"name"} == fields
    default = load_config("default")
    assert set(config) == set(default)
    for group in ("data", "augment", "optimizer", "loss"):
        assert set(config[group]) == set(default[group])


@pytest.mark.parametrize("name", ["iassf", "iassf_released"])
def test_defaults_are_the_networks_own(name):
    config = load_config(name)
    assert models.create(config.model.to_dict()) == models.create(name)


# Left out: networks that another configuration has too, and LURE with more blocks than lure_tiny.
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"default", "demo", "lure", "lure_fusion"}))
def test_every_configuration_makes_a_step_of_its_own_size(name):
    config = load_config(name)
    if config.model.name == "lure":
        with config.unlocked():
            config.model.update(SHALLOW)
    model, optimizer, step = build(config)
    state = jax.eval_shape(make_initializer(model, optimizer, seed=0))

    def new_state_and_loss(*args):
        new, records, finite = step(*args)
        return new, records["loss/total"].result(), finite

    new, loss, finite = jax.eval_shape(
        new_state_and_loss, state, batch_of(config, config.data.crop), *SCALARS
    )
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert [x.shape for x in jax.tree.leaves(new)] == [x.shape for x in jax.tree.leaves(state)]
    assert loss.shape == finite.shape == ()


def test_the_shrunk_network_of_the_paper_trains_a_step():
    """The released network does so in tests/cli/test_demo_command.py."""
    config = load_config("iassf")
    with config.unlocked():
        config.model.update(SMALL)
        config.data.batch_size = 1
    model, optimizer, step = build(config)
    state = init_state(make_initializer(model, optimizer, seed=0))
    compiled = jax.jit(step)
    new, records, finite = compiled(state, batch_of(config, 32), *SCALARS)
    assert finite
    assert records["loss/total"].result() > 0.0
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), new.params, state.params)
    largest = max(jax.tree.leaves(moved))
    assert 0.0 < largest < 4.0 * config.optimizer.learning_rate  # AdamW moves by about the rate


def test_the_released_recipe_is_the_released_one():
    config = load_config("iassf_released")
    assert config.steps == 301 * (1083 // 6)
    assert (config.data.batch_size, config.data.crop, config.data.resize) == (6, 256, (256, 256))
    assert config.loss.signed
    assert config.alpha == 2.0
    assert config.optimizer.clip_norm is None
    assert (config.optimizer.weight_decay, config.optimizer.decay) == (0.01, "all")
