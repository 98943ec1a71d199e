"""Makes tables of the paper again: trains what they need, measures it, writes it beside the published values.

    iassf reproduce VIII --budget smoke --data DATA --workdir reproduced
    iassf reproduce VII VIII IX --budget small --data msrs --haze iassf_released --workdir reproduced
    iassf reproduce I --weights runs/iassf --data DATA --workdir reproduced

DATA is a folder with train/ and test/ (or val/), each with GT/, hazy/ and IR/, or the name of a built set;
--test names other test data, as Tables III to VI need. --haze puts clear images into haze. Tables I to VI
compare the network with rivals that are not learned; --weights measures given weights there and trains
nothing. VII varies the network's parts, VIII alpha, IX the number M of fusion blocks.

Budgets are smoke (minutes on two CPU cores: shows that it works), small (reduced crops and steps, three
seeds), paper, or a file like those of configs/budgets. The same command again continues: what is trained and
measured is not made again, and runs that several tables share are made once. WORKDIR/TABLE gets table.md,
table.tex, table.csv, figures/ and report.html, WORKDIR/runs the runs. Engines are those of `iassf sweep`.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from iassf_jax.cli.engines import add_engine_arguments, report_unit, train_units
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.metrics import PAPER
from iassf_jax.report.figures import check_matplotlib
from iassf_jax.report.published import TITLES
from iassf_jax.reproduce.budgets import NAMES, Budget, load_budget
from iassf_jax.reproduce.studies import Study, make_runs, study
from iassf_jax.reproduce.write import write_table
from iassf_jax.sweeps.collect import collect, write_tables
from iassf_jax.sweeps.evaluating import evaluate_run
from iassf_jax.sweeps.folders import FINISHED, read_config, read_status, write_points
from iassf_jax.sweeps.groups import group_points

_SHOWN = ("hazy", "fused")  # images that are kept of the first seed
_RUNS = "runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the words `--config.NAME=VALUE` arrive in `overrides`, see `cli.main`."""
    add = parser.add_argument
    add("table", nargs="+", choices=tuple(TITLES), metavar="TABLE", help=", ".join(TITLES))
    _take_overrides(parser)
    add("--data", required=True, metavar="D", help="folder with train/ and test/ or val/, or a built set")
    add("--test", metavar="D", help="other test data: a folder with GT/, hazy/ and IR/, or SET:SPLIT")
    add("--workdir", required=True, type=Path, metavar="FOLDER", help="where everything is kept")
    add("--budget", default="smoke", metavar="B", help=f"{', '.join(NAMES)} or a file (default: smoke)")
    add("--seeds", type=int, metavar="N", help="seeds of every row (default: the budget's)")
    add("--haze", default="", metavar="P", help="put clear images into haze, see `iassf data haze`")
    add("--weights", metavar="W", help="measure these weights and train nothing (Tables I to VI)")
    add("--ma-model", type=Path, metavar="F", help="Ma's forests, without which there is no Q_PI")
    add("--population", type=int, metavar="N", help="most runs trained together (default: the budget's)")
    add("--no-figures", action="store_true", help="tables and images only, without matplotlib")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Reproduce; 0 when all runs are finished and the tables written, or when a signal stopped it."""
    console = Console()
    if not args.no_figures:
        check_matplotlib()
    studies = [study(table) for table in dict.fromkeys(args.table)]
    budget = _budget(args)
    train, test = _data(args.data, args.test)
    folders: dict[str, list[Path]]
    if args.weights:
        folders, complete = _measure(args, studies, budget, test), True
    else:
        folders, complete = _train(args, studies, budget, train, test, console)
    if not complete:
        console.print("stopped; the same command continues")
        return 0
    for wanted in studies:
        page = write_table(
            args.workdir / wanted.table,
            wanted,
            folders[wanted.table],
            _conditions(args, budget, test, folders[wanted.table][0]),
            with_figures=not args.no_figures,
        )
        console.print(f"{wanted.title}: {page}", soft_wrap=True, markup=False, highlight=False)
    done = [read_status(folder).state == FINISHED for own in folders.values() for folder in own]
    return int(not (args.weights or all(done)))


def _take_overrides(parser: argparse.ArgumentParser) -> None:
    """Take the words "config.NAME=VALUE" out before the parser sees them.

    It collects positional words from one place of the command line only, and here these are the tables.
    """
    parse = parser.parse_known_args

    def parse_known_args(words, namespace=None):
        overrides = [word for word in words if word.startswith("config.")]
        parser.set_defaults(overrides=overrides)
        return parse([word for word in words if word not in overrides], namespace)

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign,assignment]


def _budget(args: argparse.Namespace) -> Budget:
    budget = load_budget(args.budget)
    if args.seeds is not None:
        if args.seeds < 1:
            raise InputError(f"--seeds {args.seeds}; expected at least 1")
        budget = dataclasses.replace(budget, seeds=tuple(range(args.seeds)))
    if args.population is not None:
        if args.population < 1:
            raise InputError(f"--population {args.population}; expected at least 1")
        budget = dataclasses.replace(budget, population=args.population)
    return budget


def _data(data: str, test: str | None) -> tuple[str, str]:
    """Return what is trained and what is tested on."""
    folder = Path(data)
    if not folder.is_dir():
        if ":" in data or "/" in data:
            raise InputError(f"--data {data}: expected a folder, or the name of a built set such as msrs")
        return f"{data}:train", test or f"{data}:test"
    held_out = [folder / name for name in ("test", "val") if (folder / name).is_dir()]
    if not (folder / "train").is_dir() or not (test or held_out):
        raise InputError(f"--data {data}: expected train/ and test/ or val/ in it, or --test besides")
    return str((folder / "train").resolve()), test or str(held_out[0].resolve())


def _request(args: argparse.Namespace, wanted: Study, budget: Budget, test: str) -> dict[str, Any]:
    return {
        "data": {"test": test},
        "metrics": list(PAPER),
        "baselines": list(wanted.baselines),
        "haze": args.haze,
        "limit": budget.scenes,
        "batch": budget.batch,
        "save": [],
        "ma_model": str(args.ma_model.resolve()) if args.ma_model else "",
    }


def _train(
    args: argparse.Namespace,
    studies: Sequence[Study],
    budget: Budget,
    train: str,
    test: str,
    console: Console,
) -> tuple[dict[str, list[Path]], bool]:
    """Train and evaluate what is missing; return the runs' folders by table, and False if it was stopped."""
    words = [f"config.data.train={train}", "config.data.val=", f"config.haze={args.haze}", *args.overrides]
    runs = make_runs(studies, budget, words)
    shown = {"save": list(_SHOWN)}
    evaluations = {
        name: {
            own.evaluation: _request(args, own, budget, test)
            | (shown if point.config.seed == budget.seeds[0] else {})
            for own in wanted
        }
        for name, (point, wanted) in runs.items()
    }
    top = args.workdir / _RUNS
    folders = write_points(top, [point for point, _ in runs.values()], evaluations=evaluations)
    units = group_points(folders, population=budget.population)
    done = sum(read_status(folder).state == FINISHED for folder in folders)
    console.print(f"{len(runs)} runs in {len(units)} programs, {done} finished before", highlight=False)
    complete = train_units(args, units, top, lambda unit: report_unit(console, unit))
    write_tables(top, collect(top))
    by_table = {
        own.table: [top / name for name, (_, wanted) in runs.items() if own in wanted] for own in studies
    }
    return by_table, complete


