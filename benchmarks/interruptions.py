"""Whether a run that is killed again and again ends as the run that is left alone: bit for bit.

    python -m benchmarks.interruptions --kills 12 --steps 60 --signal KILL

Trains `configs/smoke.py` on generated scenes in a process of its own, with validation and a checkpoint every
few steps. The same run is then started again and again and gets the signal at a random moment after its next
checkpoint has appeared, often in the middle of the one after, until it has been hit often enough; then it may
finish. Parameters, optimizer, running mean, data position, losses and validation of both are compared.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iassf_jax.training.logging import METRICS_FILE

_POLL = 0.02  # seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; 0 when both runs end alike."""
    args = _arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        scenes = Path(folder) / "scenes"
        _command(["data", "scenes", "--output", str(scenes), "--count", "10", "--size", "64x80"])
        alone, interrupted = Path(folder) / "alone", Path(folder) / "interrupted"
        _command(_training(alone, scenes, args.steps))
        rng = random.Random(args.seed)
        hits = 0
        while hits < args.kills:
            hits += _interrupt(_training(interrupted, scenes, args.steps), interrupted, args, rng)
            found = _checkpoints(interrupted)
            print(f"{hits} of {args.kills} interruptions, checkpoints {found}", flush=True)
            if args.steps in found:
                print("the run ended before it was interrupted often enough: give more --steps")
                return 1
        _command(_training(interrupted, scenes, args.steps))
        differences = compare(alone, interrupted, args.steps)
    report = {"kills": hits, "signal": args.signal, "steps": args.steps, "differences": differences}
    print(json.dumps(report, indent=2))
    if args.output:
        args.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if differences else 0


def compare(one: Path, other: Path, step: int) -> list[str]:
    """Return what differs between two finished runs: arrays of their last checkpoints, records, log lines."""
    import orbax.checkpoint as ocp

    from iassf_jax.checkpoints.storage import open_steps

    trees = []
    for workdir in (one, other):
        with open_steps(workdir / "checkpoints", ocp.CheckpointManagerOptions(create=False)) as reader:
            items = reader.item_metadata(step)
            arrays = {k: ocp.args.StandardRestore() for k in ("params", "ema", "optimizer") if items.get(k)}
            trees.append(
                reader.restore(step, args=ocp.args.Composite(**arrays, iterator=ocp.args.JsonRestore()))
            )
    differences = [name for name in trees[0].keys() if not _equal(trees[0][name], trees[1][name])]
    return differences + differing_files(one, other)


def differing_files(one: Path, other: Path) -> list[str]:
    """Return the log of losses and validation if it is not the same byte for byte."""
    same = (one / METRICS_FILE).read_bytes() == (other / METRICS_FILE).read_bytes()
    return [] if same else [METRICS_FILE]


def _equal(a: object, b: object) -> bool:
    import jax

    one, other = (jax.tree.leaves_with_path(tree) for tree in (a, b))
    return [path for path, _ in one] == [path for path, _ in other] and all(
        np.array_equal(np.asarray(x), np.asarray(y)) for (_, x), (_, y) in zip(one, other, strict=True)
    )


def _training(workdir: Path, scenes: Path, steps: int) -> list[str]:
    options = {
        "steps": steps,
        "data.train": scenes / "train",
        "data.val": scenes / "val",
        "eval_every": 6,
        "images_every": 0,
        "checkpoint_every": 2,
        "log_every": 3,
        "ema_decay": 0.9,
        "mesh.data": 1,
    }
    words = [f"--config.{name}={value}" for name, value in options.items()]
    return ["train", "--config", "smoke", "--workdir", str(workdir), *words]


def _interrupt(words: list[str], workdir: Path, args: argparse.Namespace, rng: random.Random) -> int:
    """Start the run and send the signal some time after its next checkpoint; return whether it was hit."""
    before = _checkpoints(workdir)
    process = subprocess.Popen(_python(words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and _checkpoints(workdir) == before:
        time.sleep(_POLL)
    time.sleep(rng.uniform(0.0, args.longest))
    if process.poll() is not None:
        return 0
    process.send_signal(getattr(signal, f"SIG{args.signal}"))
    process.wait()
    return 1


def _checkpoints(workdir: Path) -> list[int]:
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def _python(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "iassf_jax.cli.main", *words]


def _command(words: list[str]) -> None:
    subprocess.run(_python(words), check=True, stdout=subprocess.DEVNULL, env=os.environ)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=12, metavar="N", help="interruptions (default: 12)")
    parser.add_argument("--steps", type=int, default=60, metavar="N", help="steps of the run (default: 60)")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument(
        "--longest", type=float, default=1.0, metavar="S", help="longest wait after a checkpoint, seconds"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, metavar="F.json", help="write the result here")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
