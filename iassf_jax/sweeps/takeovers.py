"""The takeovers of a point: where it went on from another one's state, with other options.

POINT/takeovers.json has them in order. The last one's options are those of the point from then on.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.config import locate
from iassf_jax.core.errors import InputError

FILE = "takeovers.json"


@dataclasses.dataclass(frozen=True)
class Takeover:
    """One of them."""

    step: int  # of the state that was taken, from which the point goes on
    donor: str  # name of the point that it was taken from
    replaced: int  # newest checkpoint that the point had of its own, whose state was given up; 0 is none
    changes: Mapping[str, Sequence[Any]]  # dotted option -> (value before, value after)
    options: Mapping[str, Any]  # all that the program takes as arguments, as they are from then on
    token: str  # different for each takeover

    def __str__(self) -> str:
        changes = [f"{option} {_short(old)} -> {_short(new)}" for option, (old, new) in self.changes.items()]
        return f"step {self.step} from {self.donor}: {', '.join(changes) or 'no other options'}"


def read_takeovers(folder: Path) -> list[Takeover]:
    """Return the takeovers of the point in `folder` in order.

    Raises:
      InputError: the record cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return []
    try:
        return [Takeover(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def write_takeovers(folder: Path, takeovers: Sequence[Takeover]) -> None:
    """Write the record."""
    with written_aside(folder / FILE) as aside:
        text = json.dumps([dataclasses.asdict(takeover) for takeover in takeovers], indent=2)
        aside.write_text(text + "\n", encoding="utf-8")


def with_options(tree: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration `tree`, a plain one, with other values of dotted `options`."""
    changed = json.loads(json.dumps(tree))
    for option, value in options.items():
        node, key = locate(changed, option)
        node[key] = value
    return changed


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
