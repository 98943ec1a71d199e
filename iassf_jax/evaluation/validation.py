"""How good a network is on a folder of triplets: restoration against the clear image, and the losses."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from data_pipelines.augment import to_float
from iassf_jax.core.errors import InputError
from iassf_jax.losses import iassf_loss
from iassf_jax.metrics import MeanRecord, psnr, ssim

METRICS = (
    "restored_psnr",
    "restored_ssim",
    "input_psnr",
    "input_ssim",
    "loss/total",
    "loss/intensity",
    "loss/gradient",
    "loss/restoration",
)


@dataclasses.dataclass(frozen=True)
class Validation:
    """Means over all scenes, and pictures of the first ones.

    `metrics` has the entries of `METRICS`: PSNR (dB) and SSIM of the restored and of the hazy image against
    the clear one, losses as in training. `pictures`: per scene its name and uint8
    images "hazy", "infrared", "restored", "fused", "haze density", "clear".
    """

    metrics: dict[str, float]
    pictures: list[dict[str, Any]]


class Validator:
    """Validates parameters of one network; the network is compiled once for each image size.

    Args:
      model: the network.
      loss_options: keyword options of `iassf_loss`.
    """

    def __init__(self, model: nn.Module, *, loss_options: Mapping[str, Any]):
        self._measure = jax.jit(_measure(model, loss_options))

    def __call__(
        self,
        params: Any,
        examples: Iterable[Mapping[str, Any]],
        *,
        alpha: float,
        num_pictures: int = 0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Validation | None:
        """Run over `examples` (see `data_pipelines.folder.evaluation_examples`), one at a time at full size.

        `should_stop` is asked before every image; where it says yes, the validation is given up: None.

        Raises:
          InputError: no examples.
        """
        records: dict[str, MeanRecord] = {}
        pictures: list[dict[str, Any]] = []
        device_alpha = jnp.asarray(alpha, jnp.float32)
        for example in examples:
            if should_stop():
                return None
            batch = {key: value[None] for key, value in example.items() if key != "name"}
            measured, images = self._measure(params, batch, device_alpha)
            # The host does not run ahead of the device, so that a stop is noticed at once.
            jax.block_until_ready(images)
            records = {k: records[k].merge(r) if k in records else r for k, r in measured.items()}
            if len(pictures) < num_pictures:
                pictures.append(_picture(example, images))
        if not records:
            raise InputError("there are no images to validate on")
        return Validation({key: float(records[key].result()) for key in METRICS}, pictures)


def _measure(model: nn.Module, loss_options: Mapping[str, Any]) -> Callable[..., tuple[dict, dict]]:
    def measure(
        params: Any, batch: Mapping[str, Array], alpha: Float[Array, ""]
    ) -> tuple[dict[str, MeanRecord], dict[str, UInt8[Array, "..."]]]:
        images = to_float(batch)
        hazy, clear = images["visible_hazy"], images["visible_clear"]
        outputs: Any = model.apply({"params": params}, hazy, images["infrared"])
        restored = jnp.clip(outputs["restored"], 0.0, 1.0)
        losses = iassf_loss(outputs, images, alpha=alpha, **loss_options)
        values = {
            "restored_psnr": psnr(restored, clear),
            "input_psnr": psnr(hazy, clear),
            "restored_ssim": ssim(restored, clear),
            "input_ssim": ssim(hazy, clear),
            **{f"loss/{name}": value[None] for name, value in losses.items()},
        }
        shown = {"restored": restored, "fused": outputs["fused"], "haze density": outputs["haze_density"]}
        return (
            {name: MeanRecord.from_values(value) for name, value in values.items()},
            {name: _to_uint8(image[0]) for name, image in shown.items()},
        )

    return measure


def _to_uint8(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
    return jnp.round(jnp.clip(image, 0.0, 1.0) * 255.0).astype(jnp.uint8)


def _picture(example: Mapping[str, Any], images: Mapping[str, Array]) -> dict[str, Any]:
    restored, fused, density = (np.asarray(images[name]) for name in ("restored", "fused", "haze density"))
    return {
        "name": example["name"],
        "hazy": example["visible_hazy"],
        "infrared": example["infrared"],
        "restored": restored,
        "fused": fused,
        "haze density": density,
        "clear": example["visible_clear"],
    }
