"""The settings are made at the start of a process, so these tests start some."""

import os
import subprocess
import sys

import pytest

from iassf_jax.core import allocator
from iassf_jax.core.allocator import KeptMemory, restart_with_huge_pages, return_freed_memory

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

# Pages that the kernel hands out to the later calls of a program with a workspace of 100 MB.
_PROGRAM = """
import resource, sys
from iassf_jax.core import allocator
if "keep" in sys.argv:
    allocator.keep_freed_memory()
import jax, jax.numpy as jnp
x = jnp.ones(3600)
program = jax.jit(lambda x: (jnp.sin(x[:, None] * x) @ jnp.cos(x[:, None] + x)).sum()).lower(x).compile()
allocator.return_freed_memory()
memory = allocator.KeptMemory()
faults = []
for _ in range(8):
    program(x).block_until_ready()
    memory.settle()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[3])
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


@pytest.mark.skipif(allocator._glibc() is None, reason="only the GNU C library can be told to keep memory")
def test_calls_of_a_program_get_the_memory_of_the_call_before():
    def faults(*arguments: str) -> int:
        command = [sys.executable, "-c", _PROGRAM, *arguments]
        environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
        return int(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)

    cleared = faults()
    assert cleared > 4 * 25_000  # four calls, 4 KB a page
    assert faults("keep") < cleared / 3


def test_memory_is_given_back_when_a_process_has_grown(monkeypatch):
    pages = iter([100, 129, 100, 131, 150, 190, 196])
    returned = []
    monkeypatch.setattr(allocator, "_resident_pages", lambda: next(pages))
    monkeypatch.setattr(allocator, "return_freed_memory", lambda: returned.append(True))
    memory = KeptMemory()
    counts = [memory.settle() or len(returned) for _ in range(7)]
    assert counts == [0, 0, 0, 1, 1, 1, 2]  # 150 is what the calls after the first return are measured by


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
