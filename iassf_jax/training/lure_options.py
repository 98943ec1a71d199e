"""Options of LURE's training, and what they name: degradations, vectors of prompts, a VGG-16."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from data_pipelines.degradations import DEGRADATIONS
from iassf_jax.core.errors import ConfigError
from iassf_jax.losses.lure import Perceptual
from iassf_jax.losses.vgg import load_vgg
from iassf_jax.models.lure import Lure
from iassf_jax.text import CLEAN, TASKS, UNDERSTANDING, PromptBank, load_prompts, make_bank, make_encoder


@dataclasses.dataclass(frozen=True)
class LureOptions:
    """Every option of the three tasks; a configuration's "task" group has the same, with its own values."""

    # What is learned
    tasks: tuple[str, ...] = ("LC", "SR", "HZ", "OE", "LL")  # degradations
    shares: tuple[float, ...] = ()  # how likely each is, relative to the others; () is all equally
    sr_scales: tuple[int, ...] = (4, 8)  # factors of SR, all equally likely
    clean_infrared: float = 0.1  # share of the pairs that are a clean infrared image and itself
    haze: str = "reside_its"  # recipe or mixture of HZ, see data_pipelines/haze
    # Loss of stage 1
    alpha_unified: float = 0.1  # latents of degraded and clean images agree
    alpha_recon: float = 1.0  # clean images come back
    alpha_text: float = 0.1  # descriptions name their task
    alpha_task_grad: float = 0.1  # edges of the restored image
    gamma: str = "cos_pixel"  # agreement of latents: or "cos_flat", "cc"
    unified_detach_pd: bool = False  # the clean image's latents are a fixed target
    # Loss of stage 2
    alpha_grad: float = 1.0  # edges of the fused image
    alpha_per: float = 0.0  # features of a VGG-16: 4e-5 (caffe) or 0.05 (torchvision)
    alpha_int: float = 1.0  # brightness; the paper has none, but a perceptual term
    brightest: float = 1.0  # what it aims at: 1 the brighter source of each pixel, 0 the mean of both
    vgg_path: str = ""  # .safetensors or .npz of the VGG-16
    vgg_scaling: str = "caffe"  # of the images that it was trained with: or "torchvision"
    # Text; the backend is the network's field text_backend
    text_path: str = ""  # folder of a DistilBERT
    text_cache: str = ""  # file of sentence vectors
    text_pooling: str = "cls"  # of DistilBERT: or "mean"
    prompts: str = ""  # folder of prompts; "" is the packaged ones
    # Validation
    val_scale: float = 1.0  # scenes are validated on at this part of their size
    val_side: int = 0  # of which the square of so many pixels in the middle; 0 is all of it


def read_options(given: Mapping[str, Any]) -> LureOptions:
    """Return the options of a configuration's "task" group.

    Raises:
      ConfigError: one is missing, unknown or, of the validation, impossible.
    """
    values = {name: value for name, value in given.items() if name != "name"}
    wrong = sorted({field.name for field in dataclasses.fields(LureOptions)} ^ set(values))
    if wrong:
        raise ConfigError(f"config.task has other options than its task: {', '.join(wrong)}")
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if not 0 < plain["val_scale"] <= 1 or plain["val_side"] < 0:
        raise ConfigError(
            f"config.task.val_scale is {plain['val_scale']} and val_side {plain['val_side']}; "
            "expected above 0 up to 1, and 0 or more pixels"
        )
    return LureOptions(**plain)


def degradations(options: LureOptions) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the names of `DEGRADATIONS` and how likely each is.

    Raises:
      ConfigError: unknown, repeated or no tasks, other factors than 4 and 8, or shares that do not fit.
    """
    unknown = [name for name in options.tasks if name not in TASKS or name == CLEAN]
    if unknown or not options.tasks or len(set(options.tasks)) < len(options.tasks):
        known = ", ".join(name for name in TASKS if name != CLEAN)
        raise ConfigError(f"config.task.tasks is {options.tasks}; expected some of {known}, each once")
    scales = [f"SR{scale}" for scale in options.sr_scales]
    if "SR" in options.tasks and (not scales or set(scales) - set(DEGRADATIONS)):
        raise ConfigError(f"config.task.sr_scales is {options.sr_scales}; expected 4, 8 or both")
    groups = [scales if name == "SR" else [name] for name in options.tasks]
    shares = options.shares or (1.0,) * len(groups)
    if len(shares) != len(groups) or min(shares) <= 0:
        raise ConfigError(
            f"config.task.shares is {options.shares}; expected a positive number for each of {options.tasks}"
        )
    named = [
        (name, share / sum(shares) / len(group))
        for group, share in zip(groups, shares, strict=True)
        for name in group
    ]
    return tuple(name for name, _ in named), tuple(share for _, share in named)


def prompt_banks(model: Lure, options: LureOptions) -> tuple[PromptBank, PromptBank]:
    """Return the vectors of the training prompts and of those for the validation.

    The latter are prompts that no training has seen, where the backend understands new sentences.

    Raises:
      ConfigError: the network takes vectors of another size.
      InputError, CheckpointError: files that are missing or damaged.
    """
    encoder = make_encoder(
        model.text_backend,
        path=options.text_path or None,
        cache_path=options.text_cache or None,
        pooling=options.text_pooling,
        split_sr=model.split_sr,
    )
    if encoder.size != model.sentence_dim:
        raise ConfigError(
            f"config.model.sentence_dim is {model.sentence_dim}; vectors of {model.text_backend} "
            f"have {encoder.size} numbers"
        )
    prompts = load_prompts(options.prompts or None, split_sr=model.split_sr)
    training = make_bank(encoder, prompts)
    if model.text_backend not in UNDERSTANDING:
        return training, training
    return training, make_bank(encoder, prompts, validation=True)


def perceptual_term(options: LureOptions) -> Perceptual | None:
    """Return the perceptual term of stage 2, None where its weight is 0.

    Raises:
      ConfigError: a weight, but no file.
      CheckpointError: the file is missing or damaged.
    """
    if not options.alpha_per:
        return None
    if not options.vgg_path:
        raise ConfigError(
            f"config.task.alpha_per is {options.alpha_per}; it needs vgg_path, a local file of a VGG-16"
        )
    return load_vgg(options.vgg_path, scaling=options.vgg_scaling)
