import os
import subprocess
import sys

from iassf_jax.core.compilation import enable_compilation_cache

PROGRAM = """
import jax
from iassf_jax.core.compilation import enable_compilation_cache
print(enable_compilation_cache())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: x * 2 + 1)(1.0)
"""


def run(**variables) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_programs_are_kept_in_the_users_cache_folder(tmp_path):
    folder = run(XDG_CACHE_HOME=str(tmp_path))
    assert folder.startswith(str(tmp_path / "iassf_jax" / "compiled"))
    assert os.listdir(folder)


def test_the_environment_variable_decides(tmp_path):
    chosen = tmp_path / "chosen"
    assert run(JAX_COMPILATION_CACHE_DIR=str(chosen), XDG_CACHE_HOME=str(tmp_path / "other")) == str(chosen)
    assert os.listdir(chosen)
    assert not (tmp_path / "other").exists()


def test_a_cache_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert enable_compilation_cache() is None
