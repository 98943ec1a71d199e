"""What a run was made with: package versions and the source's git revision."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = ("iassf_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def versions() -> dict[str, str]:
    """Return {package: version}, with "python" and, where the source is a git checkout, "git"."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found | _git_revision(Path(__file__).resolve().parents[2])


def _git_revision(root: Path) -> dict[str, str]:
    if not (root / ".git").exists():  # an installed package: the version says it all
        return {}
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git": done.stdout.strip()}
