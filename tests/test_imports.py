"""Imports go downwards only, heavy packages stay out, and importing the library is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (
    "core",
    "ops",
    "text",
    ("models", "losses", "metrics"),
    "checkpoints",
    "inference",
    "evaluation",
    "training",
    "sweeps",
    "report",
    "reproduce",
    "cli",
)
RANK = {name: i for i, layer in enumerate(LAYERS) for name in ([layer] if isinstance(layer, str) else layer)}
HEAVY = ("tensorflow", "torch", "ray", "gradio", "matplotlib", "pyiqa", "onnx")
DEVICE_SIDE = ("augment", "degradations", "haze", "resident")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def python_files(folder: str) -> list[Path]:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    return files


@pytest.mark.parametrize("path", python_files("iassf_jax"), ids=lambda p: str(p.relative_to(ROOT)))
def test_library_imports_go_downwards(path):
    package = path.relative_to(ROOT / "iassf_jax").parts[0]
    if package not in RANK:
        return  # the top-level __init__ loads packages on demand
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "iassf_jax" and len(parts) > 1 and parts[1] in RANK:
            same = parts[1] == package
            assert same or RANK[parts[1]] < RANK[package], f"{path} imports {name}"


@pytest.mark.parametrize("path", python_files("data_pipelines"), ids=lambda p: str(p.relative_to(ROOT)))
def test_host_side_data_code_starts_no_accelerator(path):
    parts = path.relative_to(ROOT / "data_pipelines").parts
    for name in imported(path):
        if parts[0] in DEVICE_SIDE:
            allowed = not name.startswith("iassf_jax") or name.startswith(
                ("iassf_jax.ops", "iassf_jax.core.errors")
            )
            assert allowed, name
        else:
            assert name.split(".")[0] not in ("jax", "flax", "iassf_jax", "configs"), name


@pytest.mark.parametrize("path", python_files("configs"), ids=lambda p: p.name)
def test_configs_import_only_ml_collections(path):
    assert {name.split(".")[0] for name in imported(path)} <= {
        "ml_collections",
        "configs",
        "collections",
        "typing",
    }


def test_importing_the_library_brings_nothing_heavy():
    code = f"import sys, iassf_jax; bad = [m for m in {HEAVY!r} if m in sys.modules]; assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
