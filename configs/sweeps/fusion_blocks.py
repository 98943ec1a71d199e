"""The number M of fusion blocks: the values of the paper's Table IX.

    iassf sweep --config configs/sweeps/fusion_blocks.py --workdir sweeps/fusion_blocks \\
        --config.data.train=DATA/train --config.data.val=DATA/val

Every M is a network of its own, so each point is compiled by itself. With seeds:
`--times configs/sweeps/seeds.py --population 3`.
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import iassf

FUSION_BLOCKS = (1, 3, 5, 7)


def get_config() -> ConfigDict:
    """Return the paper's setting."""
    return iassf.get_config()


def get_points() -> Iterator[dict[str, Any]]:
    """Yield the overrides of each point."""
    for blocks in FUSION_BLOCKS:
        yield {"model.num_fusion_blocks": blocks}
