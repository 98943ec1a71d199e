"""Weights on disk: the project's own files, PyTorch's, and the checkpoints of training runs.

    from iassf_jax import checkpoints
    model, variables = checkpoints.load_pretrained("iassf")      # packaged name, run, file, .pth
    variables = checkpoints.import_torch("IASSF.pth")
    checkpoints.export_torch(variables, "copy.pth")
    checkpoints.save_weights("w.safetensors", model=model, variables=variables)

The functions load when first used: the manager of training checkpoints (Orbax) takes seconds to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iassf_jax.checkpoints.sources import load_pretrained, packaged_weights
    from iassf_jax.checkpoints.torch_import import export_torch, import_torch
    from iassf_jax.checkpoints.weights import load_weights, save_weights

__all__ = [
    "export_torch",
    "import_torch",
    "load_pretrained",
    "load_weights",
    "packaged_weights",
    "save_weights",
]

_MODULES = {
    "export_torch": "torch_import",
    "import_torch": "torch_import",
    "load_pretrained": "sources",
    "packaged_weights": "sources",
    "load_weights": "weights",
    "save_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"iassf_jax.checkpoints.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'iassf_jax.checkpoints' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
