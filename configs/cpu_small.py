"""A reduced `iassf_released` for two CPU cores and a quarter of an hour.

    iassf train --config configs/cpu_small.py --workdir runs/cpu_small --config.data.train=DATA/train \\
        --config.data.val=DATA/val

Meant for a few hundred 480x640 triplets. Far smaller than the released network, except for a wider fusion
network, without which it takes long to learn colours; with a higher rate, no decay of biases and norms, and
crops small enough for many steps. On 231 triplets of MSRS with the released haze the 30 validation images are
restored at 25 dB and SSIM 0.81 after 1000 steps (hazy input: 6.8 dB, 0.38).
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the default tree with a small network and a short run."""
    config = default.get_config()
    config.model = default.released_model()
    config.model.embed_dims = (16, 24, 32, 24, 16)
    config.model.depths = (1, 1, 2, 1, 1)
    config.model.num_heads = (2, 2, 2, 1, 1)
    config.model.attn_ratios = (0.0, 1.0, 1.0, 0.0, 0.0)
    config.model.mlp_ratios = (2.0, 2.0, 2.0, 2.0, 2.0)
    config.model.prompt_size = 32
    config.model.fusion_width = 12
    config.model.fusion_prompt_size = 32
    config.model.num_fusion_blocks = 3

    config.steps = 1000
    config.data.batch_size = 4
    config.data.crop = 96
    config.data.num_threads = 2

    config.optimizer.learning_rate = 2e-3
    config.optimizer.final_learning_rate = 1e-5
    config.optimizer.warmup_steps = 50
    config.optimizer.decay = "kernels"
    config.optimizer.b2 = 0.99

    config.log_every = 25
    config.eval_every = 500
    config.images_every = 500
    config.checkpoint_every = 250
    return config
