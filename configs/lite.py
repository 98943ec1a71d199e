"""`iassf_lite` on two CPU cores: a network for laptops, trained on haze of two kinds made while it trains.

    iassf train --config configs/lite.py --workdir runs/lite --config.data.train=DATA/train \\
        --config.data.val=DATA/val

Whole images at half of MSRS's size, so that the network, which works at 128 pixels, always sees the scene
and its place in it. Hazy files are not needed: half of the haze is the released one, the other half is
`physical`, and a tenth of the inputs stay clear. 2200 steps on 325 pairs of MSRS and RoadScene took 57
minutes on two shared cores and gave 27.6 dB on the 30 validation images of MSRS in the released haze; the
packaged `iassf-lite` went on from there (benchmarks/experiments.md).
"""

from ml_collections import ConfigDict

from configs import cpu_small, default


def get_config() -> ConfigDict:
    """Return the tree of `cpu_small`, optimizer included, with the lite network and whole images."""
    config = cpu_small.get_config()
    config.model = default.lite_model()
    config.steps = 6000
    config.haze = "iassf_released:0.45,physical:0.45,clear:0.1"

    config.data.resize = (240, 320)
    config.data.crop = 0
    config.data.resident = True
    config.data.num_threads = 1
    config.augment.vertical_flip = False  # the ground is below and the sky above, also in the haze

    config.optimizer.warmup_steps = 100
    return config
