"""A small LURE, stage 1, second part: the latents of degraded and clean images drawn together.

    iassf train --config configs/lure_tiny_unify.py --workdir runs/lure_tiny_unify \\
        --config.init_from=runs/lure_tiny --config.data.train=DATA/train --config.data.val=DATA/val

From the start so large a weight would keep the network from learning to restore. Then `lure_tiny_fusion`.
"""

from ml_collections import ConfigDict

from configs import lure_tiny


def get_config() -> ConfigDict:
    """Return the first part with a larger weight of the agreement and a shorter, slower run."""
    config = lure_tiny.get_config()
    config.steps = 800
    config.task.alpha_unified = 50.0
    config.task.shares = (5.0, 0.3, 2.0, 1.3, 1.3)
    config.optimizer.learning_rate = 1.2e-3
    config.optimizer.warmup_steps = 20
    config.eval_every = config.images_every = 400
    return config
