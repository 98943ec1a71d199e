"""Keeps compiled programs between runs, so that a command compiles a network once and not every time."""

import hashlib
import os
import platform
from pathlib import Path

import jax


def enable_compilation_cache() -> Path | None:
    """Store compiled programs in the user's cache folder and return it.

    `JAX_COMPILATION_CACHE_DIR` takes precedence; otherwise the folder is
    `$XDG_CACHE_HOME/iassf_jax/compiled/<processor>` (`~/.cache` by default). Returns None, and programs are
    compiled anew each run, when that folder cannot be made.
    """
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "iassf_jax" / "compiled" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def _processor() -> str:
    """Name of the instruction set: compiled code of another one can crash where home folders are shared."""
    features = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        features = next((line for line in lines if line.lower().startswith(("flags", "features"))), features)
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"
