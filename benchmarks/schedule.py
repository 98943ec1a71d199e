"""How long the paper's 54,000 steps take, from the step time of a run whose data stays on the device.

    python -m benchmarks.schedule --output schedule.json
    python -m benchmarks.schedule --data D --config configs/iassf.py --steps 1000 --output schedule.json

Trains with `iassf train` as a user would, reads the step times that the run logged and multiplies their
median. Without --data it trains on generated scenes: the time does not depend on what is in the images.
Options of `iassf train` may follow after --; they take the place of `--config.model.dtype=bfloat16`.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax

from benchmarks.run import machine
from iassf_jax.checkpoints.versions import versions
from iassf_jax.cli.main import main as iassf
from iassf_jax.training.logging import TIMING_FILE

SCHEDULE = 54_000  # 300 epochs of 1083 pairs in batches of 6
_DTYPE = "--config.model.dtype=bfloat16"


def main(argv: Sequence[str] | None = None) -> int:
    """Train, report and write the record."""
    args = _arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or _scenes(Path(folder) / "scenes", args.scenes)
        run = Path(folder) / "run"
        words = [f"--config.data.train={data}", f"--config.steps={args.steps}"]
        words += [
            f"--config.log_every={max(1, args.steps // 10)}",
            "--config.data.resident=true",
            *args.options,
        ]
        if code := iassf(["train", "--config", args.config, "--workdir", str(run), *words]):
            return code
        record = summary(run)
    record |= {"config": args.config, "options": args.options}
    print(json.dumps(record, indent=2))
    if args.output:
        args.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


def summary(run: Path) -> dict[str, object]:
    """Return the record of the run in the folder `run`.

    Raises:
      ValueError: it logged no step times, having been too short.
    """
    lines = [json.loads(line) for line in (run / TIMING_FILE).read_text(encoding="utf-8").splitlines()]
    seconds = [line["seconds_per_step"] for line in lines if line["kind"] == "train"]
    if not seconds:
        raise ValueError("the run was too short to log step times: give more --steps")
    median = statistics.median(seconds)
    return {
        "device": jax.devices()[0].device_kind,
        "machine": machine(),
        "versions": versions(),
        "seconds_per_step": {"median": median, "least": min(seconds), "most": max(seconds)},
        "schedule": {"steps": SCHEDULE, "minutes": median * SCHEDULE / 60.0},
    }


def _scenes(folder: Path, count: int) -> Path:
    words = ["--output", str(folder), "--count", str(count), "--val-count", "1"]
    if iassf(["data", "scenes", *words]):
        raise SystemExit("no scenes were generated")
    return folder / "train"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="D", help="training folder (default: generated scenes)")
    parser.add_argument("--scenes", type=int, default=64, metavar="N", help="scenes to generate (64)")
    parser.add_argument("--config", default="iassf_released", metavar="C", help="as of `iassf train`")
    parser.add_argument("--steps", type=int, default=600, metavar="N", help="steps to train (600)")
    parser.add_argument("--output", type=Path, metavar="F.json", help="write the record here")
    parser.add_argument("options", nargs="*", default=[_DTYPE], metavar="-- OPTIONS", help="of `iassf train`")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
