"""Huge pages are asked for at the start of a process, so these tests start some."""

import os
import subprocess
import sys

import pytest

from iassf_jax.core import allocator
from iassf_jax.core.allocator import restart_with_huge_pages, return_freed_memory

# Pages that the kernel hands out while 64 MB are allocated, written and freed; then what the process is.
_PROCESS = """
import os, resource, sys
from iassf_jax.core.allocator import restart_with_huge_pages
restart_with_huge_pages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * (64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, os.getpid(), *sys.argv[1:])
print(os.environ.get("GLIBC_TUNABLES", ""))
"""

linux = pytest.mark.skipif(not allocator._to_be_had(), reason="huge pages cannot be asked for here")


def start(tunables: str | None) -> tuple[int, bool, list[str], str]:
    """Faults, whether the process kept its number, its arguments, and the setting it ran with."""
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    if tunables is not None:
        environment["GLIBC_TUNABLES"] = tunables
    command = [sys.executable, "-c", _PROCESS, "one", "two"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        output = process.communicate()[0]
    assert process.returncode == 0
    (faults, number, *arguments), setting = (line for line in map(str.split, output.splitlines()))
    return int(faults), int(number) == process.pid, arguments, "".join(setting)


@linux
def test_a_program_starts_again_as_itself_with_fewer_faults():
    faults, same_process, arguments, setting = start(None)
    assert same_process
    assert arguments == ["one", "two"]
    assert setting == "glibc.malloc.hugetlb=1"
    assert faults < 2_000  # 16,384 pages of 4 KB


@linux
def test_other_settings_are_kept():
    assert start("glibc.malloc.arena_max=2")[3] == "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"


def test_an_own_choice_is_left_alone():
    faults, _, _, setting = start("glibc.malloc.hugetlb=0")
    assert setting == "glibc.malloc.hugetlb=0"
    assert faults > 0


@pytest.mark.parametrize(
    ("library", "mode"), [(("", ""), "[madvise]"), (("glibc", "2.31"), "[madvise]"), (None, "always [never]")]
)
def test_nothing_happens_where_it_is_of_no_use(library, mode, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(allocator, "_mode", lambda: mode)
    if library is not None:
        monkeypatch.setattr(allocator.platform, "libc_ver", lambda: library)
    monkeypatch.setattr(allocator.os, "execv", lambda *_: pytest.fail("started again"))
    restart_with_huge_pages()
    return_freed_memory()
    assert "GLIBC_TUNABLES" not in os.environ
