"""Runs the contenders of a case in turns, A B C A B C ..., so that a slow minute of the machine hits all."""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import ARCHITECTURE, Case, Contender
from benchmarks.weights import write_released
from iassf_jax.models import model_fields

_SHORTEST_TURN = 0.1  # seconds; quicker calls are repeated within a turn
_ENVIRONMENT = {
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # compilation is timed cold
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # the contenders share the accelerator
}
# How far results may lie apart: one grey level of the density in float32, rounding beyond.
TOLERANCES = {"float32": 5e-3, "tf32": 2e-2, "bfloat16": 1e-1}


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured."""

    seconds: float = 60.0  # aimed at per case, without building
    least: int = 5  # rounds at least
    most: int = 25
    patience: float = 1200.0  # seconds that building, or one turn, may take


class WorkerError(RuntimeError):
    """A contender that could not be built or died."""


class Worker:
    """A contender's process."""

    def __init__(self, case: Case, contender: Contender, folder: Path, *, patience: float):
        self.contender = contender
        self.result = folder / f"{contender.name}.npy"
        self._patience = patience
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | _ENVIRONMENT,
            cwd=Path(__file__).resolve().parents[1],
        )
        fields = model_fields("iassf_released")
        order = {
            "case": dataclasses.asdict(case),
            "contender": dataclasses.asdict(contender),
            "weights": str(folder / "weights.npz"),
            "fields": {name: fields[name] for name in ARCHITECTURE},
            "result": str(self.result),
        }
        self.built = self._ask(order)
        self.turn(1)  # warm-up

    def turn(self, repeats: int) -> dict[str, list[float]]:
        """Run the task once uncounted, then `repeats` times; wall and processor seconds of each of these."""
        return self._ask({"repeats": repeats})

    def finish(self) -> dict[str, Any]:
        """Close the process and return its memory peaks."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._answer()

    def stop(self) -> None:
        """End the process whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            print(json.dumps(message), file=self._process.stdin, flush=True)
        except OSError:
            pass  # it died; reading tells more
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        alarm = threading.Timer(self._patience, self._process.kill)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            raise WorkerError(self._cause_of_death())
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        if code == -9:
            return f"killed: out of memory, or longer than {self._patience:.0f} s"
        self._errors.seek(0)
        return f"exit code {code}: {self._errors.read()[-500:].decode(errors='replace')}"


def compare(
    case: Case, contenders: Sequence[Contender], effort: Effort, report: Callable[[str], None]
) -> dict[str, Any]:
    """Time one case and return its record; a contender that fails is recorded with its error."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        write_released(folder / "weights.npz", model_fields("iassf_released"))
        workers, failures = [], {}
        for contender in contenders:
            report(f"{case.name}: building {contender.name}")
            try:
                worker = Worker(case, contender, folder, patience=effort.patience)
            except WorkerError as error:
                failures[contender] = str(error)
                continue
            stack.callback(worker.stop)
            workers.append(worker)
        turns = _alternate(case, workers, effort, report)
        records = [_record(worker, turns[worker.contender], workers[0]) for worker in workers]
        records += [{"name": c.name, "side": c.side, "error": why} for c, why in failures.items()]
    return {**dataclasses.asdict(case), "name": case.name, "contenders": records, **_verdict(case, records)}


def _alternate(
    case: Case, workers: Sequence[Worker], effort: Effort, report: Callable[[str], None]
) -> dict[Contender, dict[str, list[float]]]:
    trial = [statistics.mean(worker.turn(1)["seconds"]) for worker in workers]
    repeats = [max(1, round(_SHORTEST_TURN / max(seconds, 1e-5))) for seconds in trial]
    round_seconds = sum(n * seconds for n, seconds in zip(repeats, trial, strict=True))
    rounds = int(min(max(effort.seconds / max(round_seconds, 1e-3), effort.least), effort.most))
    turns: dict[Contender, dict[str, list[float]]] = {
        worker.contender: {"seconds": [], "processor_seconds": []} for worker in workers
    }
    for index in range(rounds):
        report(f"{case.name}: round {index + 1} of {rounds}")
        for worker, count in zip(workers, repeats, strict=True):
            for kind, values in worker.turn(count).items():
                turns[worker.contender][kind].append(statistics.mean(values))
    return turns


def _record(worker: Worker, turns: dict[str, list[float]], first: Worker) -> dict[str, Any]:
    difference = np.abs(np.load(worker.result) - np.load(first.result)).max()
    scale = max(1.0, float(np.abs(np.load(first.result)).max()))
    return {
        "name": worker.contender.name,
        "side": worker.contender.side,
        "seconds": _spread(turns["seconds"]),
        "processor_seconds": _spread(turns["processor_seconds"]),
        "rounds": turns["seconds"],
        "difference": float(difference) / scale,
        **worker.built,
        **worker.finish(),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return {
        "median": middle,
        "quarter": low,
        "three_quarters": high,
        "least": min(values),
        "most": max(values),
    }


def _verdict(case: Case, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Compare ours with the best rival; nothing where one of them is missing."""
    done = [record for record in records if "error" not in record]
    ours = [record for record in done if record["side"] == "jax"]
    rivals = sorted(
        (record for record in done if record["side"] == "torch"), key=lambda r: r["seconds"]["median"]
    )
    verdict: dict[str, Any] = {
        "agree": all(record["difference"] <= TOLERANCES[case.precision] for record in done)
    }
    if ours and rivals:
        pairs = zip(ours[0]["rounds"], rivals[0]["rounds"], strict=True)
        verdict |= {
            "best_rival": rivals[0]["name"],
            "ratio": ours[0]["seconds"]["median"] / rivals[0]["seconds"]["median"],
            "ratio_by_round": _spread([a / b for a, b in pairs]),
        }
    return verdict
