"""Writes benchmarks/README.md from the records beside it: `python -m benchmarks.page`."""

import json
from pathlib import Path

from benchmarks import targets
from benchmarks.report import render

_HERE = Path(__file__).resolve().parent
RECORDS = _HERE / "records"
PAGE = _HERE / "README.md"

_INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.page` from the records in `records/`; do not edit.

    # everything, and what of the targets is reached; on a GPU also `make bench-gpu NAME=MACHINE`
    python -m benchmarks.machine --name MACHINE
    # some of it
    iassf bench train --only 1x256x256 --output benchmarks/records/MACHINE_training.json
    # in training, other ways to save memory or none: blocks computed anew, the whole batch at once
    iassf bench train --remat --output benchmarks/records/MACHINE_remat.json
    iassf bench train --only 2x256x256 --micro-batch 2 --output benchmarks/records/MACHINE_whole.json
    # rivals whose C library keeps freed memory, as that of `iassf train` does
    iassf bench train --rivals-keep-memory --output benchmarks/records/MACHINE_kept.json

The rival is the released network in PyTorch (`torch_twin.py`, tested against recorded arrays of the
released code): eager, `channels_last` and `torch.compile`; the best of them counts. Every contender is a
process of its own; they run in turns. Neither compilation nor warm-up is in the times, nor the first call of
every turn. "host density" estimates the haze density with OpenCV as the released code does, "device density"
never leaves the device.
`iassf` asks for huge pages (`iassf_jax/core/allocator.py`), so every contender has them.
In training `iassf` also keeps its workspace between steps (same file). PyTorch runs as its users start it,
but with `--rivals-keep-memory` its C library keeps freed memory as well: "freed memory kept".
"""

_HOW_JUDGED = """Ours over the rival's, lower is better. Of several records the worst counts; those with
options (`remat`, a given micro-batch, "freed memory kept") do not."""


def page(records: Path = RECORDS) -> str:
    """Return the page of all records, in the order of their file names."""
    files = sorted(records.glob("*.json"))
    machines = sorted({file.stem.partition("_")[0] for file in files})
    parts = [_INTRODUCTION.strip(), *(_targets(machine, records) for machine in machines)]
    parts += [render(json.loads(file.read_text()), file.stem).strip() for file in files]
    return "\n\n".join(parts) + "\n"


def _targets(machine: str, records: Path) -> str:
    found = targets.load(machine, records)
    verdicts = targets.judge(found, targets.targets_for(found))
    return f"## Targets: {machine}\n\n{_HOW_JUDGED}\n\n{targets.render(verdicts)}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
