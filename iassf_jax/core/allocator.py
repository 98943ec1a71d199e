"""How the C library handles the memory that XLA's CPU client asks for anew in every call of a program."""

import ctypes
import os
import platform

# Parameters of glibc's mallopt(3) and advice of Linux's madvise(2).
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_HUGE_PAGES = 14

_keeping = False


def arrange_memory() -> None:
    """Keep freed memory where the environment says IASSF_KEEP_MEMORY=1: it is not faster on every machine."""
    if os.environ.get("IASSF_KEEP_MEMORY") == "1":
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Keep what this process frees for its next allocations, in huge pages where Linux has them.

    Otherwise every call of a compiled program gets its workspace from the kernel page by page and hands it
    back: in a training step of the released network 600,000 pages and 1.5 of 5.5 processor seconds; huge
    pages save another 0.4. To be called by programs, not by libraries, and before the first threads: it
    changes the whole process, whose resident memory then stays at its peak until `return_freed_memory`.

    Returns:
      Whether the C library can do that (glibc); nothing is changed where it cannot.
    """
    global _keeping
    library = _glibc()
    if library is None:
        return False
    # One arena: others hold allocations of up to 64 MB each, at the price of more freed memory that is kept.
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))
    _keeping = all([library.mallopt(parameter, value) for parameter, value in settings])
    if _keeping:
        _reserve(library)
    return _keeping


def return_freed_memory() -> None:
    """Give the kernel back what is free now, after a compilation for instance; then keep again."""
    library = _glibc()
    if library is None:
        return
    library.malloc_trim(0)
    if _keeping:
        _reserve(library)


def _reserve(library: ctypes.CDLL) -> None:
    """Extend the heap by addresses for half the machine's memory, to become huge pages when they are used.

    Only addresses: memory is taken when it is written to. Advice counts for addresses that exist, so a heap
    that grew later would consist of small pages.
    """
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    address = library.malloc(size)
    if address is None:
        return  # a limit on addresses; the heap then grows in small pages
    page = os.sysconf("SC_PAGE_SIZE")
    first = -(-address // page) * page
    library.madvise(first, address + size - first, _HUGE_PAGES)
    library.free(address)


def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    library.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    library.malloc_trim.argtypes = [ctypes.c_size_t]
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return library
