"""SIGTERM (preemption) and Ctrl-C as a request to stop after the present step."""

import signal
import threading
from types import FrameType


class StopRequest:
    """True once a stop was asked for. As a context manager it listens to SIGTERM and SIGINT.

    A second Ctrl-C interrupts at once. Signals reach only the main thread; elsewhere nothing is listened to.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
