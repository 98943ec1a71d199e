"""What was asked of the speed, and whether the records of a machine show it.

    python -m benchmarks.targets --name cpu
    python -m benchmarks.targets --name h100

Reads the records whose file names begin with --name: of `iassf bench`, `benchmarks.folder` and
`benchmarks.schedule`. Where several tell of the same thing, the worst of them counts; records in which the
network was asked to save memory, or its rivals were given a setting that their users do not have, do not.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).resolve().parent / "records"

Record = Mapping[str, Any]
Values = Callable[[Sequence[Record]], Iterable[float]]  # what records say; nothing where they do not


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that a machine has to reach."""

    says: str
    limit: float  # at most
    values: Values
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A target beside what was measured."""

    target: Target
    measured: float | None

    @property
    def word(self) -> str:
        if self.measured is None:
            return "not measured"
        return "reached" if self.measured <= self.target.limit else "NOT REACHED"


def judge(records: Sequence[Record], targets: Sequence[Target]) -> list[Verdict]:
    """Compare every target with the worst that the records say about it."""
    return [Verdict(target, max(target.values(records), default=None)) for target in targets]


def load(name: str, records: Path = RECORDS) -> list[Record]:
    """Read all records of the machine `name`, in whatever folder below `records` they lie."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(records.rglob(f"{name}*.json"))]


def render(verdicts: Sequence[Verdict]) -> str:
    """Return a Markdown table."""
    lines = ["| target | at most | measured | |", "| --- | --- | --- | --- |"]
    for verdict in verdicts:
        unit = f" {verdict.target.unit}" if verdict.target.unit else ""
        measured = "-" if verdict.measured is None else f"{verdict.measured:.3g}{unit}"
        lines.append(
            f"| {verdict.target.says} | {verdict.target.limit:.3g}{unit} | {measured} | {verdict.word} |"
        )
    return "\n".join(lines)


def targets_for(records: Sequence[Record]) -> tuple[Target, ...]:
    """Return the targets of the kind of device that the records are of."""
    contenders = [c for record in records for case in record.get("cases", ()) for c in case["contenders"]]
    devices = {c["device"] for c in contenders if c["side"] == "jax" and "device" in c}
    return CPU if devices <= {"cpu"} else GPU


def _time(case: str, rivals: str, density: str = "") -> Values:
    """Our median over that of the best of some rivals in the same run."""
    return _against(case, rivals, density, lambda contender: contender["seconds"]["median"])


def _memory(case: str, rivals: str) -> Values:
    return _against(
        case, rivals, "", lambda contender: contender["device_peak"] or contender["resident_peak"]
    )


def _against(case: str, rivals: str, density: str, measure: Callable[[Record], float]) -> Values:
    """The same of any measure, for rivals whose names begin with `rivals` and tell where the density is."""

    def values(records: Sequence[Record]) -> Iterable[float]:
        for ours, others in _measured(records, case):
            chosen = [c for c in others if c["name"].startswith(rivals) and f"({density}" in c["name"]]
            if chosen:
                yield measure(ours) / min(map(measure, chosen))

    return values


def _cold(case: str) -> Values:
    """Seconds of tracing and compiling."""
    return lambda records: (
        ours["setup"]["trace"] + ours["setup"]["compile"] for ours, _ in _measured(records, case)
    )


def _above_traffic(case: str, precision: str) -> Values:
    """The time over that of the least memory traffic."""

    def values(records: Sequence[Record]) -> Iterable[float]:
        for record in records:
            for ours, _ in _measured([record], case):
                bandwidth = record["ceilings"][precision]["bytes_per_second"]
                yield ours["seconds"]["median"] * bandwidth / ours["bytes"]

    return values


def _measured(records: Sequence[Record], name: str) -> Iterable[tuple[Record, list[Record]]]:
    """Yield (ours, rivals as their users start them) of every record with a case of this name."""
    for case in (case for record in records for case in record.get("cases", ()) if case["name"] == name):
        done = [c for c in case["contenders"] if "error" not in c and "memory kept" not in c["name"]]
        ours = [c for c in done if c["side"] == "jax"]
        if ours and case["agree"]:
            yield ours[0], [c for c in done if c["side"] == "torch"]


def _folder(rival: str) -> Values:
    """The time of a whole folder over that of the network alone."""
    return lambda records: (
        record["ratios"][rival]
        for record in records
        if record.get("pairs", 0) >= 200 and record["batch"] == 1
    )


def _minutes(records: Sequence[Record]) -> Iterable[float]:
    return (record["schedule"]["minutes"] for record in records if "schedule" in record)


CPU = (
    Target("forward 256x256 / eager PyTorch", 0.50, _time("forward 1x256x256 float32", "eager (")),
    Target("forward 256x256 / torch.compile", 0.80, _time("forward 1x256x256 float32", "torch.compile")),
    Target("forward 480x640 / best eager PyTorch", 0.40, _time("forward 1x480x640 float32", "eager")),
    Target("training step, batch 1 / best PyTorch", 0.60, _time("train 1x256x256 float32", "")),
    Target("training step, batch 2 / best PyTorch", 0.60, _time("train 2x256x256 float32", "")),
    Target("memory, training at batch 2 / eager", 0.60, _memory("train 2x256x256 float32", "eager")),
    Target("cold compilation, forward 256x256", 20.0, _cold("forward 1x256x256 float32"), "s"),
    Target("cold compilation, training step, batch 1", 60.0, _cold("train 1x256x256 float32"), "s"),
    Target("cold compilation, training step, batch 2", 60.0, _cold("train 2x256x256 float32"), "s"),
    Target("folder of 200 pairs / the network alone", 1.10, _folder("network alone")),
)

_TRAIN, _FORWARD = "train 6x256x256 bfloat16", "forward 1x480x640"
_STEP = "training step, batch 6, bfloat16"
GPU = (
    Target(f"{_STEP} / best PyTorch, density as released", 1 / 3, _time(_TRAIN, "", "host")),
    Target(f"{_STEP} / best PyTorch, all on the device", 1 / 2, _time(_TRAIN, "", "device")),
    Target(f"{_STEP} / least memory traffic", 4.0, _above_traffic(_TRAIN, "bfloat16")),
    *(
        Target(f"forward 480x640, {precision} / best PyTorch", 1 / 3, _time(f"{_FORWARD} {precision}", ""))
        for precision in ("float32", "tf32", "bfloat16")
    ),
    Target("the paper's 54,000 steps, resident data", 25.0, _minutes, "min"),
    # The device is idle for at most 10 % of the time.
    Target(
        "folder of 200 pairs / the network alone, two at once", 1 / 0.9, _folder("network alone, two at once")
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the verdicts; 1 when a target is not reached or not measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="cpu", help="of the machine: how its records' file names begin")
    parser.add_argument("--records", type=Path, default=RECORDS, metavar="DIR", help="where they are")
    args = parser.parse_args(argv)
    records = load(args.name, args.records)
    if not records:
        raise SystemExit(f"{args.records} has no record {args.name}*.json")
    verdicts = judge(records, targets_for(records))
    print(render(verdicts))
    return int(any(verdict.word != "reached" for verdict in verdicts))


if __name__ == "__main__":
    raise SystemExit(main())
