"""What members of a population cost in one program, against as many separate runs; and if they are equal.

    python -m benchmarks.population --members 4 --steps 50
    python -m benchmarks.population --config cpu_small --data DATA --output population.json

Trains one configuration with several alphas: all in one process as a population, then each in a process of
its own, one after the other. Compiled programs are not kept, so that every process compiles what it runs.
Reported are the wall time, the processor time of the processes (what counts where others use the machine),
and how far every logged loss of a member is from its separate run's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_ALPHAS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
_SCENES = ("--count", "16", "--size", "192x256")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 when the members' losses are those of the separate runs."""
    args = _arguments(argv)
    alphas = _ALPHAS[: args.members]
    with tempfile.TemporaryDirectory() as folder:
        data = args.data
        if data is None:
            data = Path(folder) / "scenes"
            _run(["data", "scenes", "--output", str(data), *_SCENES])
        words = _options(args, data)
        together, apart = Path(folder) / "together", Path(folder) / "apart"
        grid = ["--grid", f"alpha={','.join(map(str, alphas))}", "--base", args.config]
        sweep = ["sweep", "--config", _one_point(Path(folder)), *grid, "--workdir", str(together)]
        population = _run([*sweep, "--population", str(len(alphas)), *words])
        separate = [
            _run(["train", "--config", args.config, "--workdir", str(apart / str(a)), *words, _alpha(a)])
            for a in alphas
        ]
        deviation = max(deviation_of(together / f"alpha={a}", apart / str(a)) for a in alphas)
    report = summary(population, separate, deviation, members=len(alphas), steps=args.steps)
    report |= {"config": args.config, "load_before": args.load}
    print(json.dumps(report, indent=2))
    if args.output:
        args.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(deviation > args.tolerance)


def summary(
    population: dict[str, float],
    separate: Sequence[dict[str, float]],
    deviation: float,
    *,
    members: int,
    steps: int,
) -> dict[str, object]:
    """Return both sides' seconds and the population's share of them."""
    sums = {name: sum(run[name] for run in separate) for name in population}
    share = {f"{name}_share": population[name] / sums[name] for name in population}
    return {
        "members": members,
        "steps": steps,
        "population": population,
        "separate": sums,
        **share,
        "largest_relative_deviation": deviation,
    }


def deviation_of(one: Path, other: Path) -> float:
    """Return the largest relative difference of the logged losses of two runs.

    Raises:
      ValueError: they did not log the same steps.
    """
    curves = [_losses(folder) for folder in (one, other)]
    if curves[0].keys() != curves[1].keys() or not curves[0]:
        raise ValueError(f"{one} and {other} did not log the same steps")
    return max(abs(curves[0][key] - value) / abs(value) for key, value in curves[1].items())


def _losses(folder: Path) -> dict[tuple[int, str], float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry["kind"] == "train"]
    return {
        (entry["step"], name): value
        for entry in entries
        for name, value in entry.items()
        if name.startswith("loss/")
    }


def _options(args: argparse.Namespace, data: Path) -> list[str]:
    options = {"steps": args.steps, "data.train": data / "train", "data.val": "", "eval_every": 0}
    options |= {"images_every": 0, "log_every": 1, "checkpoint_every": args.steps, "mesh.data": 1}
    options |= {"optimizer.warmup_steps": args.steps // 5}  # those of the configuration may be too many
    return [f"--config.{name}={value}" for name, value in options.items()]


def _alpha(value: float) -> str:
    return f"--config.alpha={value}"


def _one_point(folder: Path) -> str:
    """A sweep file of a single point, to which the grid of alphas is all there is."""
    file = folder / "one.py"
    file.write_text("def get_points():\n    yield {}\n", encoding="utf-8")
    return str(file)


def _run(words: list[str]) -> dict[str, float]:
    """Run a command to its end; return its wall and processor seconds, its own children's included."""
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "iassf_jax.cli.main", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall_seconds": wall, "processor_seconds": used}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, choices=range(2, len(_ALPHAS) + 1), default=4)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--config", default="cpu_small", help="packaged name or file (default: cpu_small)")
    parser.add_argument("--data", type=Path, help="folder with train/ (default: generated scenes)")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of the losses, relative")
    parser.add_argument("--output", type=Path, metavar="F.json", help="write the result here")
    parser.set_defaults(load=os.getloadavg()[0])
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
