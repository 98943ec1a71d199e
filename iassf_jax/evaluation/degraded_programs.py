"""A network that is told what is wrong with its images, compiled for uint8 images one at a time."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32, Int, UInt8

from data_pipelines.augment import to_float
from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.degraded_scenes import Condition
from iassf_jax.evaluation.measures import to_uint8
from iassf_jax.inference.programs import check_finite
from iassf_jax.ops.padding import crop
from iassf_jax.text import CLEAN, Description, SentenceEncoder, load_prompts, make_encoder, task_of

Colour = UInt8[np.ndarray, "h w 3"]
Sentences = Mapping[str, Float32[np.ndarray, " s"]]


class DegradedPrograms:
    """Restoration, fusion, and fusion by the rule alone; each size of image is compiled once.

    Args:
      model: a network with the methods of `models.lure.Lure`.
      variables: its parameters.
      rule_variables: parameters with which the rule alone is computed, those of stage 1: stage 2 then starts
        as this. By default the network's own, whose decoder has been trained with the fusion.
      held_out: describe degradations by prompts that no training has seen, not by those that a task's name
        stands for. Only a language model can understand them.
      encoder: makes sentence vectors; by default one of the network's backend that needs no file.
      prompts: folder of prompts; the packaged ones by default.

    Raises:
      InputError: the network is told nothing, or its backend needs an encoder.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        *,
        rule_variables: Mapping[str, Any] | None = None,
        held_out: bool = False,
        encoder: SentenceEncoder | None = None,
        prompts: str | None = None,
    ):
        if not hasattr(model, "restore") or not hasattr(model, "fuse_by_rule"):
            raise InputError(
                f"the network {type(model).__name__} is not told what is wrong with its images; lure is"
            )
        network: Any = model
        self._sentences = task_sentences(
            encoder or make_encoder(network.text_backend, split_sr=network.split_sr),
            held_out=held_out,
            prompts=prompts,
            split_sr=network.split_sr,
        )
        self._variables = jax.device_put(variables)
        self._rule_variables = self._variables if rule_variables is None else jax.device_put(rule_variables)
        self._restore, self._fuse, self._fuse_by_rule = (
            jax.jit(partial(program, model)) for program in (_restore, _fuse, _fuse_by_rule)
        )

    def restore(
        self, image: UInt8[np.ndarray, "h w k"], kind: str, *, infrared: bool
    ) -> tuple[Colour, Float32[np.ndarray, " d"]]:
        """Return an image restored, told its degradation, and the means of its latents.

        Args:
          image: visible with three channels or infrared with one.
          kind: a degradation by its name, "PD" for none.
          infrared: which of the two it is.
        """
        modality = np.array([int(infrared)], np.int32)
        three = np.broadcast_to(image, (*image.shape[:2], 3))
        made = self._restore(self._variables, three[None], self._vector(kind)[None], modality)
        restored, pooled, finite = jax.device_get(made)
        check_finite(finite)
        return restored[0], pooled[0]

    def fuse(self, visible: Colour, infrared: UInt8[np.ndarray, "h w 1"], said: Condition) -> Colour:
        """Return the fused image of a pair of which `said` is said."""
        kinds = (said.visible, said.infrared)
        return self._fused_by(self._fuse, self._variables, visible, infrared, kinds)

    def fuse_by_rule(self, visible: Colour, infrared: UInt8[np.ndarray, "h w 1"]) -> Colour:
        """Return what the rule alone makes of a pair with nothing wrong."""
        kinds = (CLEAN, CLEAN)
        return self._fused_by(self._fuse_by_rule, self._rule_variables, visible, infrared, kinds)

    def _fused_by(
        self,
        program: Any,
        variables: Any,
        visible: Colour,
        infrared: UInt8[np.ndarray, "h w 1"],
        kinds: tuple[str, str],
    ) -> Colour:
        sentences = [self._vector(kind)[None] for kind in kinds]
        fused, finite = jax.device_get(program(variables, visible[None], infrared[None], *sentences))
        check_finite(finite)
        return fused[0]

    def _vector(self, kind: str) -> Float32[np.ndarray, " s"]:
        return self._sentences[kind if kind in self._sentences else task_of(kind).name]


