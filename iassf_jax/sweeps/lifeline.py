"""Ends a process with the one that started it, also where that one was killed and could not say so."""

import os
import threading
from collections.abc import Callable

ATTACHED = "--attached"  # word by which a process is told that its input is its lifeline


def end_with_parent(
    *, source: int = 0, end: Callable[[], None] = lambda: os._exit(1), chunk: int = 1024
) -> threading.Thread:
    """Call `end` when `source`, whose other side the starting process holds, is closed; return the thread.

    Nothing is saved then: whoever killed the one meant both, and the next start goes on from a checkpoint.

    Args:
      source: file descriptor, the standard input by default.
      end: what is done; by default the process ends at once.
      chunk: bytes that are read, and thrown away, at a time.
    """

    def wait() -> None:
        while os.read(source, chunk):
            pass
        end()

    thread = threading.Thread(target=wait, daemon=True, name="lifeline")
    thread.start()
    return thread
