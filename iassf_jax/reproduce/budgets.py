"""How much is spent on a table: the configuration of its runs, and how many there are."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import ConfigError

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
        spec = importlib.util.find_spec("configs.budgets")
        assert spec is not None and spec.submodule_search_locations
        path = Path(next(iter(spec.submodule_search_locations))) / f"{name}.py"
    if not path.is_file():
        raise ConfigError(f"--budget {name}: expected one of {', '.join(NAMES)}, or a Python file")
    return Budget(path.stem, path, **_values(path))


def _values(path: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(f"iassf_budget_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        values = dict(module.get_budget())
    except Exception as error:
        raise ConfigError(f"{path} cannot be used as a budget: {type(error).__name__}: {error}") from error
    expected = {field.name for field in dataclasses.fields(Budget)} - {"name", "file"}
    if set(values) != expected:
        raise ConfigError(f"get_budget() of {path} gives {sorted(values)}; expected {sorted(expected)}")
    return values
