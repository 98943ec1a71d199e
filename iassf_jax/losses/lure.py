"""The losses of LURE's two training stages (Ma et al., arXiv 2503.07033, Eqs. 4 and 7)."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.losses.lure_terms import (
    PerImage,
    absolute_error,
    color_error,
    edge_error,
    fused_edge_error,
    intensity_error,
    masked_mean,
    required,
    similarity,
)

Scalars = dict[str, Float[Array, ""]]
Perceptual = Callable[[Array, Array, Array], PerImage]
"""(fused, visible, infrared) -> a value for each image; see `losses.vgg`."""


def lure_restoration_loss(
    outputs: Mapping[str, Any],
    batch: Mapping[str, Any],
    *,
    clean_class: int,
    alpha_unified: float = 0.1,
    alpha_recon: float = 1.0,
    alpha_text: float = 0.1,
    alpha_task_grad: float = 0.1,
    gamma: str = "cos_pixel",
    unified_detach_pd: bool = False,
) -> Scalars:
    """Return the loss of stage 1 and its parts, masked means over the images (Eq. 4).

    task: error of the restored image and, times `alpha_task_grad`, of its edges.
    unified: 1 - similarity of the latents of the degraded and of the clean image, mean over the levels; it
      makes the latents forget the degradation.
    recon: error of the clean image, encoded as clean and decoded.
    text: cross entropy of the tasks that the two descriptions name.
    total = task + alpha_unified unified + alpha_recon recon + alpha_text text.

    Args:
      outputs: "restored", "reconstructed" [b h w 3]; "latent_i" and "latent_clean_i" for i = 1, 2, ...;
        "logits" and "logits_clean" [b n].
      batch: "visible_clear" [b h w 3], the clean image of whichever modality; "label" [b], the class of the
        degradation; perhaps "mask" [b].
      clean_class: class of an image with nothing wrong.
      gamma: the similarity, see `lure_terms.similarity`.
      unified_detach_pd: the clean image's latents are a fixed target.

    Raises:
      InputError: entries that are missing or do not fit, or an unknown `gamma`.
    """
    restored, reconstructed, logits, clean_logits = required(
        outputs, "restored", "reconstructed", "logits", "logits_clean"
    )
    target, label = required(batch, "visible_clear", "label")
    parts = {
        "task": absolute_error(restored, target) + alpha_task_grad * edge_error(restored, target),
        "unified": _disagreement(outputs, gamma=gamma, detach=unified_detach_pd),
        "recon": absolute_error(reconstructed, target),
        "text": 0.5
        * (_cross_entropy(logits, label) + _cross_entropy(clean_logits, jnp.full_like(label, clean_class))),
    }
    means = {name: masked_mean(values, batch) for name, values in parts.items()}
    total = (
        means["task"]
        + alpha_unified * means["unified"]
        + alpha_recon * means["recon"]
        + alpha_text * means["text"]
    )
    return {"total": total, **means}


def lure_fusion_loss(
    outputs: Mapping[str, Any],
    batch: Mapping[str, Any],
    *,
    alpha_grad: float = 1.0,
    alpha_per: float = 0.0,
    alpha_int: float = 1.0,
    brightest: float = 1.0,
    perceptual: Perceptual | None = None,
) -> Scalars:
    """Return the loss of stage 2 and its parts, masked means over the images (Eq. 7).

    color: error of the colour differences against the visible image.
    gradient: error of the luma's edges against the stronger of the sources'.
    perceptual: distance of deep features from both sources, weighted by how much each has to tell.
    intensity: error against a brightness between the brighter source at each pixel and the mean of both, see
      `lure_terms.intensity_error`; not in the paper, where nothing but the perceptual term holds the
      brightness.
    total = color + alpha_grad gradient + alpha_per perceptual + alpha_int intensity; a part of weight 0 is
    not computed.

    Args:
      outputs: "fused" [b h w 3].
      batch: "visible_clear" [b h w 3] and "infrared" [b h w 1 or 3], clean; perhaps "mask" [b].
      brightest: intensity: 1 aims at the brighter source, 0 at the mean of both.
      perceptual: needed unless `alpha_per` is 0.

    Raises:
      InputError: entries that are missing or do not fit, or a weight without its `perceptual`.
    """
    (fused,) = required(outputs, "fused")
    visible, infrared = required(batch, "visible_clear", "infrared")
    parts = {
        "color": color_error(fused, visible),
        "gradient": fused_edge_error(fused, visible, infrared),
    }
    weights = {"color": 1.0, "gradient": alpha_grad}
    if alpha_per:
        if perceptual is None:
            raise InputError(f"alpha_per is {alpha_per}, but there are no features to compare (see load_vgg)")
        parts["perceptual"], weights["perceptual"] = perceptual(fused, visible, infrared), alpha_per
    if alpha_int:
        parts["intensity"] = intensity_error(fused, visible, infrared, brightest=brightest)
        weights["intensity"] = alpha_int
    means = {name: masked_mean(values, batch) for name, values in parts.items()}
    total = sum((weights[name] * mean for name, mean in means.items()), start=jnp.zeros((), jnp.float32))
    return {"total": total, **means}


def _disagreement(outputs: Mapping[str, Any], *, gamma: str, detach: bool) -> PerImage:
    levels = sum(name.startswith("latent_clean_") for name in outputs)
    terms = []
    for level in range(1, levels + 1):
        latent, clean = required(outputs, f"latent_{level}", f"latent_clean_{level}")
        clean = jax.lax.stop_gradient(clean) if detach else clean
        terms.append(1.0 - similarity(latent, clean, kind=gamma))
    return jnp.stack(terms).mean(axis=0)


def _cross_entropy(logits: Float[Array, "b n"], label: Array) -> PerImage:
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(logs, label[:, None], axis=1)[:, 0]
