"""From stored bytes to the networks' value range."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp


def to_float(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the batch with every uint8 array as float32 in [0,1]; 255 becomes 1. Other entries stay."""
    return {
        name: jnp.asarray(value).astype(jnp.float32) / 255.0
        if getattr(value, "dtype", None) == jnp.uint8
        else value
        for name, value in batch.items()
    }
