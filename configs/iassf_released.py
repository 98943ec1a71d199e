"""The network of the released code with the released recipe.

    iassf train --config configs/iassf_released.py --workdir runs/iassf_released \\
        --config.data.train=DATA/train --config.data.val=DATA/val

Whole images brought to 256x256, losses on [-1,1], rate changed once per epoch over 301 epochs, weight decay
on every parameter, no clipping. `hold_steps` and `steps` are for the 1083 pairs of MSRS in batches of 6: an
epoch is 180 steps.
"""

from ml_collections import ConfigDict

from configs import default

STEPS_PER_EPOCH = 180
EPOCHS = 301


def get_config() -> ConfigDict:
    """Return the default tree with the released network and recipe."""
    config = default.get_config()
    config.model = default.released_model()
    config.steps = STEPS_PER_EPOCH * EPOCHS
    config.loss.signed = True
    config.data.resize = (256, 256)
    config.optimizer.hold_steps = STEPS_PER_EPOCH
    config.optimizer.rates = (("^dehaze/", 1.0), ("^fusion/", 1.0))  # two optimizers
    config.optimizer.clip_norm = None
    return config
