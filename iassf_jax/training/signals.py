"""SIGTERM (preemption) and Ctrl-C as a request to stop after the present step.

In a run of several processes SIGTERM belongs to JAX's preemption service, through which all of them agree on
the step after which they stop; see `distributed.stop_together`.
"""

import os
import signal
import threading
from types import FrameType

import jax

from iassf_jax.training.distributed import stop_together


class StopRequest:
    """True once a stop was asked for. As a context manager it listens to SIGTERM and SIGINT.

    A second Ctrl-C interrupts at once. Signals reach only the main thread; elsewhere nothing is listened to.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def after(self, step: int) -> bool:
        """Whether the run stops after `step` finished steps; every process asks before every step."""
        if self.signal is None and stop_together(step):
            self.signal = signal.SIGTERM
        return bool(self)

    def __enter__(self) -> "StopRequest":
        several = jax.process_count() > 1
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT,) if several else (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)  # all processes stop together, after a step they agree on
        else:
            self.signal = number
