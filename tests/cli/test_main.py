"""The entry point of the installed command."""

import importlib.metadata
import subprocess
import sys

import pytest

from iassf_jax import __version__
from iassf_jax.cli import main


def test_the_installed_command_asks_for_huge_pages_first(monkeypatch):
    calls = []
    monkeypatch.setattr(main, "restart_with_huge_pages", lambda: calls.append("memory"))
    monkeypatch.setattr(main, "main", lambda: calls.append("main") or 3)
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="iassf")
    assert entry.value == "iassf_jax.cli.main:script"
    assert main.script() == 3 and calls == ["memory", "main"]


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "iassf_jax.cli.main", "--version"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown == f"iassf_jax {__version__}\n"


def test_unknown_commands_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["fus"])
    assert stopped.value.code == 2 and "'fus'" in capsys.readouterr().err
