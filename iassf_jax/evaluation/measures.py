"""What a network makes of a batch, and how good each image of it is; inside jitted functions."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from data_pipelines.augment import to_float
from iassf_jax.metrics import psnr, ssim

RESTORATION = ("restored_psnr", "restored_ssim", "input_psnr", "input_ssim")

Values = dict[str, Float[Array, " b"]]
Images = dict[str, UInt8[Array, "..."]]


@runtime_checkable
class Objective(Protocol):
    """What a network makes of a batch and what it is trained towards; `training.task` has them."""

    loss_names: tuple[str, ...]  # keys of `loss`, in the order in which they are shown

    def apply(self, params: Any, images: Mapping[str, Any]) -> dict[str, Array]:
        """Return the network's outputs for a float batch."""

    def loss(
        self, outputs: Mapping[str, Array], images: Mapping[str, Any], alpha: Float[Array, ""]
    ) -> dict[str, Float[Array, ""]]:
        """Return scalars, means over the valid images of the batch."""


def metric_names(objective: Objective) -> tuple[str, ...]:
    """Return what a validation measures: the restoration, and the losses as "loss/..."."""
    return (*RESTORATION, *(f"loss/{name}" for name in objective.loss_names))


def make_measure(
    objective: Objective,
) -> Callable[[Any, Mapping[str, Any], Float[Array, ""]], tuple[Values, Images]]:
    """Return `measure(params, batch, alpha)`, a pure function to be compiled by the caller.

    The batch has "visible_hazy", "visible_clear" and "infrared", uint8 [b h w c], and what else the objective
    needs. The result is (value of each of `metric_names` for each image, the uint8 images "restored", "fused"
    [b h w 3] and "haze density" [b h w]). No value of an image depends on the other images of its batch.
    """

    def measure(params: Any, batch: Mapping[str, Any], alpha: Float[Array, ""]) -> tuple[Values, Images]:
        images = to_float({name: value for name, value in batch.items() if name != "mask"})
        hazy, clear = images["visible_hazy"], images["visible_clear"]
        outputs = objective.apply(params, images)
        restored = jnp.clip(outputs["restored"], 0.0, 1.0)
        values = {
            "restored_psnr": psnr(restored, clear),
            "restored_ssim": ssim(restored, clear),
            "input_psnr": psnr(hazy, clear),
            "input_ssim": ssim(hazy, clear),
        }
        losses = _losses_of_each(objective, outputs, images, alpha)
        shown = {"restored": restored, "fused": outputs["fused"], "haze density": outputs["haze_density"]}
        return values | losses, {name: to_uint8(image) for name, image in shown.items()}

    return measure


def to_uint8(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
    """Return values clipped to [0,1] as 8 bits; 1 becomes 255."""
    return jnp.round(jnp.clip(image, 0.0, 1.0) * 255.0).astype(jnp.uint8)


def _losses_of_each(
    objective: Objective, outputs: Mapping[str, Array], images: Mapping[str, Any], alpha: Float[Array, ""]
) -> Values:
    """Return the losses image by image: each is the loss of a batch of that image alone."""

    def one(outputs: Any, images: Any) -> dict[str, Float[Array, ""]]:
        alone = jax.tree.map(lambda value: value[None], (outputs, images))
        losses = objective.loss(alone[0], alone[1], alpha)
        return {f"loss/{name}": losses[name] for name in objective.loss_names}

    count = images["visible_clear"].shape[0]
    of_images = {name: value for name, value in outputs.items() if value.shape[:1] == (count,)}
    return jax.vmap(one)(of_images, images)
