"""A small released checkpoint, made here: every kind of parameter with random values."""

from typing import Any

import numpy as np
import pytest

from iassf_jax.checkpoints.released_names import BUFFER, relative_positions
from iassf_jax.checkpoints.released_structure import released_shapes

FIELDS: dict[str, Any] = {
    "embed_dims": (4, 8, 12, 8, 4),
    "depths": (1, 2, 3, 1, 1),
    "num_heads": (2, 4, 3, 1, 1),
    "attn_ratios": (1.0, 0.5, 1 / 3, 0.0, 0.0),
    "mlp_ratios": (2.0, 3.5, 1.25, 2.0, 4.0),
    "prompt_heads": 2,
    "prompt_size": 6,
    "fusion_width": 2,
    "fusion_prompt_size": 5,
    "num_prompts": 3,
    "num_fusion_blocks": 5,
    "window": 8,
}


@pytest.fixture
def released_model_fields() -> dict[str, Any]:
    return dict(FIELDS)


@pytest.fixture
def released_groups() -> dict[str, dict[str, np.ndarray]]:
    """The two state dicts of a released checkpoint, in the order of the file."""
    return random_groups(FIELDS)


def random_groups(fields: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(7)
    return {
        f"{network}_network_state_dict": {
            name: relative_positions(fields["window"])
            if name.endswith(BUFFER)
            else rng.standard_normal(shape, dtype=np.float32)
            for name, shape in shapes.items()
        }
        for network, shapes in released_shapes(fields).items()
    }


@pytest.fixture
def make_groups():
    """The function that makes the state dicts for other fields."""
    return random_groups
