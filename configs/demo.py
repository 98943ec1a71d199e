"""What `iassf demo` trains: the small CPU network on small generated scenes, a minute or two on two cores.

iassf demo --output demo_output
"""

from ml_collections import ConfigDict

from configs import cpu_small


def get_config() -> ConfigDict:
    """Return the small CPU setting with a short run; `iassf demo` fills in the folders."""
    config = cpu_small.get_config()
    config.steps = 360
    config.data.batch_size = 4
    config.data.crop = 64
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 20
    config.log_every = 25
    config.eval_every = 360
    config.images_every = 360
    config.checkpoint_every = 360
    return config
