"""Configuration files, overrides from the command line, and the resolved configuration as JSON.

A configuration is a Python file with `get_config()` that returns an `ml_collections.ConfigDict` holding every
option with its default. The defaults are the schema: an override must name an existing option, and its text
is read as that option's type.
"""

import ast
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FieldReference

from iassf_jax.core.errors import ConfigError
from iassf_jax.core.python_files import packaged_folder, use_file

_OVERRIDE = re.compile(r"^(?:--)?config\.([^=]+)=(.*)$", re.DOTALL)
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def load_config(path_or_name: str | Path, overrides: Sequence[str] = ()) -> ConfigDict:
    """Load a configuration file, apply `overrides` and lock the result.

    Args:
      path_or_name: a Python file, or the name of one of the installed `configs` ("cpu_small", "cpu_small.py",
        "configs/cpu_small.py").
      overrides: words of the form "config.optimizer.learning_rate=1e-4", with or without leading dashes.
        Sequences are written as "24,48" or "(24, 48)"; "none" clears an option that may be None.

    Raises:
      ConfigError: no such file, a file without `get_config`, a misspelt option (the nearest valid one is
        shown), or a value of the wrong type (the expected type is shown).
    """
    config = _read(_find(path_or_name))
    config.lock()
    for word in overrides:
        _override(config, word)
    return config


def to_json(config: ConfigDict | Mapping[str, Any]) -> str:
    """Return the resolved configuration as JSON with sorted keys; tuples become lists."""
    tree = config.to_dict() if isinstance(config, ConfigDict) else config
    return json.dumps(tree, indent=2, sort_keys=True)


def from_json(text: str) -> ConfigDict:
    """Read what `to_json` wrote into a locked configuration; lists become tuples."""
    return ConfigDict(_with_tuples(json.loads(text))).lock()


def locate(tree: Any, option: str) -> tuple[Any, str]:
    """Return the group that holds a dotted option of a configuration or plain tree, and its key there.

    Raises:
      KeyError: there is no such group.
    """
    *groups, key = option.split(".")
    for group in groups:
        tree = tree[group]
    return tree, key


def differences(
    saved: Mapping[str, Any], given: Mapping[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Return {dotted key: (saved value, given value)} for every option on which two plain trees differ."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*saved, *given}):
        before, after = saved.get(key), given.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found |= differences(before, after, prefix=f"{prefix}{key}.")
        elif before != after:
            found[f"{prefix}{key}"] = (before, after)
    return found


def _find(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if path.is_file():
        return path
    folder = packaged_folder("configs")
    packaged = folder / path.with_suffix(".py").name
    if path.parent.name in ("", "configs") and packaged.is_file():
        return packaged
    names = sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")
    hint = _nearest(path.stem, names)
    raise ConfigError(
        f"no configuration {str(path)!r}{hint}: give a Python file, or one of {', '.join(names)}"
    )


def _read(path: Path) -> ConfigDict:
    config = use_file(
        path,
        lambda module: module.get_config(),
        kind="config",
        problem="cannot be used as a configuration ({reason}); it needs get_config()",
        hint=": a configuration is a .py file with get_config()",
    )
    if not isinstance(config, ConfigDict):
        raise ConfigError(f"get_config() of {path} returned {type(config).__name__}, expected a ConfigDict")
    return config


def _override(config: ConfigDict, word: str) -> None:
    match = _OVERRIDE.match(word)
    if match is None:
        raise ConfigError(f"cannot read {word!r}: options are changed with --config.NAME=VALUE")
    *groups, key = match[1].split(".")
    node, seen = config, "config"
    for group in groups:
        _check_key(node, group, seen, match[1])
        seen = f"{seen}.{group}"
        if not isinstance(node[group], ConfigDict):
            raise ConfigError(f"{seen} is a single option, so config.{match[1]} does not exist")
        node = node[group]
    _check_key(node, key, seen, match[1])
    if isinstance(node[key], ConfigDict):
        raise ConfigError(
            f"config.{match[1]} is a group of options: set one of {', '.join(node[key].keys())}"
        )
    if match[2].strip().lower() == "none" and _may_be_none(node, key):
        node[key] = None
    else:
        node[key] = _parse(match[2], node[key], node.get_type(key), f"config.{match[1]}")


def _check_key(node: ConfigDict, key: str, seen: str, dotted: str) -> None:
    if key in node:
        return
    known = list(node.keys())
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {seen}.{close[0]}?" if close else ""
    raise ConfigError(f"there is no option config.{dotted}{hint} {seen} has {', '.join(sorted(known))}")


def _may_be_none(node: ConfigDict, key: str) -> bool:
    """Whether the option was declared with `config_dict.placeholder`, which is how files allow None."""
    return isinstance(dict(node.items(preserve_field_references=True))[key], FieldReference)


def _parse(text: str, default: Any, kind: type, name: str) -> Any:
    """Read `text` as the type of the option's default; `kind` is the type where the default is None."""
    try:
        if kind is bool:
            return _BOOLEANS[text.strip().lower()]
        if kind in (int, float):
            return kind(text)
        if kind in (tuple, list):
            return kind(_elements(text, default))
        if kind is str:
            return text
    except (ValueError, SyntaxError, KeyError, TypeError) as error:
        raise ConfigError(f"{name}={text} has the wrong type: expected {_describe(default, kind)}") from error
    raise ConfigError(f"{name} cannot be set from the command line: its type is {kind.__name__}")


def _elements(text: str, default: Sequence[Any] | None) -> list[Any]:
    values = ast.literal_eval(text)
    if not isinstance(values, tuple | list):
        raise TypeError("not a sequence")
    if not default:
        return list(values)
    element = type(default[0])
    for value in values:
        if type(value) is not element and (element, type(value)) != (float, int):
            raise TypeError("wrong type of element")
    return [element(value) for value in values]


def _describe(default: Any, kind: type) -> str:
    if kind in (tuple, list):
        of = f" of {type(default[0]).__name__}" if default else ""
        return f"a {kind.__name__}{of} such as {default or '256,256'}"
    example = "true or false" if kind is bool else repr(default)
    return f"{kind.__name__} (now {example})" if kind is not bool else f"bool ({example})"


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(element) for key, element in value.items()}
    return tuple(_with_tuples(element) for element in value) if isinstance(value, list) else value


def _nearest(word: str, options: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, options, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
