"""Writes benchmarks/README.md from the records beside it: `python -m benchmarks.page`."""

import json
from pathlib import Path

from benchmarks.report import render

_HERE = Path(__file__).resolve().parent
RECORDS = _HERE / "records"
PAGE = _HERE / "README.md"

_INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.page` from the records in `records/`; do not edit.

    # CPU
    iassf bench all --output benchmarks/records/MACHINE.json
    # GPU: also lower precision, and rivals that keep the haze density on the device; own kernels
    iassf bench all --precision float32,tf32,bfloat16 --densities host,device \\
        --output benchmarks/records/MACHINE.json
    iassf bench all --precision float32,tf32,bfloat16 --no-rivals --pallas \\
        --output benchmarks/records/MACHINE_pallas.json
    # less memory in training: gradients accumulated over single pairs, or blocks computed anew
    iassf bench train --micro-batch 1 --output benchmarks/records/MACHINE_micro_batches.json
    iassf bench train --remat --output benchmarks/records/MACHINE_remat.json
    # rivals whose C library keeps freed memory, as that of `iassf train` does
    iassf bench train --rivals-keep-memory --output benchmarks/records/MACHINE_kept.json

The rival is the released network in PyTorch (`torch_twin.py`, tested against recorded arrays of the
released code): eager, `channels_last` and `torch.compile`; the best of them counts. Every contender is a
process of its own; they run in turns. Neither compilation nor warm-up is in the times, nor the first call of
every turn. "host density" estimates the haze density with OpenCV as the released code does, "device density"
never leaves the device.
`iassf` asks for huge pages (`iassf_jax/core/allocator.py`), so every contender has them.
In training `iassf` also keeps its workspace between steps (same file; in records of forward passes, and in
those before 2026-11-23T21, it does not). PyTorch runs as its users start it, but with `--rivals-keep-memory`
its C library keeps freed memory as well: "freed memory kept".
"""


def page(records: Path = RECORDS) -> str:
    """Return the page of all records, in the order of their file names."""
    files = sorted(records.glob("*.json"))
    return (
        "\n\n".join(
            [_INTRODUCTION.strip(), *(render(json.loads(file.read_text())).strip() for file in files)]
        )
        + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
