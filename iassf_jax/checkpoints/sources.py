"""Where weights come from: packaged, a training run, a weights file, a PyTorch checkpoint."""

import importlib.resources
from pathlib import Path
from typing import Any

from iassf_jax.checkpoints.listing import listing
from iassf_jax.checkpoints.named_arrays import is_named_arrays
from iassf_jax.checkpoints.torch_import import import_with_report
from iassf_jax.checkpoints.weights import load_weights
from iassf_jax.core.errors import CheckpointError

_FILE = "weights.safetensors"
_CARD = "README.md"


def packaged_weights() -> dict[str, Path]:
    """Return the weights files that come with the package, by name."""
    folder = Path(str(importlib.resources.files("iassf_jax"))) / "weights"
    return {path.parent.name: path for path in sorted(folder.glob(f"*/{_FILE}"))}


def model_card(name: str) -> str:
    """Return the text that comes with packaged weights: data, recipe, scores, licence, known failures.

    Raises:
      CheckpointError: no packaged weights of that name.
    """
    packaged = packaged_weights()
    if name not in packaged:
        raise CheckpointError(f"no packaged weights are called {name!r}; there are: {listing(packaged)}")
    return (packaged[name].parent / _CARD).read_text(encoding="utf-8")


def load_pretrained(source: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load a network's description and variables, whatever form they are stored in.

    Args:
      source: the name of packaged weights (tried first: write "./NAME" for a folder of that name); a weights
        file (.safetensors) or a folder with a weights.safetensors; a released PyTorch checkpoint (.pth, its
        parts or their folder, .npz); the workdir of a training run, of which the best checkpoint is taken (by
        the run's `best_metric`), or the newest where none was validated.

    Returns:
      The model mapping {"name": ..., **fields} for `models.create`, and variables as NumPy float32 arrays.

    Raises:
      CheckpointError: nothing of that name, or what is there is damaged or belongs to no known network.
    """
    packaged = packaged_weights()
    if str(source) in packaged:
        return load_weights(packaged[str(source)])
    path = Path(source)
    # One part of a split file counts by its name: the error for a missing part is better than "no such file".
    if not path.exists() and not (is_named_arrays(path) and path.parent.is_dir()):
        names = ", ".join(packaged) or "none"
        raise CheckpointError(
            f"{source!s} is neither a file or folder nor packaged weights (there are: {names})"
        )
    if path.is_dir() and (path / _FILE).is_file():
        return load_weights(path / _FILE)
    if path.suffix == ".safetensors":
        return load_weights(path)
    if is_named_arrays(path):
        imported = import_with_report(path)
        return {"name": "iassf_released", **imported.fields}, imported.variables
    if path.is_dir():
        # Orbax takes seconds to import and only runs need it.
        from iassf_jax.checkpoints.manager import load_run

        return load_run(path, step="best or newest")
    raise CheckpointError(
        f"{path} is no weights file: expected .safetensors, .pth, .npz or a training workdir"
    )
