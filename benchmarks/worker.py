"""One contender in a process of its own, with its own memory and threads: `python -m benchmarks.worker`.

Speaks JSON lines. Reads {"case", "contender", "weights", "fields", "result"}, builds the task and answers
what building took; reads {"repeats": n} and answers the seconds of n calls; at the end of the input answers
the peaks of its memory. What libraries print goes to standard error.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarks.built import Built
from benchmarks.cases import Case, Contender
from iassf_jax.core.allocator import keep_freed_memory, return_freed_memory


def main() -> None:
    """Serve one parent until it closes the pipe."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _die_first_when_memory_ends()
    try:
        order = json.loads(sys.stdin.readline())
        built = _build(order)
        np.save(order["result"], built.result())
        _answer(
            answers, {"setup": built.setup, "device": built.device, "versions": built.versions, **built.work}
        )
        _serve(answers, built)
    except Exception as error:  # the parent records it and goes on with the other contenders
        _answer(answers, {"error": f"{type(error).__name__}: {error}"[:2000]})


def _build(order: dict[str, Any]) -> Built:
    case, contender = Case(**order["case"]), Contender(**order["contender"])
    trains = contender.side == "jax" and case.task == "train"
    if trains or contender.keeps_memory:
        keep_freed_memory()  # as `iassf train` does
    if contender.side == "jax":
        from benchmarks import jax_side

        return jax_side.build(case, order["weights"])
    from benchmarks import torch_side

    return torch_side.build(case, contender, order["weights"], order["fields"])


def _serve(answers: TextIO, built: Built) -> None:
    setup_peak = _resident_peak()
    _reset_resident_peak()
    for line in sys.stdin:
        seconds, processor = [], []
        # After some seconds of idleness a training step takes twice its time, on virtual machines, it seems
        # because the host has taken freed pages back. A run is never idle and does not pay it.
        built.call()
        for _ in range(json.loads(line)["repeats"]):
            wall, cpu = time.perf_counter(), time.process_time()
            built.call()
            seconds.append(time.perf_counter() - wall)
            processor.append(time.process_time() - cpu)
        _answer(answers, {"seconds": seconds, "processor_seconds": processor})
    _answer(
        answers,
        {
            "resident_peak": _resident_peak(),
            "resident_peak_of_setup": setup_peak,
            "device_peak": built.device_peak(),
        },
    )


def _answer(answers: TextIO, message: dict[str, Any]) -> None:
    print(json.dumps(message), file=answers, flush=True)


def _resident_peak() -> int:
    """Largest resident memory since the start or the last reset, bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _reset_resident_peak() -> None:
    """Forget the peak of building; what compilers freed goes back to the system first."""
    try:
        return_freed_memory()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # other systems: the peak then includes building


def _die_first_when_memory_ends() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass  # only Linux has it


if __name__ == "__main__":
    main()
