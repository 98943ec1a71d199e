"""Three seeds: how far runs differ that nothing else distinguishes. Multiplies other sweeps.

    iassf sweep --config configs/sweeps/alpha.py --times configs/sweeps/seeds.py --population 6 \\
        --workdir sweeps/alpha_seeds --config.data.train=DATA/train --config.data.val=DATA/val
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import iassf

SEEDS = (0, 1, 2)


def get_config() -> ConfigDict:
    """Return the paper's setting."""
    return iassf.get_config()


def get_points() -> Iterator[dict[str, Any]]:
    """Yield the overrides of each point."""
    for seed in SEEDS:
        yield {"seed": seed}
