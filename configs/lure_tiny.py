"""A small LURE, stage 1, for two CPU cores and a quarter of an hour.

    iassf train --config configs/lure_tiny.py --workdir runs/lure_tiny --config.data.train=DATA/train \\
        --config.data.val=DATA/val

Then `lure_tiny_fusion`.
"""

from ml_collections import ConfigDict

from configs import lure


def get_config() -> ConfigDict:
    """Return stage 1 with the tiny network and a short run."""
    config = lure.tiny(lure.get_config())
    config.steps = 1500
    config.data.batch_size = 6
    config.data.crop = 64
    config.data.num_threads = 2
    config.ema_decay = 0.99
    config.optimizer.learning_rate = 2e-3
    config.optimizer.final_learning_rate = 1e-5
    config.optimizer.warmup_steps = 50
    config.optimizer.b2 = 0.99
    config.log_every = 25
    config.eval_every = config.images_every = 1500
    config.checkpoint_every = 500
    return config