def task_sentences(
    encoder: SentenceEncoder, *, held_out: bool = False, prompts: str | None = None, split_sr: bool = False
) -> Sentences:
    """Return for every class the vector of its first prompt, or of the first that no training has seen."""
    known = load_prompts(prompts, split_sr=split_sr)
    chosen = {
        name: Description(name, (group.validation if held_out else group.training)[0])
        for name, group in known.items()
    }
    return dict(zip(chosen, encoder(list(chosen.values())), strict=True))


def mean_latents(latents: Sequence[Array]) -> Float[Array, "b d"]:
    """Return the means over the pixels of every level's latents, [b h w c] each, one after the other."""
    return jnp.concatenate([z.astype(jnp.float32).mean(axis=(1, 2)) for z in latents], axis=-1)


def latents_at_places(latents: Sequence[Array], *, side: int = 4) -> Float[Array, "b p d"]:
    """Return vectors of single places: `side` x `side` of the coarsest level's pixels, evenly spread.

    Of every finer level, [b h w c], a vector has the means over what the place covers; sides are multiples of
    the coarsest level's.
    """
    rows, columns = latents[-1].shape[1:3]
    cells = [_cell_means(z.astype(jnp.float32), rows, columns) for z in latents]
    chosen = (_spread(rows, side)[:, None], _spread(columns, side)[None, :])
    found = jnp.concatenate([cell[:, *chosen] for cell in cells], axis=-1)
    return found.reshape(found.shape[0], -1, found.shape[-1])


def _cell_means(x: Float[Array, "b h w c"], rows: int, columns: int) -> Float[Array, "b r s c"]:
    b, h, w, c = x.shape
    return x.reshape(b, rows, h // rows, columns, w // columns, c).mean(axis=(2, 4))


def _spread(length: int, count: int) -> np.ndarray:
    """At most `count` positions of `length`, as far from the ends as from each other."""
    count = min(count, length)
    return (2 * np.arange(count) + 1) * length // (2 * count)


def _restore(
    model: Any,
    variables: Any,
    image: UInt8[Array, "b h w 3"],
    sentence: Float[Array, "b s"],
    modality: Int[Array, " b"],
) -> tuple[UInt8[Array, "b h w 3"], Float[Array, "b d"], Array]:
    made = model.apply(variables, _unit(image), sentence, modality, method="restore")
    restored = made["restored"]
    # Infrared images have one channel, however the network writes them.
    gray = jnp.broadcast_to(restored.mean(axis=-1, keepdims=True), restored.shape)
    restored = jnp.where((modality == 1)[:, None, None, None], gray, restored)
    return to_uint8(restored), mean_latents(made["latents"]), jnp.isfinite(restored).all()


def _fuse(
    model: Any,
    variables: Any,
    visible: UInt8[Array, "b h w 3"],
    infrared: UInt8[Array, "b h w 1"],
    text_visible: Float[Array, "b s"],
    text_infrared: Float[Array, "b s"],
) -> tuple[UInt8[Array, "b h w 3"], Array]:
    fused = model.apply(
        variables, _unit(visible), _unit(infrared), text_visible=text_visible, text_infrared=text_infrared
    )["fused"]
    return to_uint8(fused), jnp.isfinite(fused).all()


def _fuse_by_rule(
    model: Any,
    variables: Any,
    visible: UInt8[Array, "b h w 3"],
    infrared: UInt8[Array, "b h w 1"],
    text_visible: Float[Array, "b s"],
    text_infrared: Float[Array, "b s"],
) -> tuple[UInt8[Array, "b h w 3"], Array]:
    outputs = model.apply(
        variables, _unit(visible), _unit(infrared), text_visible=text_visible, text_infrared=text_infrared
    )
    levels = range(1, len(model.widths) + 1)
    sources = (tuple(outputs[f"latent_{name}_{i}"] for i in levels) for name in ("visible", "infrared"))
    latents = model.apply(variables, *sources, method="fuse_by_rule")
    height, width = visible.shape[1:3]
    fused = crop(model.apply(variables, latents, method="decode"), (height, width))
    return to_uint8(fused), jnp.isfinite(fused).all()


def _unit(image: UInt8[Array, "b h w k"]) -> Float[Array, "b h w k"]:
    return to_float({"image": image})["image"]
