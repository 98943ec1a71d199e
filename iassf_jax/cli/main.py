"""Entry point of the `iassf` command: finds the subcommand's file and runs it.

Each subcommand is a module with `add_arguments(parser)` and `run(args) -> int`; only the one that was asked
for is imported, so `iassf --help` answers at once.
"""

import argparse
import importlib
import sys

from iassf_jax import __version__
from iassf_jax.core.allocator import keep_freed_memory, restart_with_huge_pages
from iassf_jax.core.errors import IassfError

COMMANDS = {
    "fuse": "remove haze and fuse one pair or two folders of images",
    "restore": "restore single images, told what is wrong with them",
    "train": "train a network; the same command again resumes",
    "evaluate": "fuse and measure data sets with a network and rivals",
    "degradations": "restore and fuse under each degradation with a network that is told of it",
    "sweep": "train the points of a sweep, alone or several in one program; collect their results",
    "reproduce": "make tables of the paper again, beside the published values",
    "report": "tables, statistics, figures and a page of evaluations and sweeps",
    "measure": "measure fused images of any origin and compare methods",
    "fit-niqe": "fit the NIQE model of `measure` to a folder of clean images",
    "import-weights": "convert the released PyTorch checkpoint into a weights file",
    "export-weights": "write a weights file in the released PyTorch layout",
    "text-cache": "encode prompts once, so that training and inference need no language model",
    "data": "build, verify, inspect and generate data sets; make haze",
    "demo": "generate scenes, train a small network on them and fuse hazy pairs",
    "bench": "time this project against PyTorch on this machine",
    "info": "versions, devices, packaged weights, parameter counts",
}

_TRAINING = {"train", "demo"}  # the commands that call one program for long; sweeps train in other processes


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only `command`'s own arguments are added."""
    parser = argparse.ArgumentParser(prog="iassf", description="Joint dehazing and visible-infrared fusion.")
    parser.add_argument("--version", action="version", version=f"iassf_jax {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        if name != command:
            subparsers.add_parser(name, help=summary, add_help=False)
            continue
        module = _load(name)
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` and return the exit code: 0 only when everything asked for was done."""
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), None)
    args = build_parser(command if command in COMMANDS else None).parse_args(_overrides_last(argv))
    try:
        return _load(args.command).run(args)
    except IassfError as error:
        print(f"iassf {args.command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise  # not about a file that the user named: a traceback tells more
        print(f"iassf {args.command}: {error.filename}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"iassf {args.command}: interrupted", file=sys.stderr)
        return 130


def script() -> int:
    """Run the command line of a process that is ours alone, and may be started again."""
    restart_with_huge_pages()
    if _TRAINING & set(sys.argv[1:2]):
        keep_freed_memory()
    return main()


def _overrides_last(argv: list[str]) -> list[str]:
    """Turn `--config.NAME=VALUE` and `--config.NAME VALUE` into words "config.NAME=VALUE" at the end.

    argparse can neither declare options it does not know the names of nor collect positional words from
    between options.
    """
    words, overrides = [], []
    rest = iter(argv)
    for word in rest:
        if not word.startswith("--config."):
            words.append(word)
        elif "=" in word:
            overrides.append(word.removeprefix("--"))
        else:
            overrides.append(
                "=".join([word.removeprefix("--"), *([value] if (value := next(rest, None)) else [])])
            )
    return [*words, *overrides]


def _load(command: str):
    return importlib.import_module(f"iassf_jax.cli.{command.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(script())
