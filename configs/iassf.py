"""The network of the paper's text, trained as the paper says (section "Implementation Details").

    iassf train --config configs/iassf.py --workdir runs/iassf --config.data.train=DATA/train \\
        --config.data.val=DATA/val

Meant for one GPU with 24 GB. What the paper leaves open (clipping, weight decay, cosine per step) is chosen
here: clip norm 1.0, weight decay 0.01, a new rate each step.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the default tree: it is this setting."""
    return default.get_config()
