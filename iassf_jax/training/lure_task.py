"""What LURE trains for: restoration in a latent space first, then fusion in it (Ma et al., arXiv 2503.07033).

    lure_restoration  stage 1: image encoder, text head and decoder, on pairs degraded on the device
    lure_fusion       stage 2: fusion and decoder, on clean pairs of both modalities
    lure_joint        both at once, the ablation "Single Stage"

The three take "visible_clear" and "infrared" of a batch as clean images; hazy ones are never read. Stage 1
also takes real pairs of manifests, see `data_pipelines.restoration_pairs`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from data_pipelines.cropping import resize_images
from data_pipelines.degradations import DEGRADATIONS, restoration_pairs
from data_pipelines.haze.draws import uniforms
from data_pipelines.restoration_pairs import TASKS as PAIR_TASKS
from iassf_jax.core.errors import ConfigError
from iassf_jax.evaluation.degraded_scenes import Degrader
from iassf_jax.losses import lure_fusion_loss, lure_restoration_loss
from iassf_jax.metrics import MeanRecord
from iassf_jax.models.lure import Lure
from iassf_jax.text import CLEAN, class_names
from iassf_jax.training.lure_options import (
    LureOptions,
    degradations,
    perceptual_term,
    prompt_banks,
    read_options,
)
from iassf_jax.training.lure_pairs import thermal_of_pairs, with_given
from iassf_jax.training.lure_probe import LatentProbe

Images = Mapping[str, Any]
Records = dict[str, MeanRecord]
Scalars = dict[str, Float[Array, ""]]

_ENCODERS = ("image_encoder", "text_head")  # what stage 1 has learned and stage 2 keeps


class _LureTask:
    """What the three tasks share: options, prompts in numbers, and degraded scenes for the validation."""

    makes_hazy = True
    loss_names: tuple[str, ...] = ()

    def __init__(self, model: Lure, options: LureOptions, *, seed: int = 0):
        self._model, self._options = model, options
        self._names, self._shares = degradations(options)
        classes = class_names(split_sr=model.split_sr)
        self._clean = classes.index(CLEAN)
        of_names = [name if name in classes else name[:2] for name in self._names]
        # The last one stands for images that are left as they are.
        self._labels = np.array([*map(classes.index, of_names), self._clean], np.int32)
        self._bank, self._held_out = prompt_banks(model, options)
        self._degrader = Degrader(seed=seed, haze=options.haze)

    def _sentence(self, key: Key[Array, ""], images: Images, label: Array, purpose: str) -> Array:
        """Draw one of the prompts of each example's class and return its vector, [b s]."""
        keys = jax.vmap(lambda example: jax.random.fold_in(key, example))(_examples(images))
        number = uniforms(keys, (purpose,))[purpose] * jnp.asarray(self._bank.counts, jnp.float32)[label]
        # The product of a float32 just below 1 may round up to the number of prompts.
        last = jnp.asarray(self._bank.counts)[label] - 1
        return jnp.asarray(self._bank.features)[label, jnp.minimum(number.astype(jnp.int32), last)]

    def _scenes(self, examples: Iterable[Images], names: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield every example with each degradation at its middle strength; the same at every validation."""
        for example in (_shown(example, self._options) for example in examples):
            for name in names:
                infrared = DEGRADATIONS[name].modality == 1
                clean = example["infrared"] if infrared else example["visible_clear"]
                made = self._degrader.image(example["name"], clean, name)
                told = self._told(self._labels[self._names.index(name)], infrared=infrared)
                yield {
                    **example,
                    "name": f"{example['name']} {name}",
                    "visible_hazy": np.broadcast_to(made, (*clean.shape[:2], 3)),
                    "visible_clear": np.broadcast_to(clean, (*clean.shape[:2], 3)),
                    **told,
                }

    def _told(self, label: np.int32, *, infrared: bool) -> dict[str, Any]:
        """What a scene of the validation is of, in numbers and in words that no training has seen."""
        return {
            "label": label,
            "modality": np.int32(infrared),
            "text": self._held_out.features[label, 0],
            "text_clean": self._held_out.features[self._clean, 0],
        }


class LureRestoration(_LureTask):
    """Stage 1: a degraded image of either modality is restored, and its latents become the clean one's.

    In a batch, "visible_hazy" becomes the degraded and "visible_clear" the clean image of the pair, of
    whichever modality. The validation shows the reconstruction of the clean image as "fused".
    """

    loss_names: tuple[str, ...] = ("total", "task", "unified", "recon", "text")

    def __init__(self, model: Lure, options: LureOptions, *, seed: int = 0):
        super().__init__(model, options, seed=seed)
        self._probe = LatentProbe(model)
        self.pair_tasks: tuple[str, ...] = self._names
        # Of every task of manifests the position in the names; a clean image is behind the last one.
        places = {name: place for place, name in enumerate((*self._names, CLEAN))}
        self._places = np.array([places.get(name, -1) for name in PAIR_TASKS], np.int32)

    def prepare(self, key: Key[Array, ""], images: Images) -> tuple[dict[str, Any], Records]:
        """Degrade one modality of every example and describe it, and its clean image, in words."""
        given = images.get("pair")
        pairs = restoration_pairs(
            key,
            images["visible_clear"],
            images["infrared"] if given is None else thermal_of_pairs(given, images),
            names=self._names,
            shares=self._shares,
            examples=images.get("example"),
            chosen=None if given is None else self._chosen(given),
            untouched=self._options.clean_infrared,
            haze=self._options.haze,
            depth=images.get("depth"),
        )
        if given is not None:
            pairs = with_given(pairs, given, images)
        label = jnp.asarray(self._labels)[pairs.degradation]
        made = {
            "visible_hazy": pairs.degraded,
            "visible_clear": pairs.clean,
            "label": label,
            "modality": pairs.modality,
            "text": self._sentence(key, images, label, "prompt"),
            "text_clean": self._sentence(key, images, jnp.full_like(label, self._clean), "clean prompt"),
        }
        error = jnp.abs(pairs.degraded - pairs.clean).mean(axis=(1, 2, 3))
        return {**images, **made}, {"degradation/error": MeanRecord.from_values(error, images.get("mask"))}

    def apply(self, params: Any, images: Images) -> dict[str, Array]:
        """Restore the degraded image and reconstruct the clean one."""
        # Degraded and clean images go through encoder and decoder as one batch.
        both, text, modality = (
            jnp.concatenate([images[a], images[b]])
            for a, b in (("visible_hazy", "visible_clear"), ("text", "text_clean"), ("modality", "modality"))
        )
        made: Any = self._model.apply({"params": params}, both, text, modality, method="restore")
        count = images["visible_hazy"].shape[0]
        restored, reconstructed = made["restored"][:count], made["restored"][count:]
        latents = {f"latent_{i}": z[:count] for i, z in enumerate(made["latents"], start=1)}
        latents |= {f"latent_clean_{i}": z[count:] for i, z in enumerate(made["latents"], start=1)}
        return {
            "restored": restored,
            "reconstructed": reconstructed,
            "fused": reconstructed,
            "haze_density": jnp.zeros(restored.shape[:3], jnp.float32),
            "logits": made["logits"][:count],
            "logits_clean": made["logits"][count:],
            **latents,
        }

    def loss(self, outputs: Images, images: Images, alpha: Float[Array, ""]) -> Scalars:
        """Return the losses of stage 1; their weights are the task's own, `alpha` has no part."""
        o = self._options
        return lure_restoration_loss(
            outputs,
            images,
            clean_class=self._clean,
            alpha_unified=o.alpha_unified,
            alpha_recon=o.alpha_recon,
            alpha_text=o.alpha_text,
            alpha_task_grad=o.alpha_task_grad,
            gamma=o.gamma,
            unified_detach_pd=o.unified_detach_pd,
        )

    def examples(self, examples: Iterable[Images]) -> Iterator[Images]:
        for example in examples:
            if "pair" in example and example["pair"][0] >= 0:
                yield self._pair(example)
            else:
                yield from self._scenes([example], self._names)

    def _chosen(self, given: Array) -> Array:
        return jnp.where(given[:, 0] < 0, -1, jnp.asarray(self._places)[given[:, 0]])

    def _pair(self, example: Images) -> dict[str, Any]:
        """A real pair for the validation; degraded at the middle strength where it has no such image."""
        example = _shown(example, self._options)
        task, infrared, given = (int(number) for number in example["pair"])
        degraded, clean = example["visible_hazy"], example["visible_clear"]
        if not given and PAIR_TASKS[task] != CLEAN:
            source = example["infrared"] if infrared else clean
            made = self._degrader.image(example["name"], source, PAIR_TASKS[task])
            degraded = np.broadcast_to(made, clean.shape)
        told = self._told(self._labels[self._places[task]], infrared=bool(infrared))
        return {**example, "visible_hazy": degraded, **told}

    def overall(self, params: Any, examples: Iterable[Images]) -> dict[str, float]:
        """Return numbers of a validation that are no means over its scenes: the probes of the latents.

        Args:
          params: of the network.
          examples: as `examples` returns them.
        """
        return self._probe(params, examples)


class LureFusion(_LureTask):
    """Stage 2: clean pairs are fused; the validation fuses what the visible degradations leave.

    `frozen` keeps gradients from image encoder and text head, whose backward pass is then left out; without
    `optimizer.rates` of 0 for them the weight decay would still move them.
    """

    def __init__(self, model: Lure, options: LureOptions, *, seed: int = 0, frozen: bool = True):
        super().__init__(model, options, seed=seed)
        self._frozen = _ENCODERS if frozen else ()
        self._perceptual = perceptual_term(options)
        weighted = {"perceptual": options.alpha_per, "intensity": options.alpha_int}
        self.loss_names = ("total", "color", "gradient", *(name for name, w in weighted.items() if w))

    def prepare(self, key: Key[Array, ""], images: Images) -> tuple[dict[str, Any], Records]:
        clean = jnp.full(images["infrared"].shape[:1], self._clean, jnp.int32)
        made = {
            "visible_hazy": images["visible_clear"],
            "text": self._sentence(key, images, clean, "prompt"),
            "text_clean": self._sentence(key, images, clean, "clean prompt"),
        }
        return {**images, **made}, {}

    def apply(self, params: Any, images: Images) -> dict[str, Array]:
        fixed = {part: jax.lax.stop_gradient(params[part]) for part in self._frozen}
        outputs: Any = self._model.apply(
            {"params": {**params, **fixed}},
            images["visible_hazy"],
            images["infrared"],
            text_visible=images["text"],
            text_infrared=images["text_clean"],
        )
        return outputs

    def loss(self, outputs: Images, images: Images, alpha: Float[Array, ""]) -> Scalars:
        o = self._options
        return lure_fusion_loss(
            outputs,
            images,
            alpha_grad=o.alpha_grad,
            alpha_per=o.alpha_per,
            alpha_int=o.alpha_int,
            brightest=o.brightest,
            perceptual=self._perceptual,
        )

    def examples(self, examples: Iterable[Images]) -> Iterator[Images]:
        visible = [name for name in self._names if DEGRADATIONS[name].modality == 0]
        return self._scenes(examples, visible)


class LureJoint(LureRestoration):
    """Both losses on every batch, nothing frozen (the ablation "Single Stage")."""

    def __init__(self, model: Lure, options: LureOptions, *, seed: int = 0):
        super().__init__(model, options, seed=seed)
        self.pair_tasks = ()  # what is fused must be two aligned images
        self._fusion = LureFusion(model, options, seed=seed, frozen=False)
        self.loss_names = (*LureRestoration.loss_names, *self._fusion.loss_names[1:])

    def prepare(self, key: Key[Array, ""], images: Images) -> tuple[dict[str, Any], Records]:
        made, drawn = super().prepare(key, images)
        return {**made, "visible_source": images["visible_clear"]}, drawn

    def apply(self, params: Any, images: Images) -> dict[str, Array]:
        restored = super().apply(params, images)
        clean = {**images, "visible_hazy": _source(images), "text": images["text_clean"]}
        return {**restored, "fused": self._fusion.apply(params, clean)["fused"]}

    def loss(self, outputs: Images, images: Images, alpha: Float[Array, ""]) -> Scalars:
        restoration = super().loss(outputs, images, alpha)
        fusion = self._fusion.loss(outputs, {**images, "visible_clear": _source(images)}, alpha)
        return {**fusion, **restoration, "total": restoration["total"] + fusion["total"]}

    def examples(self, examples: Iterable[Images]) -> Iterator[Images]:
        for example in examples:
            source = _shown(example, self._options)["visible_clear"]
            for scene in super().examples([example]):
                yield {**scene, "visible_source": source}


def lure_task(kind: type[_LureTask], model: Any, config: Mapping[str, Any]) -> Any:
    """Return a task of a whole configuration: its "task" and "seed".

    Raises:
      ConfigError: another network than LURE, or options that are missing, unknown or impossible.
      CheckpointError: files of the text or of the VGG-16 are missing or damaged.
    """
    if not isinstance(model, Lure):
        raise ConfigError(f"config.task.name is for the network lure, not for {config['model']['name']}")
    return kind(model, read_options(config["task"]), seed=config["seed"])


def _examples(images: Images) -> Array:
    return images.get("example", jnp.arange(images["infrared"].shape[0]))


def _shown(example: Images, options: LureOptions) -> Images:
    """Return what is validated on: an example's images at `val_scale`, their middle of `val_side` pixels."""
    if options.val_scale < 1:
        height, width = (max(1, round(options.val_scale * side)) for side in example["infrared"].shape[:2])
        example = resize_images(dict(example), (height, width))
    return _middle(example, options.val_side) if options.val_side else example


def _middle(example: Images, side: int) -> Images:
    images = {key: example[key] for key in ("visible_clear", "visible_hazy", "infrared") if key in example}
    height, width = example["infrared"].shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return {**example, **{key: x[top : top + side, left : left + side] for key, x in images.items()}}


def _source(images: Images) -> Array:
    """The visible image itself, which the pair may be of or not."""
    return images["visible_source"]


LURE_TASKS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "lure_restoration": lambda model, config: lure_task(LureRestoration, model, config),
    "lure_fusion": lambda model, config: lure_task(LureFusion, model, config),
    "lure_joint": lambda model, config: lure_task(LureJoint, model, config),
}