def _measure(
    args: argparse.Namespace, studies: Sequence[Study], budget: Budget, test: str
) -> dict[str, list[Path]]:
    """Evaluate given weights; return their folder by table."""
    if swept := [own.table for own in studies if own.option]:
        raise ConfigError(f"--weights: Table {swept[0]} compares networks that are trained for it")
    enable_compilation_cache()
    folder = args.workdir / "weights"
    for own in studies:
        request = _request(args, own, budget, test) | {"save": list(_SHOWN)}
        evaluate_run(folder, own.evaluation, request, weights=args.weights)
    return {own.table: [folder] for own in studies}


def _conditions(args: argparse.Namespace, budget: Budget, test: str, first: Path) -> Mapping[str, Any]:
    """What the reader of a table must know; `first` is the folder of one of its runs."""
    scenes = "all" if budget.scenes is None else f"the first {budget.scenes}"
    tested = {"tested on": f"{test}, {scenes}", "haze": args.haze or "of the files"}
    if args.weights:
        return {"weights": args.weights, **tested}
    config = read_config(first)
    data, model = config.data, config.model
    width = [f"{model.channels} channels"] if "channels" in model else []
    words = (word.removeprefix("config.").partition("=") for word in args.overrides)
    return {
        "budget": budget.name,
        "seeds": ", ".join(map(str, budget.seeds)),
        "trained on": data.train,
        "training": f"{config.steps} steps of {data.batch_size} crops of {data.crop} pixels",
        "network": ", ".join([model.name, *width, model.dtype]),
        **tested,
        **{f"changed: {key}": value for key, _, value in words},
    }
