"""All that was asked of the speed on one machine, in one command: what is measured, then what was reached.

    python -m benchmarks.machine --name h100

Runs one after the other, each in a process of its own:

    tests      operations and networks on this device (accelerators; on CPUs it is `make test`)
    bench      `iassf bench` against PyTorch; on accelerators in three precisions, and with own kernels
    schedule   the paper's 54,000 steps with resident data (accelerators)
    folder     `iassf fuse` on 200 pairs against the network alone

Records are written as NAME*.json below --records, and judged at the end (`benchmarks.targets`). A part that
fails does not stop the others. --parts takes some of them; the records of the others are judged as they lie.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import targets

_ROOT = Path(__file__).resolve().parents[1]
PARTS = ("tests", "bench", "schedule", "folder")
_ON_GPU = {"IASSF_TEST_PLATFORM": "cuda", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
_BENCH = ("iassf_jax.cli.main", "bench", "all", "--overwrite")
_PRECISIONS = ("--precision", "float32,tf32,bfloat16")

Command = tuple[Sequence[str], Mapping[str, str]]  # the words after `python -m`, and variables to set


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts and print the verdicts; 1 when a part failed or a target was not reached."""
    args = _arguments(argv)
    on_cpu = _backend() == "cpu"
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for part in args.parts:
            for words, variables in commands(part, args, Path(scratch), on_cpu=on_cpu):
                print("$", *variables, *words, flush=True)
                code = subprocess.run([sys.executable, "-m", *words], env=os.environ | variables).returncode
                failed += [f"{' '.join(words)}: exit code {code}"] if code else []
    print(*(f"FAILED: {what}" for what in failed), sep="\n")
    return int(bool(failed)) | targets.main(["--name", args.name, "--records", str(args.records)])


def commands(part: str, args: argparse.Namespace, scratch: Path, *, on_cpu: bool) -> list[Command]:
    """Return what a part runs, for CPUs or for accelerators; `scratch` is for files that are not kept."""
    return {"tests": _tests, "bench": _bench, "schedule": _schedule, "folder": _folder}[part](
        args, scratch, on_cpu
    )


def _tests(args: argparse.Namespace, scratch: Path, on_cpu: bool) -> list[Command]:
    where = [str(_ROOT / "tests" / folder) for folder in ("ops", "models")]
    return [] if on_cpu else [(["pytest", *where], _ON_GPU)]


def _bench(args: argparse.Namespace, scratch: Path, on_cpu: bool) -> list[Command]:
    output = ["--output", str(args.records / f"{args.name}.json")]
    if on_cpu:
        return [([*_BENCH, *output], {})]
    kernels = ["--no-rivals", "--pallas", "--output", str(args.records / f"{args.name}_pallas.json")]
    return [
        ([*_BENCH, *_PRECISIONS, "--densities", "host,device", *output], {}),
        ([*_BENCH, *_PRECISIONS, *kernels], {}),
    ]


def _schedule(args: argparse.Namespace, scratch: Path, on_cpu: bool) -> list[Command]:
    output = args.records / "training" / f"{args.name}_schedule.json"
    return [] if on_cpu else [(["benchmarks.schedule", "--output", str(output)], {})]


def _folder(args: argparse.Namespace, scratch: Path, on_cpu: bool) -> list[Command]:
    made: list[Command] = []
    data = args.data
    if data is None:
        data = scratch / "scenes" / "train"
        words = ["data", "scenes", "--output", str(data.parent), "--count", "33", "--val-count", "1"]
        made = [(["iassf_jax.cli.main", *words], {})]
    output = args.records / "input" / f"{args.name}_folder.json"
    return [*made, (["benchmarks.folder", "--data", str(data), "--output", str(output)], {})]


def _backend() -> str:
    """Ask another process: this one must not take the accelerator's memory."""
    asked = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[-1]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="of the machine, for its records")
    parser.add_argument("--records", type=Path, default=targets.RECORDS, metavar="DIR", help="where they go")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="all by default")
    parser.add_argument(
        "--data", type=Path, metavar="D", help="folder with hazy/ and IR/ (default: generated)"
    )
    args = parser.parse_args(argv)
    for folder in ("input", "training"):
        (args.records / folder).mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    raise SystemExit(main())
