"""A whole run: the cases in turn, the device's ceilings, one record."""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.alternate import Effort, compare
from benchmarks.cases import Case, contenders

_ROOT = Path(__file__).resolve().parents[1]


def run(
    cases: Sequence[Case],
    *,
    densities: Sequence[str] = ("host",),
    rivals: str = "",
    rivals_keep_memory: bool = False,
    effort: Effort,
    note: str = "",
    report: Callable[[str], None],
    save: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Measure `cases` and return the record.

    Args:
      cases: what to measure.
      densities: where the rivals estimate the haze density, "host" and "device".
      rivals: only those whose names contain this.
      rivals_keep_memory: their C library keeps freed memory, as ours does in training.
      effort: how many rounds.
      note: kept in the record, for instance that the machine was shared.
      report: told what is going on.
      save: called with the record so far after each case, so that an interrupted run is not lost.
    """
    record: dict[str, Any] = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "note": note,
        "machine": machine(),
        "ceilings": {},
        "cases": [],
    }
    for precision in sorted({case.precision for case in cases if case.group != "data"}):
        report(f"ceilings of the device in {precision}")
        record["ceilings"][precision] = _ceilings(precision)
    for case in cases:
        every = contenders(case, densities=densities, keep_memory=rivals_keep_memory)
        chosen = [c for c in every if c.side == "jax" or rivals in c.name]
        record["cases"].append(compare(case, chosen, effort, report))
        save(record)
    return record


def machine() -> dict[str, Any]:
    """Describe the host; the load tells whether it was busy when the run began."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores,
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _ceilings(precision: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.roofline", precision]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
