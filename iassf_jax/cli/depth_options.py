"""How depth files are to be read, as options that commands share."""

import argparse

from data_pipelines.depth_files import FARTHEST, NEAREST, DepthRule
from iassf_jax.core.errors import InputError

_LIMITS = f"{NEAREST:g},{FARTHEST:g}"


def add_depth_options(parser: argparse.ArgumentParser) -> None:
    """Add --depth-kind, --depth-scale and --depth-limits."""
    add = parser.add_argument
    add(
        "--depth-kind",
        choices=("distance", "disparity"),
        help="distance: larger is farther; disparity: nearer",
    )
    # No defaults here: what is given without being used has to be noticed.
    add(
        "--depth-scale",
        type=float,
        metavar="M",
        help="metres per unit of a distance (default: 1)",
    )
    add(
        "--depth-limits",
        metavar="A,B",
        help=f"metres; distances are clipped to them, a disparity is spread over them (default: {_LIMITS})",
    )


def depth_options_given(args: argparse.Namespace) -> list[str]:
    """Return the depth options of the command line, as they are written."""
    names = ("depth_kind", "depth_scale", "depth_limits")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]


def depth_rule(args: argparse.Namespace) -> DepthRule | None:
    """Return the rule that the options state; None without --depth-kind.

    Raises:
      InputError: limits or a scale that cannot be, or that are given without --depth-kind.
    """
    if args.depth_kind is None:
        if given := depth_options_given(args):
            raise InputError(
                f"{' and '.join(given)} without --depth-kind: give that too, distance or disparity"
            )
        return None
    limits = _LIMITS if args.depth_limits is None else args.depth_limits
    scale = 1.0 if args.depth_scale is None else args.depth_scale
    try:
        nearest, farthest = (float(part) for part in limits.split(","))
        return DepthRule(args.depth_kind, scale, (nearest, farthest))
    except ValueError as error:
        raise InputError(
            f"--depth-limits {limits} --depth-scale {scale:g}: expected two increasing "
            "numbers of metres such as 2,300 and a scale above 0"
        ) from error
