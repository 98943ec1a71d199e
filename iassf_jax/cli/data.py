"""Make, build, verify and look at data sets; `iassf data ACTION --help` gives an example of each.

iassf data scenes --output data/scenes --count 64
iassf data build roadscene --source RoadScene-master.zip
iassf data inspect --input data/scenes/val --output val.png
"""

import argparse
import importlib
from types import ModuleType

# Action -> what it does; its module is data_<action>.py with add_arguments(parser) and run(args) -> int.
ACTIONS = {
    "scenes": "write generated street scenes with infrared, depth and haze",
    "haze": "write hazy copies of clear images, with the parameters of each",
    "build": "store a set of pairs so that it loads fast and can be verified",
    "verify": "check a built set: checksums, pairing, sizes, lists, leakage",
    "inspect": "report on the pairs of a folder or set, or a picture of examples",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `iassf data`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, summary in ACTIONS.items():
        module = _load(name)
        subparser = actions.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand and return the exit code."""
    return _load(args.action).run(args)


def _load(action: str) -> ModuleType:
    return importlib.import_module(f"iassf_jax.cli.data_{action.replace('-', '_')}")
