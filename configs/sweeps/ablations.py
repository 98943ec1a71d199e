"""The whole network and the six ablations of the paper's Table VII.

    iassf sweep --config configs/sweeps/ablations.py --workdir sweeps/ablations \\
        --config.data.train=DATA/train --config.data.val=DATA/val

What each switch takes away is written in `iassf_jax/models/ablations.py`.
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import iassf

ABLATIONS = ("none", "wo_fir", "wo_hde", "wo_pir", "wo_fr_peb", "wo_pvi", "wo_fb_peb")


def get_config() -> ConfigDict:
    """Return the paper's setting."""
    return iassf.get_config()


def get_points() -> Iterator[dict[str, Any]]:
    """Yield the overrides of each point."""
    for ablation in ABLATIONS:
        yield {"model.ablation": ablation}
