"""The engine of one machine: every unit of work in a process of its own, one after the other or several."""

import collections
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from iassf_jax.core.errors import InputError
from iassf_jax.sweeps.folders import (
    FAILED,
    FINAL,
    WAITING,
    Status,
    Unit,
    clear_status,
    is_done,
    read_status,
    write_status,
)
from iassf_jax.sweeps.lifeline import ATTACHED

WORKER = (sys.executable, "-m", "iassf_jax.sweeps.worker", ATTACHED)
_POLL = 0.1  # seconds


@dataclasses.dataclass
class _Running:
    unit: Unit
    retries: int  # further tries
    slot: int
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    told: bool = False  # to stop


def run_local(
    units: Sequence[Unit],
    *,
    parallel: int = 1,
    retries: int = 1,
    report: Callable[[Unit], None] = lambda unit: None,
    command: Sequence[str] | None = None,
) -> bool:
    """Train the units that are not done yet; False if a signal stopped it.

    SIGTERM and Ctrl-C are passed on to every process, which ends with a checkpoint. A process that failed or
    was killed is started again, `retries` times, and continues from its last checkpoint. Where this process
    itself is killed, those that it has started end with it, so that the next command finds the folders free.

    Args:
      units: folders of the points that one process trains.
      parallel: processes at a time. GPUs are divided among them; with fewer GPUs, they share.
      retries: further tries of a unit.
      report: called with a unit that has ended and is not tried again.
      command: started with the folders of a unit; the default is `WORKER`.

    Raises:
      InputError: `parallel` is no number of processes.
    """
    if parallel < 1:
        raise InputError(f"--parallel {parallel}; expected at least 1")
    queue = collections.deque((unit, retries) for unit in units if not is_done(unit))
    free, running = list(range(parallel))[::-1], list[_Running]()
    with _stop_on_signals() as stop:
        while running or (queue and not stop.is_set()):
            while queue and free and not stop.is_set():
                running.append(_start(*queue.popleft(), free.pop(), parallel, command or WORKER))
            time.sleep(_POLL)
            if stop.is_set():
                _pass_on(running)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                free.append(job.slot)
                _close(job, stopped=stop.is_set())
                if job.retries and not is_done(job.unit) and not stop.is_set():
                    queue.append((job.unit, job.retries - 1))
                else:
                    report(job.unit)
        return not stop.is_set()


def slot_environment(slot: int, parallel: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the process in `slot` of `parallel`, with its share of the GPUs.

    Args:
      slot: number of the place, from 0.
      parallel: number of places.
      environ: the environment; CUDA_VISIBLE_DEVICES in it are the GPUs that may be used.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else _gpus()
    if parallel == 1 or not devices:
        return dict(environ)
    if len(devices) >= parallel:
        return {**environ, "CUDA_VISIBLE_DEVICES": ",".join(devices[slot::parallel])}
    shared = {"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)], "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {**environ, **shared}


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and Ctrl-C set. (`training.signals` asks JAX, which would take a GPU.)"""
    event, previous = threading.Event(), {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, lambda *_: event.set())
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _gpus() -> list[str]:
    """Return the numbers of NVIDIA's GPUs without starting JAX, which would take their memory."""
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index in range(len(list(folder.iterdir())))] if folder.is_dir() else []


def _start(unit: Unit, retries: int, slot: int, parallel: int, command: Sequence[str]) -> _Running:
    for folder in unit:
        if read_status(folder).state not in FINAL:
            clear_status(folder)
    output = (unit[0] / "output.log").open("ab")
    process = subprocess.Popen(
        [*command, *map(str, unit)],
        env=slot_environment(slot, parallel, os.environ),
        stdin=subprocess.PIPE,  # never written to: it closes when this process is gone
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal comes through `_pass_on`, once
    )
    return _Running(unit, retries, slot, process, output)


def _pass_on(running: Sequence[_Running]) -> None:
    for job in running:
        if not job.told:
            job.process.send_signal(signal.SIGTERM)
            job.told = True


def _close(job: _Running, *, stopped: bool) -> None:
    """Close a process's log, and record its end where it could not do so itself."""
    job.output.close()
    if job.process.stdin is not None:
        job.process.stdin.close()
    code = job.process.returncode
    if code == 0 or stopped:
        return
    reason = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    for folder in job.unit:
        if read_status(folder).state == WAITING:
            write_status(folder, Status(FAILED, error=f"its process {reason}"))
