"""Population based training: four learning rates, of which the worse ones make way while all are trained.

    iassf sweep --config configs/sweeps/population_based.py --engine ray --workdir sweeps/population_based \\
        --config.data.train=DATA/train --config.data.val=DATA/val --config.haze=iassf_released

Every 200 steps the worst point goes on from the state of the best one, with its rate and alpha changed a
little. For another network add --base; for longer runs set the interval here, a multiple of eval_every and
checkpoint_every.
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import cpu_small

RATES = (2e-4, 6e-4, 2e-3, 6e-3)
INTERVAL = 200  # steps


def get_config() -> ConfigDict:
    """Return a small network that is validated as often as points are compared."""
    config = cpu_small.get_config()
    config.eval_every = config.images_every = config.checkpoint_every = INTERVAL
    return config


def get_points() -> Iterator[dict[str, Any]]:
    """Yield the overrides of each point."""
    for rate in RATES:
        yield {"optimizer.learning_rate": rate}


def get_scheduler() -> dict[str, Any]:
    """Return how points take over from each other, see `iassf_jax/sweeps/schedulers.py`."""
    mutations = {"optimizer.learning_rate": (1e-4, 1e-2), "alpha": [1.0, 2.0, 3.0]}
    return {"name": "pbt", "interval": INTERVAL, "mutations": mutations}
