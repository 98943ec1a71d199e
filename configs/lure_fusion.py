"""LURE, stage 2: fusion in the latent space of stage 1, whose encoder stays as it is.

    iassf train --config configs/lure_fusion.py --workdir runs/lure_fusion --config.init_from=runs/lure \\
        --config.data.train=DATA/train --config.data.val=DATA/val

The folders need GT/ and IR/, clean images of both modalities. The decoder learns at a tenth of the rate.
"""

from ml_collections import ConfigDict

from configs import lure


def get_config() -> ConfigDict:
    """Return stage 1's tree with the task and schedule of stage 2."""
    return fusion(lure.get_config())


def fusion(config: ConfigDict) -> ConfigDict:
    """Turn a configuration of stage 1 into that of stage 2."""
    config.task = lure.lure_task("lure_fusion")
    config.steps = 20_000
    config.data.batch_size = 8
    config.data.crop = 192
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 500
    config.optimizer.rates = (("^image_encoder/|^text_head/", 0.0), ("^image_decoder/", 0.1))
    config.eval_every = config.images_every = 2000
    config.checkpoint_every = 1000
    config.best_metric = "loss/total"
    config.best_mode = "min"
    return config
