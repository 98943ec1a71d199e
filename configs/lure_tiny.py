"""A small LURE, stage 1, first part, for two CPU cores and a quarter of an hour.

    iassf train --config configs/lure_tiny.py --workdir runs/lure_tiny --config.data.train=DATA/train \\
        --config.data.val=DATA/val

Then `lure_tiny_unify` and `lure_tiny_fusion`. The crops are of scenes at 0.15 to 0.8 of their size: only so
do 64 pixels show enough of a scene to judge its exposure and contrast, which the network later sees whole.
"""

from ml_collections import ConfigDict

from configs import lure


def get_config() -> ConfigDict:
    """Return stage 1 with the tiny network and a short run."""
    config = lure.tiny(lure.get_config())
    config.steps = 1200
    config.data.batch_size = 4
    config.data.crop = 64
    config.data.scale = (0.15, 0.8)
    config.data.num_threads = 2
    config.data.val_limit = 30
    config.task.val_scale = 0.3  # in the middle of the scales of training; at full size it would take longer
    # Contrast is learned last, being the smallest error; SR hardly at all by a network of this size.
    config.task.shares = (4.0, 0.3, 2.5, 1.3, 1.3)
    config.task.clean_infrared = 0.0
    config.task.alpha_unified = 5.0
    config.ema_decay = 0.99
    config.optimizer.learning_rate = 2e-3
    config.optimizer.final_learning_rate = 1e-5
    config.optimizer.warmup_steps = 50
    config.optimizer.b2 = 0.99
    config.log_every = 25
    config.eval_every = 400
    config.images_every = 1200
    config.checkpoint_every = 400
    return config
