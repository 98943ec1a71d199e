"""Where training can be chosen: each option by itself, one value below and one above those of `cpu_small`.

    iassf sweep --config configs/sweeps/choices.py --workdir sweeps/choices \\
        --config.data.train=DATA/train --config.data.val=DATA/val

The three seeds come first: a difference smaller than theirs is none. The options are those of all networks,
so that `--base iassf_released` or `--base iassf` repeats the study at full size. What it showed on two CPU
cores is in benchmarks/experiments.md.
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import cpu_small

CHOICES: dict[str, tuple[Any, ...]] = {
    "seed": (0, 1, 2),
    "model.num_fusion_blocks": (1, 5),
    "model.num_prompts": (1, 10),
    "model.prompt_size": (8, 128),
    "alpha": (1.0, 4.0),
    "data.crop": (64, 120),
    "optimizer.learning_rate": (1e-3, 4e-3),
    "optimizer.weight_decay": (0.0, 0.1),
    "ema_decay": (0.99,),
}


def get_config() -> ConfigDict:
    """Return the small setting."""
    return cpu_small.get_config()


def get_points() -> Iterator[dict[str, Any]]:
    """Yield the overrides of each point."""
    for option, values in CHOICES.items():
        for value in values:
            yield {option: value}
