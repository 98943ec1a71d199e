"""Evaluate a network that is told what is wrong with its images (LURE), degradation by degradation.

    iassf degradations --weights runs/lure_fusion --rule-weights runs/lure --data DATA/val --output report
    iassf degradations --weights W --data DATA/val --fuse HZ,OE+LC --limit 10 --figure tsne --output D

--data is a folder with GT/ and IR/, a built set with its split, or a mixture; all images are clean, and what
is wrong with them is made: LC, SR4, SR8 (infrared), HZ, OE, LL (visible) at their middle strength, the same
for every network of a seed. --restore names those of single images, --fuse those of pairs: one of them, or
one of each image such as OE+LC. OUTPUT gets

    tables.md      restoration by degradation; fusion of clean pairs against the rule alone; fusion under each
                   condition, told what is wrong and told nothing; probes of the latents; restoration of the
                   real pairs of --pairs; published values beside them with --published
    per_image.csv  every value of every scene
    summary.json   means, intervals, paired differences
    latents.png    the images' latents in two dimensions, by degradation (--figure)
    pictures/      grids of the first scenes (--pictures)

The rule alone is what stage 2 starts from: --rule-weights names the weights of stage 1. Without them it is
computed with the decoder of --weights, which has been trained with the fusion.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from data_pipelines.decode import ImageError
from data_pipelines.folder import evaluation_examples
from data_pipelines.mixtures import open_mixture
from data_pipelines.restoration_pairs import PairExamples
from iassf_jax import models
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import write_image
from iassf_jax.evaluation import degraded_tables as tables
from iassf_jax.evaluation import picture_grid
from iassf_jax.evaluation.degraded import (
    FUSION,
    DegradedEvaluation,
    DegradedOptions,
    Latents,
    evaluate_degraded,
)
from iassf_jax.evaluation.degraded_pairs import evaluate_pairs
from iassf_jax.evaluation.degraded_programs import DegradedPrograms
from iassf_jax.evaluation.degraded_scenes import COMBINED, SINGLE, parse_conditions
from iassf_jax.evaluation.latent_figure import draw_latents
from iassf_jax.evaluation.latent_probe import PROJECTIONS, check_t_sne
from iassf_jax.evaluation.lure_published import DATA_SETS
from iassf_jax.metrics import METRICS
from iassf_jax.metrics import RESTORATION as OF_RESTORATION
from iassf_jax.metrics.folders import Measurements
from iassf_jax.text import make_encoder

FILES = ("tables.md", "per_image.csv", "summary.json")
FIGURE = "latents.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf degradations`."""
    add = parser.add_argument
    add("--weights", required=True, metavar="W", help="run folder or weights file of a network such as lure")
    add("--rule-weights", metavar="W", help="weights of stage 1, with which the rule alone is computed")
    add("--data", required=True, metavar="D", help="clean scenes")
    add("--data-dir", type=Path, metavar="D", help="folder of built sets")
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add("--restore", default=",".join(SINGLE), metavar="NAMES", help="degradations (default: %(default)s)")
    add("--fuse", default=",".join(COMBINED), metavar="NAMES", help="of pairs (default: %(default)s)")
    add("--pairs", metavar="F[:SPLIT]", help="manifest of real degraded and clean images, restored too")
    add("--metrics", default=",".join(FUSION), metavar="NAMES", help="of fused images (default: %(default)s)")
    add("--limit", type=int, metavar="N", help="only the first so many scenes")
    add("--seed", type=int, default=0, metavar="N", help="of the degradations (default: 0)")
    add("--haze", default="reside_its", metavar="P", help="recipe of HZ (default: %(default)s)")
    add("--no-neutral", action="store_true", help="do not fuse also without telling what is wrong")
    add("--published", choices=DATA_SETS, help="put the paper's values of this set beside")
    add("--figure", choices=(*PROJECTIONS, "none"), default="pca", help="of the latents (default: pca)")
    add("--pictures", type=int, default=2, metavar="N", help="scenes whose images are kept (default: 2)")
    add("--held-out", action="store_true", help="describe degradations by prompts that no training has seen")
    add("--text-path", metavar="D", help="folder of a DistilBERT, for networks of that backend")
    add("--text-cache", metavar="F.npz", help="sentence vectors, see `iassf text-cache`")
    add("--overwrite", action="store_true", help="replace an existing report")


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the report; 0."""
    options = _options(args)
    if args.figure == "tsne":
        check_t_sne()
    _check_output(args.output, overwrite=args.overwrite)
    enable_compilation_cache()
    description, variables = load_pretrained(args.weights)
    programs, pictures = _programs(args, description, variables), _Pictures(args.pictures)
    try:
        evaluation = _evaluate(args, programs, options, pictures)
        listed = _restore_listed(args, programs)
    except ImageError as error:
        raise InputError(str(error)) from error
    markdown = tables.tables_markdown(evaluation, data_set=args.published)
    if listed:
        markdown += f"\n## Restoration of {args.pairs}\n\n{tables.restoration_markdown(listed)}"
    settings = {
        "weights": str(args.weights),
        "rule_weights": args.rule_weights,
        "model": json.loads(json.dumps(description, default=str)),
        "data": args.data,
        "seed": args.seed,
        "haze": args.haze,
    }
    contents = (markdown, tables.images_csv(evaluation), tables.summary_json(evaluation, settings))
    for name, content in zip(FILES, contents, strict=True):
        with written_aside(args.output / name) as path:
            path.write_text(content, encoding="utf-8")
    for name, grid in pictures.grids():
        write_image(args.output / "pictures" / f"{name}.png", grid)
    console = Console()
    console.print(Markdown(markdown))
    if args.figure != "none":
        _write_figure(args, evaluation.latents, console)
    console.print(f"tables, values, pictures: {args.output}", soft_wrap=True, highlight=False)
    return 0


def _evaluate(
    args: argparse.Namespace, programs: DegradedPrograms, options: DegradedOptions, pictures: "_Pictures"
) -> DegradedEvaluation:
    reading: Any = {"require_hazy": False, "with_hazy": False, "data_dir": args.data_dir}
    total = len(open_mixture(args.data, **reading).names[: args.limit])
    with progress_bar("scenes") as update:
        return evaluate_degraded(
            programs,
            evaluation_examples(args.data, limit=args.limit, **reading),
            options,
            on_pictures=pictures.add,
            on_done=lambda done: update(done, total),
        )


def _write_figure(args: argparse.Namespace, latents: Latents, console: Console) -> None:
    try:
        write_image(args.output / FIGURE, draw_latents(latents, projection=args.figure))
    except InputError as error:  # too few images, which is no reason to lose the tables
        console.print(f"no {FIGURE}: {error}", soft_wrap=True, markup=False, highlight=False)


def _options(args: argparse.Namespace) -> DegradedOptions:
    for option in ("limit", "pictures"):
        value, least = getattr(args, option), 1 if option == "limit" else 0
        if value is not None and value < least:
            raise InputError(f"--{option} {value}: expected at least {least}")
    if not 0 <= args.seed < 2**31:
        raise InputError(f"--seed {args.seed}: expected 0 up to 2^31 - 1")
    metrics = _words(args.metrics)
    if unknown := [name for name in metrics if name not in METRICS or name in OF_RESTORATION]:
        raise InputError(f"--metrics: {unknown[0]!r} is no metric of fused images; see docs/metrics.md")
    if not metrics:
        raise InputError(f"--metrics {args.metrics!r} names no metric")
    return DegradedOptions(
        _kinds(args.restore),
        tuple(parse_conditions(_words(args.fuse))),
        metrics=tuple(metrics),
        seed=args.seed,
        haze=args.haze,
        neutral=not args.no_neutral,
    )


def _restore_listed(args: argparse.Namespace, programs: DegradedPrograms) -> dict[str, Measurements]:
    if not args.pairs:
        return {}
    path, colon, split = args.pairs.rpartition(":")
    examples = PairExamples(path if colon else args.pairs, split=split if colon else None)
    with progress_bar("pairs") as update:
        return evaluate_pairs(
            programs,
            examples,
            seed=args.seed,
            haze=args.haze,
            on_done=lambda done: update(done, len(examples)),
        )


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(word.upper() for word in _words(text)))
    if unknown := [kind for kind in kinds if kind not in SINGLE]:
        raise InputError(f"--restore: there is no degradation {unknown[0]!r}; there are {', '.join(SINGLE)}")
    return kinds


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _check_output(output: Path, *, overwrite: bool) -> None:
    if output.is_file():
        raise InputError(f"--output {output} is a file, expected a folder")
    existing = [name for name in FILES if (output / name).exists()]
    if existing and not overwrite:
        raise InputError(f"{output} has {', '.join(existing)}: give another --output, or --overwrite")


def _programs(
    args: argparse.Namespace, description: Mapping[str, Any], variables: Mapping[str, Any]
) -> DegradedPrograms:
    model: Any = models.create(description)
    encoder = None
    if args.text_path or args.text_cache:
        encoder = make_encoder(model.text_backend, path=args.text_path, cache_path=args.text_cache)
    rule = None
    if args.rule_weights:
        other, rule = load_pretrained(args.rule_weights)
        if other != description:
            raise InputError(f"--rule-weights {args.rule_weights} are of another network than --weights")
    return DegradedPrograms(model, variables, rule_variables=rule, held_out=args.held_out, encoder=encoder)


class _Pictures:
    """The images of the first scenes, in a grid for each kind of images that belong together."""

    def __init__(self, scenes: int):
        self._limit = scenes
        self._rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        self._scenes: list[str] = []

    def add(self, name: str, images: Mapping[str, np.ndarray]) -> None:
        scene = name.rpartition(" ")[0]
        if scene not in self._scenes:
            self._scenes.append(scene)
        if len(self._scenes) <= self._limit:
            self._rows.setdefault(tuple(images), []).append({"name": name, **images})

    def grids(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield a name, made of the columns, and a picture."""
        for columns, rows in self._rows.items():
            yield (
                "_".join((columns[-1], "by", columns[0])).replace(" ", "_"),
                picture_grid(rows, columns=columns),
            )
