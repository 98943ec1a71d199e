"""Processes that prepare batches end by `close` or with the process that started them, not by signals.

Ctrl-C, and the SIGTERM of a scheduler, reach all processes of a run. They ask for a last checkpoint, and the
run goes on reading until it is made.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes and threads that are started inside never receive SIGINT and SIGTERM.

    A worker ignores them once it runs `begin_worker`, but starting takes it seconds. What comes for this
    process in the meantime is not lost: another thread receives it, or this one afterwards.
    """
    resource_tracker.ensure_running()  # the first start of this helper would unblock the signals here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(index: int, count: int) -> None:
    """Make this process, worker `index` of `count`, ignore SIGINT and SIGTERM and end with its parent."""
    del index, count  # grain passes them
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()


def _end_with_parent() -> None:
    """A parent that was killed could not say so, and grain's workers would wait for it for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
