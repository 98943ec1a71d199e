"""Several sets in fixed proportions, written as text: "msrs:train*0.7 + roadscene:train*0.3"."""

import dataclasses
import math
import os
from collections.abc import Sequence

from data_pipelines.depth_files import DepthRule
from data_pipelines.examples import Clear, Examples, Resized, ScenesAsPairs, open_examples
from data_pipelines.restoration_pairs import PairExamples
from data_pipelines.triplets import InfraredRange


@dataclasses.dataclass(frozen=True)
class Component:
    """A set of a mixture by its text, and how many of its examples come for each of the others'."""

    spec: str
    weight: float


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Opened sets with their weights; a single set is a mixture of one."""

    components: Sequence[Examples]
    weights: Sequence[float]
    has_pairs: bool = False  # whether every example has "pair", see `restoration_pairs`

    @property
    def names(self) -> list[str]:
        """The scenes' names, one set after the other."""
        return [name for component in self.components for name in component.names]


def parse_mixture(spec: str | os.PathLike) -> list[Component]:
    """Split " + " between sets and "*WEIGHT" after them; a set without weight has 1.

    Raises:
      ValueError: a weight that is not a positive number.
    """
    components = []
    for part in os.fspath(spec).split(" + "):
        name, star, weight = part.strip().rpartition("*")
        components.append(
            Component(name.strip() if star else part.strip(), _weight(weight, part) if star else 1.0)
        )
    return components


def open_mixture(
    spec: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    require_hazy: bool = True,
    with_hazy: bool = True,
    infrared_range: InfraredRange = "full",
    depth: DepthRule | None = None,
    pair_tasks: Sequence[str] = (),
    resize: tuple[int, int] | None = None,
) -> Mixture:
    """Open every set of a mixture.

    Args:
      spec: one set as `examples.open_examples` takes it, or several with weights.
      data_dir, require_hazy, with_hazy, infrared_range, depth, pair_tasks: see `examples.open_examples`.
        Where hazy images are not required and only some of the sets have them, they are left out of all.
        Beside a manifest of pairs, scenes become pairs whose degradation is drawn.
      resize: (height, width) to which all examples are brought.

    Raises:
      ValueError: a weight that is not a positive number.
      ImageError: a set cannot be opened, or lacks the hazy images or depth that are required.
    """
    parts = parse_mixture(spec)
    opened = [
        open_examples(
            part.spec,
            data_dir=data_dir,
            require_hazy=require_hazy,
            with_hazy=with_hazy,
            infrared_range=infrared_range,
            depth=depth,
            pair_tasks=pair_tasks,
        )
        for part in parts
    ]
    has_pairs = any(isinstance(examples, PairExamples) for examples in opened)
    if has_pairs:
        opened = [e if isinstance(e, PairExamples) else ScenesAsPairs(e) for e in opened]
    if len({examples.has_haze for examples in opened}) > 1:
        opened = [Clear(examples) for examples in opened]
    if resize is not None:
        opened = [Resized(examples, resize) for examples in opened]
    return Mixture(opened, [part.weight for part in parts], has_pairs)


def _weight(text: str, part: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"{part.strip()!r}: the weight after * must be a positive number")
    return weight
