"""What a network makes of a batch, and how good each image of it is; inside jitted functions."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from data_pipelines.augment import to_float
from iassf_jax.losses import iassf_loss
from iassf_jax.metrics import psnr, ssim

RESTORATION = ("restored_psnr", "restored_ssim", "input_psnr", "input_ssim")
LOSSES = ("loss/total", "loss/intensity", "loss/gradient", "loss/restoration")
METRICS = (*RESTORATION, *LOSSES)

Values = dict[str, Float[Array, " b"]]
Images = dict[str, UInt8[Array, "..."]]


def make_measure(
    model: nn.Module, *, loss_options: Mapping[str, Any]
) -> Callable[[Any, Mapping[str, Any], Float[Array, ""]], tuple[Values, Images]]:
    """Return `measure(params, batch, alpha)`, a pure function to be compiled by the caller.

    The batch has "visible_hazy", "visible_clear" and "infrared", uint8 [b h w c]; other entries are ignored.
    The result is (value of each of `METRICS` for each image, the uint8 images "restored", "fused" [b h w 3]
    and "haze density" [b h w]). No value of an image depends on the other images of its batch.
    """

    def measure(params: Any, batch: Mapping[str, Any], alpha: Float[Array, ""]) -> tuple[Values, Images]:
        images = to_float({name: batch[name] for name in ("visible_hazy", "visible_clear", "infrared")})
        hazy, clear = images["visible_hazy"], images["visible_clear"]
        outputs: Any = model.apply({"params": params}, hazy, images["infrared"])
        restored = jnp.clip(outputs["restored"], 0.0, 1.0)
        losses = _losses_of_each(outputs, images, alpha=alpha, **loss_options)
        values = {
            "restored_psnr": psnr(restored, clear),
            "restored_ssim": ssim(restored, clear),
            "input_psnr": psnr(hazy, clear),
            "input_ssim": ssim(hazy, clear),
            **{f"loss/{name}": value for name, value in losses.items()},
        }
        shown = {"restored": restored, "fused": outputs["fused"], "haze density": outputs["haze_density"]}
        return values, {name: to_uint8(image) for name, image in shown.items()}

    return measure


def to_uint8(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
    """Return values clipped to [0,1] as 8 bits; 1 becomes 255."""
    return jnp.round(jnp.clip(image, 0.0, 1.0) * 255.0).astype(jnp.uint8)


def _losses_of_each(outputs: Mapping[str, Any], images: Mapping[str, Any], **options: Any) -> Values:
    """Return the losses image by image: each is the loss of a batch of that image alone."""
    needed = {name: images[name] for name in ("visible_clear", "infrared")}
    made = {name: outputs[name] for name in ("fused", "restored")}

    def one(made: Any, needed: Any) -> dict[str, Float[Array, ""]]:
        alone = jax.tree.map(lambda image: image[None], (made, needed))
        return iassf_loss(*alone, **options)

    return jax.vmap(one)(made, needed)
