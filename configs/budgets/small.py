"""The paper's network at reduced crops and steps: three seeds of Tables VII, VIII and IX in 25 minutes.

    iassf reproduce VII VIII IX --budget small --parallel 3 --data DATA --workdir reproduced

Meant for one H100 (estimated, see docs/reproduce.md). 45 runs in eleven populations: alpha and the seed are
arguments of a program, M and the ablations are not.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import iassf


def get_config() -> ConfigDict:
    """Return the paper's setting cut down."""
    config = iassf.get_config()
    config.steps = 400
    config.data.batch_size = 4
    config.data.crop = 128
    config.data.cache_bytes = 6 * 2**30
    config.data.num_threads = 8
    config.model.dtype = "bfloat16"
    # So few steps want larger ones.
    config.optimizer.learning_rate = 1e-3
    config.optimizer.final_learning_rate = 1e-5
    config.optimizer.warmup_steps = 20
    config.log_every = 50
    config.checkpoint_every = 200
    config.keep_last = 1
    return config


def get_budget() -> dict[str, Any]:
    """Return what is trained and measured besides."""
    return {"seeds": (0, 1, 2), "scenes": 30, "batch": 6, "population": 9}
