"""How far apart the loss curves of two runs are.

    iassf train --config configs/cpu_small.py --workdir A --config.steps=200 ...
    iassf train --config configs/cpu_small.py --workdir B --config.steps=200 --config.model.dtype=bfloat16 ...
    python -m benchmarks.curves A B

Compares the training losses of every log line (means over the steps since the line before).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iassf_jax.training.logging import METRICS_FILE

_LOSS = "loss/total"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison as JSON; 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the first run")
    parser.add_argument("other", type=Path, help="folder of the second run")
    args = parser.parse_args(argv)
    print(json.dumps(compare(args.run, args.other), indent=2))
    return 0


def compare(run: Path, other: Path) -> dict[str, float | int]:
    """Return the largest and the mean relative difference of the losses of two runs' log lines."""
    first, second = (losses(folder) for folder in (run, other))
    steps = sorted(first.keys() & second.keys())
    if not steps:
        raise SystemExit(f"{run} and {other} have no log lines of the same steps")
    a, b = (np.array([curve[step] for step in steps]) for curve in (first, second))
    relative = np.abs(b - a) / a
    return {"steps": steps[-1], "lines": len(steps), "largest": relative.max(), "mean": relative.mean()}


def losses(workdir: Path) -> dict[int, float]:
    """Return step -> mean loss of a run's log lines."""
    lines = (workdir / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return {entry["step"]: entry[_LOSS] for entry in entries if entry["kind"] == "train"}


if __name__ == "__main__":
    sys.exit(main())
