"""Times this project against PyTorch on this machine: forward, training step, data path.

    iassf bench forward --only 256x256 --output forward.json
    iassf bench all --precision float32,tf32,bfloat16 --densities host,device --output gpu.json

Writes the record and, beside it, a Markdown page (.md) with times, ratios, memory, compile times and the
distance to the device's limit. The rival is the released network in PyTorch, which needs the extra "torch".
"""

import argparse
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from iassf_jax.cli.outputs import refuse_existing
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import InputError, MissingDependencyError

_GROUPS = ("forward", "train", "data")
_PRECISIONS = ("float32", "tf32", "bfloat16")
_DENSITIES = ("host", "device")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("group", nargs="?", default="all", choices=(*_GROUPS, "all"), help="what to time")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="F.json", help="record; the page is F.md"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    parser.add_argument(
        "--precision", default="float32", metavar="LIST", help=f"comma separated, of {', '.join(_PRECISIONS)}"
    )
    parser.add_argument(
        "--densities",
        default="host",
        metavar="LIST",
        help="where the rival estimates the haze density: host (as released), device, or both",
    )
    parser.add_argument(
        "--pallas", action="store_true", help="compute with model.pallas: kernels of our own on GPUs"
    )
    parser.add_argument(
        "--remat", action="store_true", help="train with model.remat: less memory for a longer step"
    )
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help="train with N examples at once, gradients accumulated (default: as `iassf train` chooses); only "
        "batches that N divides",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose names contain this")
    parser.add_argument("--rivals", default="", metavar="TEXT", help="only rivals whose names contain this")
    parser.add_argument(
        "--rivals-keep-memory",
        action="store_true",
        help="rivals keep freed memory too, as `iassf train` does",
    )
    parser.add_argument("--no-rivals", action="store_true", help="time this project alone")
    parser.add_argument("--seconds", type=float, default=60.0, help="aimed at per case (60)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per case at least (5)")
    parser.add_argument("--note", default="", help="kept in the record, e.g. that the machine was shared")


def run(args: argparse.Namespace) -> int:
    """Measure and write; 1 when a contender's results differ from ours or ours failed."""
    precisions = _listed("--precision", args.precision, _PRECISIONS)
    densities = () if args.no_rivals else _listed("--densities", args.densities, _DENSITIES)
    refuse_existing(args.output, overwrite=args.overwrite)
    if densities and importlib.util.find_spec("torch") is None:
        raise MissingDependencyError(
            "the rival needs PyTorch: pip install 'iassf_jax[torch]', or give --no-rivals"
        )
    from benchmarks.alternate import Effort
    from benchmarks.cases import cases, contenders
    from benchmarks.run import run as measure

    groups = _GROUPS if args.group == "all" else (args.group,)
    if args.micro_batch is not None and args.micro_batch < 1:
        raise InputError(f"--micro-batch {args.micro_batch}: expected at least one example")
    ours = {"pallas": args.pallas, "remat": args.remat, "micro_batch": args.micro_batch}
    chosen = cases(groups, precisions, only=args.only, **ours)
    if not chosen:
        names = ", ".join(case.name for case in cases(groups, precisions, **ours))
        none = f"none whose batch divides into micro-batches of {args.micro_batch}"
        raise InputError(f"no case contains {args.only!r}; there are {names or none}")
    keep = args.rivals_keep_memory
    everyone = [c for case in chosen for c in contenders(case, densities=densities, keep_memory=keep)]
    rivals = sorted({c.name for c in everyone if c.side != "jax"})
    if args.rivals and not any(args.rivals in name for name in rivals):
        raise InputError(f"no rival's name contains {args.rivals!r}; there are {', '.join(rivals) or 'none'}")
    console = Console()
    with console.status("") as status:
        record = measure(
            chosen,
            densities=densities,
            rivals=args.rivals,
            rivals_keep_memory=keep,
            effort=Effort(seconds=args.seconds, least=args.rounds, most=max(25, args.rounds)),
            note=args.note,
            report=status.update,
            save=lambda record: _write(args.output, record),
        )
    return _summary(console, record, args.output)


def _listed(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(filter(None, text.split(",")))
    strangers = [word for word in words if word not in known]
    if strangers or not words:
        raise InputError(f"{option} {text!r}: expected a comma separated list of {', '.join(known)}")
    return words


def _write(output: Path, record: dict[str, Any]) -> None:
    from benchmarks.report import render

    output.parent.mkdir(parents=True, exist_ok=True)
    texts = {output: json.dumps(record, indent=1) + "\n", output.with_suffix(".md"): render(record)}
    for path, text in texts.items():
        with written_aside(path) as aside:
            aside.write_text(text, encoding="utf-8")


def _summary(console: Console, record: dict[str, Any], output: Path) -> int:
    failed = False
    for case in record["cases"]:
        ours = case["contenders"][0] if "error" not in case["contenders"][0] else None
        failed |= ours is None or not case["agree"]
        time = f"{1e3 * ours['seconds']['median']:.1f} ms" if ours else "failed"
        ratio = f", {case['ratio']:.2f} of {case['best_rival']}" if "ratio" in case else ""
        different = "" if case["agree"] else ", RESULTS DIFFER"
        console.print(f"{case['name']}: {time}{ratio}{different}", highlight=False, soft_wrap=True)
    console.print(f"{os.fspath(output)} and {output.with_suffix('.md').name}", soft_wrap=True)
    return int(failed)
