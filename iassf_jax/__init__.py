"""Infrared-assisted dehazing and fusion of visible and infrared images in JAX.

The packages load when they are first used, so that importing the library stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PACKAGES = (
    "checkpoints",
    "core",
    "evaluation",
    "inference",
    "losses",
    "metrics",
    "models",
    "ops",
    "training",
)
__all__ = ["Fuser", "__version__", *_PACKAGES]

if TYPE_CHECKING:
    from iassf_jax.inference import Fuser


def __getattr__(name: str) -> Any:
    if name == "Fuser":
        return importlib.import_module("iassf_jax.inference").Fuser
    if name in _PACKAGES:
        return importlib.import_module(f"iassf_jax.{name}")
    raise AttributeError(f"module 'iassf_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
