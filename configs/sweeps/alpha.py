"""The weight of the restoration in the loss: the values of the paper's Table VIII.

    iassf sweep --config configs/sweeps/alpha.py --workdir sweeps/alpha --population 6 \\
        --config.data.train=DATA/train --config.data.val=DATA/val

Six runs of one program: alpha is traced, so a population trains them together.
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import iassf

ALPHAS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)


def get_config() -> ConfigDict:
    """Return the paper's setting."""
    return iassf.get_config()


def get_points() -> Iterator[dict[str, Any]]:
    """Yield the overrides of each point."""
    for alpha in ALPHAS:
        yield {"alpha": alpha}
