"""A small LURE, stage 2, for two CPU cores and a few minutes.

    iassf train --config configs/lure_tiny_fusion.py --workdir runs/lure_tiny_fusion \\
        --config.init_from=runs/lure_tiny_unify --config.data.train=DATA/train --config.data.val=DATA/val
"""

from ml_collections import ConfigDict

from configs import lure_fusion, lure_tiny


def get_config() -> ConfigDict:
    """Return stage 2 with the tiny network and a short run."""
    config = lure_fusion.fusion(lure_tiny.get_config())
    config.task.val_scale = 0.3
    # Aiming at the brighter source costs PSNR and SSIM against the rule, aiming at the mean costs SCD.
    config.task.brightest = 0.3
    config.task.alpha_int = 2.0
    config.steps = 300
    config.data.batch_size = 4
    config.data.crop = 64
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 20
    config.eval_every = config.images_every = 300
    config.checkpoint_every = 100
    return config
