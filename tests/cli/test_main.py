"""The entry point of the installed command."""

import errno
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from iassf_jax import __version__
from iassf_jax.cli import info, main


@pytest.mark.parametrize(
    ("command", "asked"), [("info", ["huge pages"]), ("train", ["huge pages", "kept memory"])]
)
def test_the_installed_command_sees_to_its_memory_first(command, asked, monkeypatch):
    calls = []
    monkeypatch.setattr(sys, "argv", ["iassf", command])
    monkeypatch.setattr(main, "restart_with_huge_pages", lambda: calls.append("huge pages"))
    monkeypatch.setattr(main, "keep_freed_memory", lambda: calls.append("kept memory"))
    monkeypatch.setattr(main, "main", lambda: calls.append("main") or 3)
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="iassf")
    assert entry.value == "iassf_jax.cli.main:script"
    assert main.script() == 3 and calls == [*asked, "main"]


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "iassf_jax.cli.main", "--version"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown == f"iassf_jax {__version__}\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "DAY/visible"), "DAY/visible: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", Path("x.png")), "x.png: No space left on device"),
    ],
)
def test_files_that_may_not_be_used_are_named_without_a_traceback(monkeypatch, capsys, error, message):
    monkeypatch.setattr(info, "run", lambda args: raise_(error))
    assert main.main(["info"]) == 2
    assert capsys.readouterr().err == f"iassf info: {message}\n"


def test_system_errors_without_a_file_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(info, "run", lambda args: raise_(OSError("no file")))
    with pytest.raises(OSError, match="no file"):
        main.main(["info"])


def raise_(error):
    raise error


def test_unknown_commands_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["fus"])
    assert stopped.value.code == 2 and "'fus'" in capsys.readouterr().err
