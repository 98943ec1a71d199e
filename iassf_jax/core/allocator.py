"""How the C library gets the memory that XLA's CPU client asks for anew in every call of a program."""

import ctypes
import os
import platform
import sys
from pathlib import Path

_HUGE_PAGES = "glibc.malloc.hugetlb"  # since 2.35: 1 asks Linux for huge pages (madvise) in large allocations
_LINUX_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_RESIDENT = Path("/proc/self/statm")

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # numbers of mallopt's parameters, in glibc's malloc.h
_GROWTH = 1.3  # of the resident memory since the first call: part of it is then kept in vain


def restart_with_huge_pages() -> None:
    """Start this process again with large allocations in huge pages, where that is to be had and not decided.

    A call of a compiled program gets its workspace from the kernel page by page and hands it back: in a
    training step of the released network 600,000 pages of 4 KB and a quarter of the processor time. With
    pages of 2 MB a step of `configs/cpu_small.py` takes 0.49 s instead of 0.56 to 0.65 s. The C library reads
    the setting only when a process starts; the new one has this one's number, command line and open files.
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


def keep_freed_memory() -> None:
    """Have the C library keep freed memory from now on, and JAX's CPU client allocate in the calling thread.

    A training step of the released network then gets the 2.5 GB of its workspace as the step before left
    them, instead of cleared by the kernel anew: on two cores it takes 1.7 s instead of 2.4 s.
    The heap of the main thread is the only one that can hold so much; asynchronous calls allocate in others.
    To be called by programs at their start, before JAX has looked for devices, and not by libraries. It does
    nothing where another C library is used.
    """
    if _glibc() is None:
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)
    import jax  # here, because `restart_with_huge_pages` has to come before what takes half a second

    jax.config.update("jax_cpu_enable_async_dispatch", False)


class KeptMemory:
    """What calls of one program leave to the next: given back when it has become useless to them.

    An object which outlives a call and lies in the middle of what the call freed leaves the next one too
    little room. That takes as much again from the kernel, and the first room is kept in vain.
    """

    def __init__(self) -> None:
        self._resident: int | None = None

    def settle(self) -> None:
        """To be called after every call: give freed memory back when this process has grown."""
        resident = _resident_pages()
        if self._resident is None:
            self._resident = resident
        elif resident > _GROWTH * self._resident:
            return_freed_memory()
            self._resident = None


def return_freed_memory() -> None:
    """Give the kernel back what the C library keeps of freed memory, after a compilation for instance."""
    if _glibc() is not None:
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def _resident_pages() -> int:
    """Memory pages of this process; 0 on systems that do not tell."""
    return int(_RESIDENT.read_text(encoding="ascii").split()[1]) if _RESIDENT.exists() else 0


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
