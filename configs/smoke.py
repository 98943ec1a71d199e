"""The smallest network that has every part, for a few steps: tests and `iassf demo`.

iassf train --config configs/smoke.py --workdir runs/smoke --config.data.train=DATA/train
"""

from ml_collections import ConfigDict

from configs import cpu_small


def get_config() -> ConfigDict:
    """Return the small CPU setting cut down to seconds."""
    config = cpu_small.get_config()
    config.model.embed_dims = (8, 8, 8, 8, 8)
    config.model.depths = (1, 1, 1, 1, 1)
    config.model.attn_ratios = (0.0, 0.0, 1.0, 0.0, 0.0)
    config.model.prompt_size = 8
    config.model.fusion_prompt_size = 8
    config.model.num_fusion_blocks = 1
    config.steps = 20
    config.data.batch_size = 2
    config.data.crop = 32
    config.data.num_threads = 0
    config.optimizer.warmup_steps = 0
    config.log_every = 5
    config.eval_every = 10
    config.images_every = 10
    config.checkpoint_every = 10
    config.images_count = 2
    return config
