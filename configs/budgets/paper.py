"""The paper's training: 54,000 steps of six 256x256 crops for every run, one seed each, the whole test set.

iassf reproduce VIII --budget paper --data DATA --workdir reproduced
"""

from typing import Any

from ml_collections import ConfigDict

from configs import iassf


def get_config() -> ConfigDict:
    """Return the paper's setting."""
    config = iassf.get_config()
    config.checkpoint_every = 500
    return config


def get_budget() -> dict[str, Any]:
    """Return what is trained and measured besides."""
    return {"seeds": (0,), "scenes": None, "batch": 4, "population": 1}
