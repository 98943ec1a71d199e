"""`iassf_lite` on two CPU cores: a network for laptops, trained on several kinds of haze.

    iassf train --config configs/lite.py --workdir runs/lite --config.data.train=DATA/train \\
        --config.data.val=DATA/val

Whole images at a quarter of MSRS's size, so that the network, which works at 64 pixels, always sees the scene
and its place in it. Hazy files are not needed: the haze is the released one, `physical` and `reside_ots`, and
a tenth of the inputs stay clear. The packaged `iassf-lite` came from several runs of this kind, one going on
from the other, of which benchmarks/experiments.md gives commands, times and results.
"""

from ml_collections import ConfigDict

from configs import cpu_small, default


def get_config() -> ConfigDict:
    """Return the tree of `cpu_small`, optimizer included, with the lite network and whole images."""
    config = cpu_small.get_config()
    config.model = default.lite_model()
    config.steps = 6000
    config.haze = "iassf_released:0.38,physical:0.22,reside_ots:0.3,clear:0.1"
    config.ema_decay = 0.998

    config.data.batch_size = 8
    config.data.resize = (120, 160)
    config.data.crop = 0
    config.data.resident = True
    config.data.num_threads = 1
    config.augment.vertical_flip = False  # the ground is below and the sky above, also in the haze
    # A few hundred images are learned by heart without these; the haze is made afterwards.
    config.augment.zoom = 1.6
    config.augment.brightness = 0.15
    config.augment.contrast = 0.12
    config.augment.saturation = 0.25
    config.augment.gamma = 0.15

    config.optimizer.warmup_steps = 100
    return config
