"""A narrow network for some steps on two CPU cores: shows that a study works, not what its answer is.

iassf reproduce VIII --budget smoke --data DATA --workdir reproduced
"""

from typing import Any

from ml_collections import ConfigDict

from configs import iassf


def get_config() -> ConfigDict:
    """Return the paper's setting with a network of a few channels."""
    config = iassf.get_config()
    config.model.channels = 6
    config.model.tf_heads = (1,)
    config.model.tf_kind = "block"
    config.model.prompt_size = 16
    config.steps = 60
    config.data.batch_size = 2
    config.data.crop = 64
    config.data.num_threads = 1
    config.optimizer.learning_rate = 5e-3
    config.optimizer.final_learning_rate = 1e-4
    config.optimizer.warmup_steps = 5
    config.optimizer.decay = "kernels"
    config.log_every = 10
    config.checkpoint_every = 15
    config.keep_last = 1
    return config


def get_budget() -> dict[str, Any]:
    """Return what is trained and measured besides."""
    return {"seeds": (0, 1), "scenes": 4, "batch": 1, "population": 12}
