"""The functions that are compiled: a network between uint8 images on either side.

`conditions` are a network's further inputs that are the same for all images, such as the vectors of what a
user says of them: one vector [s] each, under the names of the network's `extra_inputs`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt8

from iassf_jax.core.errors import CheckpointError

Visible = UInt8[Array, "b h w 3"]
Infrared = Float[Array, "b h w 1"]
Unit = Float[Array, "b h w 3"]
Conditions = Mapping[str, Float[Array, " s"]]


def check_finite(finite: Bool[np.ndarray, "*any"] | np.bool_) -> None:
    """Check what is said to be finite of a network's results.

    Raises:
        CheckpointError: some of it is not.
    """
    if not np.all(finite):
        raise CheckpointError("the network's result is not finite (NaN or infinite): its weights are damaged")


def fuse_whole(
    model: nn.Module, variables: Any, visible: Visible, infrared: Infrared, conditions: Conditions
) -> dict[str, Array]:
    """Run the network on whole images; return "fused", "restored", "haze_density" in float32, not clipped."""
    outputs = _apply(model, variables, visible, infrared, conditions)
    return {name: _float32(outputs[name]) for name in ("fused", "restored", "haze_density")}


def finish_whole(outputs: dict[str, Array]) -> dict[str, Array]:
    """Turn the results of `fuse_whole` into what leaves the device.

    A program of its own: compiled together, XLA's CPU compiler works the network's last loops out anew for
    each use of their results, which took a quarter of the packaged networks' time.

    Returns:
        "fused" and "restored", uint8 [b h w 3]; "haze_density", float32 [b h w] in [0,1]; "finite", bool [b]:
        whether the network's results were finite, which uint8 does not show.
    """
    fused, restored = outputs["fused"], outputs["restored"]
    return {
        "fused": _quantise(fused),
        "restored": _quantise(restored),
        "haze_density": jnp.clip(outputs["haze_density"], 0.0, 1.0),
        "finite": _finite(fused) & _finite(restored),
    }


def fuse_tile(
    model: nn.Module,
    variables: Any,
    visible: Visible,
    infrared: Infrared,
    conditions: Conditions,
    density: Float[Array, "b h w"] | None,
) -> tuple[Unit, Unit]:
    """Run the network on tiles with a given haze density; return fused and restored, float32 in [0,1]."""
    outputs = _apply(model, variables, visible, infrared, conditions, haze_density=density)
    return _clip(_float32(outputs["fused"])), _clip(_float32(outputs["restored"]))


def estimate_density(
    model: nn.Module, variables: Any, visible: Visible, infrared: Infrared, conditions: Conditions
) -> Float[Array, "b h w"]:
    """Return the haze density as the network uses it, not clipped; the compiler drops all that follows it."""
    outputs = _apply(model, variables, visible, infrared, conditions)
    return _float32(outputs["haze_density"])


def _apply(
    model: nn.Module,
    variables: Any,
    visible: Visible,
    infrared: Infrared,
    conditions: Conditions,
    **named: Any,
) -> Any:
    shape = (visible.shape[0], 1)
    rows: dict[str, Any] = {name: jnp.tile(vector[None], shape) for name, vector in conditions.items()}
    return model.apply(variables, _to_unit(visible), infrared, **rows, **named)


def _to_unit(image: Visible) -> Unit:
    return image.astype(jnp.float32) / 255.0


def _quantise(image: Unit) -> Visible:
    return jnp.round(_clip(image) * 255.0).astype(jnp.uint8)


def _clip(image: Unit) -> Unit:
    return jnp.clip(image, 0.0, 1.0)


def _float32(image: Float[Array, "..."]) -> Float[Array, "..."]:
    return image.astype(jnp.float32)


def _finite(image: Unit) -> Bool[Array, " b"]:
    return jnp.isfinite(image).all((1, 2, 3))
