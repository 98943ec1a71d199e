"""A network of a few numbers, a folder of small images, and runs on them in a second or two.

Fixtures of tests/training, tests/sweeps and tests/cli. They import the package when they are used: other
tests need not wait for it.
"""

import cv2
import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from rich.console import Console


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def shared_programs(programs):
    """Every run compiles its own functions; those that are equal are compiled once."""
    options = {
        "jax_compilation_cache_dir": str(programs),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for settings in (options, before):
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()  # whether it is used was settled by the process's first compilation
        if settings is options:
            yield


@pytest.fixture
def tiny_network(monkeypatch):
    from iassf_jax import models
    from tests.training.network import Tiny

    monkeypatch.setitem(models.MODELS, "tiny", Tiny)


@pytest.fixture(scope="session")
def triplets(tmp_path_factory):
    """train/ with 7 scenes and val/ with 3 of two sizes, in GT, hazy and IR."""
    root = tmp_path_factory.mktemp("triplets")
    rng = np.random.default_rng(0)
    for part, count in (("train", 7), ("val", 3)):
        for folder in ("GT", "hazy", "IR"):
            (root / part / folder).mkdir(parents=True)
        for index in range(count):
            blocks = rng.integers(0, 256, (5, 6 + index % 2, 3)).astype(np.uint8)
            clear = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
            for folder, image in (("GT", clear), ("hazy", clear // 2 + 100), ("IR", clear[..., 0])):
                cv2.imwrite(str(root / part / folder / f"{part}{index}.png"), image)
    return root


@pytest.fixture
def config_file(triplets, tmp_path):
    """The configuration of a run of six steps."""
    file = tmp_path / "tiny.py"
    file.write_text(
        "from configs import default\n"
        "def get_config():\n"
        "    config = default.get_config()\n"
        "    config.model = type(config)({'name': 'tiny', 'width': 4})\n"
        "    config.steps = 6\n"
        "    config.mesh.data = 1\n"
        f"    config.data.train, config.data.val = {str(triplets / 'train')!r}, {str(triplets / 'val')!r}\n"
        "    config.data.batch_size, config.data.crop, config.data.num_threads = 2, 16, 1\n"
        "    config.log_every = config.checkpoint_every = 2\n"
        "    config.eval_every = config.images_every = 3\n"
        "    config.optimizer.learning_rate = 1e-2\n"
        "    return config\n"
    )
    return file


@pytest.fixture
def make_config(config_file):
    """A function from overrides to the configuration of a run of six steps."""
    from iassf_jax.core.config import load_config

    return lambda *overrides: load_config(config_file, [f"config.{word}" for word in overrides])


@pytest.fixture
def silent():
    return Console(quiet=True)
