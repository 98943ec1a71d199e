"""Which metrics are computed and with which models, as options that commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from iassf_jax.core.errors import InputError
from iassf_jax.metrics import METRICS, PAPER, RESTORATION, STANDARD, Models, load_ma_model
from iassf_jax.metrics.niqe_model import load_model

SETS = {"paper": PAPER, "standard": STANDARD, "all": tuple(m for m in METRICS if m not in RESTORATION)}
"""Metrics of fused images under one name."""


def add_metric_options(parser: argparse.ArgumentParser) -> None:
    """Add --metrics, --niqe-model and --ma-model."""
    add = parser.add_argument
    add(
        "--metrics",
        default="standard",
        metavar="NAMES",
        help="of fused images: paper, standard, all, or names, separated by commas (default: standard)",
    )
    add("--niqe-model", type=Path, metavar="F.npz", help="model for q_niqe that `iassf fit-niqe` wrote")
    add("--ma-model", type=Path, metavar="F", help="Ma's forests for q_pi and ma: model.mat, or .npz")


def split_words(text: str, known: Sequence[str] | None = None, *, option: str = "") -> tuple[str, ...]:
    """Return the words of `text` between commas, each once.

    Raises:
      InputError: one that is not among the `known` ones; it names `option`.
    """
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if known is not None and (unknown := [word for word in found if word not in known]):
        raise InputError(f"{option}: unknown {', '.join(unknown)}; there are {', '.join(known)}")
    return found


def metrics_of(text: str) -> list[str]:
    """Return the names that --metrics stands for.

    Raises:
      InputError: it names none, or one that is not a metric.
    """
    words = split_words(text, (*SETS, *METRICS), option="--metrics")
    names = [name for word in words for name in SETS.get(word, (word,))]
    if not names:
        raise InputError(f"--metrics {text!r} names no metric")
    return list(dict.fromkeys(names))


def load_models(args: argparse.Namespace) -> Models:
    """Load what --niqe-model and --ma-model name; where they name nothing there are the defaults.

    Raises:
      InputError: a file that is none of those models.
    """
    return Models(
        niqe=load_model(args.niqe_model) if args.niqe_model else None,
        ma=load_ma_model(args.ma_model) if args.ma_model else None,
    )


def model_files(args: argparse.Namespace) -> dict[str, str]:
    """Return the files of the models that were named, for a report."""
    files = {"niqe": args.niqe_model, "ma": args.ma_model}
    return {name: str(path) for name, path in files.items() if path}
