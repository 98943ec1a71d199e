"""How the C library gets the memory that XLA's CPU client asks for anew in every call of a program."""

import ctypes
import os
import platform
import sys
from pathlib import Path

_HUGE_PAGES = "glibc.malloc.hugetlb"  # since 2.35: 1 asks Linux for huge pages (madvise) in large allocations
_LINUX_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Start this process again with large allocations in huge pages, where that is to be had and not decided.

    A call of a compiled program gets its workspace from the kernel page by page and hands it back: in a
    training step of the released network 600,000 pages of 4 KB and a quarter of the processor time. With
    pages of 2 MB a step of `configs/cpu_small.py` takes 0.49 s instead of 0.56 to 0.65 s. The C library reads
    the setting only when a process starts; the new one has this one's number, command line and open files.
    Having the C library keep freed memory instead was no faster, and in a process that had compiled the step
    itself half as fast.
    Does not return then; to be called by programs, first of all, and not by libraries. A GLIBC_TUNABLES with
    "glibc.malloc.hugetlb" in it is left as it is.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if _HUGE_PAGES in tunables or not _to_be_had():
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (tunables, f"{_HUGE_PAGES}=1")))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def return_freed_memory() -> None:
    """Give the kernel back what the C library keeps of freed memory, after a compilation for instance."""
    if _glibc() is not None:
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def _to_be_had() -> bool:
    """Where Linux's mode is "always" nobody needs to ask, and where it is "never" it is of no use."""
    version = _glibc()
    return version is not None and version >= (2, 35) and _LINUX_MODE.exists() and "[madvise]" in _mode()


def _mode() -> str:
    return _LINUX_MODE.read_text(encoding="ascii")


def _glibc() -> tuple[int, ...] | None:
    """Version of the GNU C library, or None where another is used."""
    name, version = platform.libc_ver()
    return tuple(int(number) for number in version.split(".")[:2]) if name == "glibc" else None
