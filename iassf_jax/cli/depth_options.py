"""How depth files are to be read, as options that commands share."""

import argparse

from data_pipelines.depth_files import FARTHEST, NEAREST, DepthRule
from iassf_jax.core.errors import InputError


def add_depth_options(parser: argparse.ArgumentParser) -> None:
    """Add --depth-kind, --depth-scale and --depth-limits."""
    add = parser.add_argument
    add(
        "--depth-kind",
        choices=("distance", "disparity"),
        help="distance: larger is farther; disparity: nearer",
    )
    add(
        "--depth-scale",
        type=float,
        default=1.0,
        metavar="M",
        help="metres per unit of a distance (default: 1)",
    )
    add(
        "--depth-limits",
        default=f"{NEAREST:g},{FARTHEST:g}",
        metavar="A,B",
        help="metres; distances are clipped to them, a disparity is spread over them (default: %(default)s)",
    )


def depth_rule(args: argparse.Namespace) -> DepthRule | None:
    """Return the rule that the options state; None without --depth-kind.

    Raises:
      InputError: limits or a scale that cannot be.
    """
    if args.depth_kind is None:
        return None
    try:
        nearest, farthest = (float(part) for part in args.depth_limits.split(","))
        return DepthRule(args.depth_kind, args.depth_scale, (nearest, farthest))
    except ValueError as error:
        raise InputError(
            f"--depth-limits {args.depth_limits} --depth-scale {args.depth_scale:g}: expected two increasing "
            "numbers of metres such as 2,300 and a scale above 0"
        ) from error
