"""How much is spent on a table: the configuration of its runs, and how many there are."""

import dataclasses
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import ConfigError
from iassf_jax.core.python_files import packaged_folder, use_file

NAMES = ("smoke", "small", "paper")


@dataclasses.dataclass(frozen=True)
class Budget:
    """A file of `configs/budgets`, which says what the attributes are."""

    name: str
    file: Path
    seeds: tuple[int, ...]
    scenes: int | None
    batch: int
    population: int


def load_budget(name: str) -> Budget:
    """Return a budget by its name, or by a file of one's own with `get_config()` and `get_budget()`.

    Raises:
      ConfigError: there is none, or the file cannot be used.
    """
    path = Path(name)
    if not path.is_file():
        path = packaged_folder("configs.budgets") / f"{name}.py"
    if not path.is_file():
        raise ConfigError(f"--budget {name}: expected one of {', '.join(NAMES)}, or a Python file")
    return Budget(path.stem, path, **_values(path))


def _values(path: Path) -> dict[str, Any]:
    values = use_file(
        path,
        lambda module: dict(module.get_budget()),
        kind="budget",
        problem="cannot be used as a budget: {reason}",
    )
    expected = {field.name for field in dataclasses.fields(Budget)} - {"name", "file"}
    if set(values) != expected:
        raise ConfigError(f"get_budget() of {path} gives {sorted(values)}; expected {sorted(expected)}")
    return values
