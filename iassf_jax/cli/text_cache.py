"""Encode prompts once, so that neither training nor inference needs the language model.

    iassf text-cache --path models/distilbert-base-uncased --output prompts.npz
    iassf text-cache --path models/distilbert-base-uncased --add wishes.txt --output prompts.npz
    iassf train --config configs/lure.py --config.model.text_backend=cache \\
        --config.task.text_cache=prompts.npz ...

The cache holds the vectors of all prompts of every degradation (packaged, or those of --prompts) and of the
sentences of --add, one a line. PROMPTS.npz comes with a PROMPTS.json that says what made it; a cache that has
been changed, or that another model made, is refused.
"""

import argparse
from pathlib import Path

from rich.console import Console

from iassf_jax.core.errors import InputError
from iassf_jax.text import Description, load_prompts, make_encoder
from iassf_jax.text.cache import write_cache
from iassf_jax.text.encoders import POOLINGS
from iassf_jax.text.tasks import CLEAN

# Those that make vectors of words; of "onehot" and "cache" there is nothing to keep.
BACKENDS = ("distilbert", "distilbert_random", "hash")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf text-cache`."""
    add = parser.add_argument
    add(
        "--backend",
        choices=BACKENDS,
        default="distilbert",
        help="what makes the vectors (default: distilbert)",
    )
    add("--path", type=Path, metavar="D", help="its folder: config.json, vocab.txt, model.safetensors")
    add("--pooling", choices=POOLINGS, default="cls", help="of DistilBERT's tokens (default: cls)")
    add("--prompts", type=Path, metavar="D", help="folder of prompts, TASK.txt each (default: packaged)")
    add("--split-sr", action="store_true", help="low resolution by four and by eight are told apart")
    add("--add", type=Path, metavar="F", help="file of further sentences, one a line")
    add("--output", type=Path, required=True, metavar="F.npz", help="file to write, with a .json beside it")
    add("--overwrite", action="store_true", help="replace an existing cache")


def run(args: argparse.Namespace) -> int:
    """Encode and write; 0."""
    if args.output.exists() and not args.overwrite:
        raise InputError(f"{args.output} exists already; --overwrite replaces it")
    sentences = _sentences(args)
    encoder = make_encoder(args.backend, path=args.path, pooling=args.pooling, split_sr=args.split_sr)
    vectors = encoder(sentences)
    write_cache(args.output, [sentence.text for sentence in sentences], vectors, encoder.about)
    console = Console()
    console.print(
        f"{len(vectors)} sentences, vectors of {encoder.size} numbers: {args.output}",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def _sentences(args: argparse.Namespace) -> list[Description]:
    """Return every sentence once; its task matters to no backend of words."""
    known = load_prompts(args.prompts, split_sr=args.split_sr)
    named = [Description(task, text) for task, group in known.items() for text in group.all]
    if args.add is not None:
        try:
            lines = args.add.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--add {args.add} cannot be read: {error}") from error
        named += [Description(CLEAN, line.strip()) for line in lines if line.strip()]
    return list({sentence.text: sentence for sentence in named}.values())
