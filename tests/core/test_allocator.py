"""Memory that is kept between allocations, in processes of their own: it changes the whole process."""

import subprocess
import sys

import pytest

from iassf_jax.core import allocator

# Pages that the kernel hands out while 64 MB are allocated, written and freed for the third time.
_FAULTS = """
import resource
from iassf_jax.core.allocator import keep_freed_memory, return_freed_memory
{prepare}
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * (64 << 20)
    {after}
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""

pytestmark = pytest.mark.skipif(allocator._glibc() is None, reason="the C library is not glibc")


def faults(prepare: str, after: str) -> int:
    code = _FAULTS.format(prepare=prepare, after=after)
    return int(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )


def test_kept_memory_costs_no_pages():
    assert faults("", "") > 10_000
    assert faults("assert keep_freed_memory()", "") < 10


def test_memory_is_kept_only_where_the_environment_asks(monkeypatch):
    kept = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: kept.append(True))
    for value in ("", "0", "1"):
        monkeypatch.setenv("IASSF_KEEP_MEMORY", value)
        allocator.arrange_memory()
    assert kept == [True]


def test_returned_memory_is_had_anew():
    # At least a huge page for each 2 MB, 512 times as many where the system has none.
    assert faults("assert keep_freed_memory()", "return_freed_memory()") >= 30


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert not allocator.keep_freed_memory()
    allocator.return_freed_memory()
