"""Fuse and measure data sets with a network: all metrics by image, by haze density, by light, by data set.

    iassf evaluate --weights runs/first --data data/hazy/val --output report
    iassf evaluate --weights W --data msrs:test --data roadscene:test --haze physical --seed 1 \\
        --baselines all --save fused,restored --output report

--data is a folder with GT/, hazy/ and IR/, a built set with its split, or a mixture, and may be repeated
(LABEL=DATA names it). Without --haze the hazy images of the files are used, with it clear ones are put into
haze, each the same as in the validation of a run of that seed; --depth-kind makes it by the scenes' depth
files. Fused images are measured against the clear visible and the infrared image, restored ones against the
clear image. OUTPUT gets per_image.csv and restored.csv, summary.json (means, intervals, paired comparisons,
and means by stratum) and tables.md. --baselines adds rivals: maximum, mean, laplacian, guided on the hazy
image; dark_channel+NAME, which removes the haze by the dark channel prior first; restored+NAME, which takes
the network's restored image.

Scenes that cannot be used are listed with the reason (exit code 1).
"""

import argparse
import json
from pathlib import Path

import jax
from rich.console import Console

from data_pipelines.decode import ImageError
from data_pipelines.haze.pseudo_depth import KINDS as PSEUDO_DEPTHS
from data_pipelines.sets.stored import default_data_dir, find_set, import_tfds
from iassf_jax import models as networks
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.cli.depth_options import add_depth_options, depth_rule
from iassf_jax.cli.evaluation_outputs import print_results
from iassf_jax.cli.metric_options import (
    add_metric_options,
    load_models,
    metrics_of,
    model_files,
    split_words,
)
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import InputError, MissingDependencyError
from iassf_jax.evaluation import baselines
from iassf_jax.evaluation.evaluate import Options, evaluate_places
from iassf_jax.evaluation.outputs import FILES, KINDS, image_writer, write_results
from iassf_jax.evaluation.scenes import SceneHaze, list_places
from iassf_jax.inference import Fuser
from iassf_jax.inference.buckets import MAX_SHAPES
from iassf_jax.metrics import RESTORATION


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf evaluate`."""
    add = parser.add_argument
    add("--weights", required=True, metavar="W", help="run folder, weights file, released checkpoint or name")
    add("--data", action="append", required=True, metavar="[LABEL=]D", help="what to evaluate on; repeatable")
    add("--split", metavar="S", help="split of every data set that names none, for example test")
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add("--haze", metavar="P", help="put clear images into haze: a recipe, see `iassf data haze`")
    add("--seed", type=int, default=0, metavar="N", help="of the haze (default: 0)")
    add(
        "--pseudo-depth",
        choices=PSEUDO_DEPTHS,
        default="mixed",
        help="where no depth is read",
    )
    add_depth_options(parser)
    add("--baselines", default="", metavar="NAMES", help="rivals by name, separated by commas, or all")
    add_metric_options(parser)
    add("--save", default="", metavar="KINDS", help=f"images to write: {','.join(KINDS)}, or some of them")
    add("--limit", type=int, metavar="N", help="only the first so many scenes of every data set")
    add("--batch", type=int, metavar="N", help="images computed together (default: one a device)")
    add(
        "--max-shapes",
        type=int,
        default=MAX_SHAPES,
        metavar="N",
        help="mixed sizes are padded to at most N shapes, each compiled once (default: %(default)s)",
    )
    add("--ir-range", default="full", metavar="RULE", help="16-bit infrared: full, or lo,hi (default: full)")
    add("--data-dir", type=Path, metavar="D", help=f"folder of built sets (default: {default_data_dir()})")
    add("--overwrite", action="store_true", help="replace an existing report")


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the report; return 0 when every scene was done, else 1."""
    data, saved = _data(args), split_words(args.save, KINDS, option="--save")
    _check(args)
    haze = SceneHaze(args.haze, seed=args.seed, pseudo_depth=args.pseudo_depth) if args.haze else None
    metrics = _metrics(args.metrics)
    rivals, models = _baselines(args.baselines), load_models(args)
    try:
        if any(find_set(spec.rpartition(":")[0] or spec, data_dir=args.data_dir) for spec in data.values()):
            import_tfds()  # before the progress bar has a thread
        places = list_places(
            data,
            with_hazy=haze is None,
            limit=args.limit,
            data_dir=args.data_dir,
            infrared_range=_infrared_range(args.ir_range),
            depth=depth_rule(args),
        )
    except ImportError as error:
        raise MissingDependencyError(str(error)) from error
    except ImageError as error:
        hint = "" if args.haze else "; clear images need --haze"
        raise InputError(f"{error}{hint}") from error
    enable_compilation_cache()
    devices = jax.local_devices()
    description, variables = load_pretrained(args.weights)
    batch = args.batch or len(devices)
    fuser = Fuser(networks.create(description), variables, ir_range="full", batch=batch, devices=devices)
    options = Options(
        method=description["name"],
        metrics=metrics,
        baselines=rivals,
        haze=haze,
        batch=batch,
        max_shapes=args.max_shapes,
        models=models,
        devices=devices,
    )
    with progress_bar("scenes") as update:
        evaluation = evaluate_places(
            fuser, places, options, on_images=image_writer(args.output, saved), on_done=update
        )
    settings = {
        "weights": str(args.weights),
        "model": json.loads(json.dumps(description, default=str)),
        "data": data,
        "haze": args.haze,
        "seed": args.seed if args.haze else None,
        "pseudo_depth": args.pseudo_depth if args.haze else None,
        "depth": args.depth_kind if args.haze else None,
    }
    write_results(args.output, evaluation, settings, model_files(args))
    print_results(Console(), evaluation, args.output)
    return 1 if evaluation.fusion.problems else 0


def _data(args: argparse.Namespace) -> dict[str, str]:
    """Return label -> data; a label is what is before "=", else a set's name or a folder's last two."""
    data: dict[str, str] = {}
    for text in args.data:
        label, separator, spec = text.partition("=")
        if not separator:
            spec = text
        if args.split and (Path(spec) / args.split).is_dir():
            spec = str(Path(spec) / args.split)
        elif args.split and ":" not in spec and not Path(spec).is_dir():
            spec = f"{spec}:{args.split}"
        if not separator:
            label = "/".join(Path(spec).resolve().parts[-2:]) if Path(spec).is_dir() else spec
        if label in data:
            raise InputError(f"--data {text}: there are two of {label!r}; name them LABEL=DATA")
        data[label] = spec
    return data


def _check(args: argparse.Namespace) -> None:
    for option in ("limit", "batch", "max_shapes"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option.replace('_', '-')} {value}: expected at least 1")
    if args.depth_kind and not args.haze:
        raise InputError(f"--depth-kind {args.depth_kind} is for haze that is made: give --haze too")
    if not 0 <= args.seed < 2**31:
        raise InputError(f"--seed {args.seed}: expected 0 up to 2^31 - 1")
    if args.output.is_file():
        raise InputError(f"--output {args.output} is a file, expected a folder")
    existing = [name for name in FILES if (args.output / name).exists()]
    if existing and not args.overwrite:
        raise InputError(f"{args.output} has {', '.join(existing)}: give another --output, or --overwrite")


def _metrics(text: str) -> list[str]:
    names = metrics_of(text)
    if restored := [name for name in names if name in RESTORATION]:
        raise InputError(f"--metrics: {restored[0]!r} is no metric of fused images; it is always computed")
    return names


def _baselines(text: str) -> tuple[str, ...]:
    if text.strip() == "all":
        return baselines.ALL
    return split_words(text, baselines.ALL, option="--baselines")


def _infrared_range(text: str) -> str | tuple[float, float]:
    if text == "full":
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--ir-range {text}: expected full, or two numbers such as 7000,9500") from None
    return low, high
