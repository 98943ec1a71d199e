"""Python files that say what is to be done: configurations, sweeps, budgets; packaged or a user's own."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from iassf_jax.core.errors import ConfigError

_Result = TypeVar("_Result")


def packaged_folder(package: str) -> Path:
    """Return the folder of an installed package such as "configs.sweeps", which is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def use_file(
    path: Path, use: Callable[[ModuleType], _Result], *, kind: str, problem: str, hint: str = ""
) -> _Result:
    """Execute a file and return what `use` makes of its module.

    Args:
      path: of the file.
      use: called with the module.
      kind: part of the module's name, such as "config".
      problem: what is said after the path when the file or `use` fails; "{reason}" in it is the error.
      hint: said after "PATH is not a Python file".

    Raises:
      ConfigError: it is no Python file, or it or `use` raised.
    """
    spec = importlib.util.spec_from_file_location(f"iassf_{kind}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file{hint}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return use(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path} {problem.format(reason=reason)}") from error
