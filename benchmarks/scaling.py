"""What a run is expected to lose to communication on many devices, from its step time on one.

    python -m benchmarks.scaling --run runs/cpu_small                       # step time of a finished run
    python -m benchmarks.scaling --config iassf --step-time 0.1 --step-time 0.2
    python -m benchmarks.scaling --page runs/cpu_small                      # writes docs/scaling.md

Every device keeps the batch of the measured run (weak scaling). This is a calculation from published
bandwidths and the stated assumptions, not a measurement on such machines.
"""

import argparse
import dataclasses
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from iassf_jax import models
from iassf_jax.core.config import load_config

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
COUNTS = (8, 64, 512)
STEP_TIMES = (0.005, 0.025, 0.1)  # seconds

ATTAINED = 0.7  # share of the published bandwidth that collectives reach
BACKWARD = 2 / 3  # share of a step in which gradients are made
OVERLAP = 0.5  # share of that time in which communication can hide
JITTER = 0.01  # standard deviation of the step time from device to device; all wait for the slowest


@dataclasses.dataclass(frozen=True)
class Machine:
    """Devices in groups: fast links inside, slower ones between. Bandwidths are per device and direction."""

    name: str
    group: int  # devices that the fast links join
    fast: float  # bytes/s
    slow: float  # bytes/s
    latency: float  # seconds for each step of a ring between groups


MACHINES = (
    Machine("H100, boxes of 8 (NVLink 450 GB/s, 400 Gb/s network per GPU)", 8, 450e9, 50e9, 10e-6),
    Machine("A100, boxes of 8 (NVLink 300 GB/s, 200 Gb/s network per GPU)", 8, 300e9, 25e9, 10e-6),
    Machine("TPU v5p, one slice (600 GB/s per chip)", 8960, 600e9, 600e9, 1e-6),
)


def allreduce_seconds(machine: Machine, size: float, count: int) -> float:
    """Return the time to add up `size` bytes over `count` devices: rings inside groups, then between them.

    Inside a group of g, a reduce-scatter and an all-gather move (g-1)/g of the bytes each; between m groups
    every device exchanges its share, size/g, over its own link.
    """
    inside = min(count, machine.group)
    groups = -(-count // machine.group)
    fast = 2 * (inside - 1) / inside * size / (machine.fast * ATTAINED)
    slow = 2 * (groups - 1) / groups * size / inside / (machine.slow * ATTAINED)
    hops = 2 * (groups - 1) if groups > 1 else 2 * (inside - 1)
    return fast + slow + hops * machine.latency


def efficiency(
    machine: Machine, *, step_time: float, size: float, count: int, overlap: float = OVERLAP
) -> float:
    """Return the throughput per device of data parallel training on `count` devices over that on one.

    Args:
      machine: how the devices are joined.
      step_time: of one device alone, seconds.
      size: bytes of the gradients.
      count: devices.
      overlap: share of the backward pass that hides communication.
    """
    if count == 1:
        return 1.0
    shown = max(0.0, allreduce_seconds(machine, size, count) - overlap * BACKWARD * step_time)
    slowest = 1 + JITTER * math.sqrt(2 * math.log(count))  # expected largest of many normal draws, from above
    return step_time / (step_time * slowest + shown)


def gradient_bytes(config_name: str) -> int:
    """Return the bytes of the float32 gradients of a configuration's network; nothing is computed."""
    model = models.create(load_config(config_name).model.to_dict())
    image = jnp.zeros((1, 64, 64, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image, image[..., :1])
    return sum(leaf.size * 4 for leaf in jax.tree.leaves(shapes))


def measured_step(workdir: Path) -> float:
    """Return the median seconds per step of the run in `workdir`."""
    lines = (workdir / "timing.jsonl").read_text(encoding="utf-8").splitlines()
    return statistics.median(json.loads(line)["seconds_per_step"] for line in lines)


def table(size: float, step_times: Sequence[float] = STEP_TIMES) -> str:
    """Return communication times and expected efficiencies as a Markdown table."""
    steps = " | ".join(f"step of {seconds * 1e3:.4g} ms" for seconds in step_times)
    rows = [f"| machine | devices | all-reduce | {steps} |", "| --- " * (3 + len(step_times)) + "|"]
    for machine in MACHINES:
        for count in COUNTS:
            time = allreduce_seconds(machine, size, count)
            cells = " | ".join(_cell(machine, seconds, size, count) for seconds in step_times)
            rows.append(f"| {machine.name} | {count} | {time * 1e3:.2g} ms | {cells} |")
    return "\n".join(rows)


def _cell(machine: Machine, seconds: float, size: float, count: int) -> str:
    both = (
        efficiency(machine, step_time=seconds, size=size, count=count, overlap=overlap)
        for overlap in (OVERLAP, 0.0)
    )
    return " / ".join(f"{value:.0%}" for value in both)


def page(workdir: Path) -> str:
    """Return docs/scaling.md; the run in `workdir` is the measured example."""
    config = json.loads((workdir / "config.json").read_text(encoding="utf-8"))
    seconds, batch = measured_step(workdir), config["data"]["batch_size"]
    parts = [_INTRODUCTION.strip().format(attained=ATTAINED, overlap=OVERLAP, jitter=JITTER)]
    for name in ("iassf_released", "iassf"):
        size = gradient_bytes(name)
        parts += [f"## {name}\n\n{size / 4e6:.2f} M parameters, {size / 1e6:.1f} MB of gradients."]
        parts += [table(size)]
    example = gradient_bytes("cpu_small")
    parts += [
        f"## A measured step\n\n`cpu_small` on two CPU cores that other work shared: {seconds:.1f} s for a\n"
        f"step of {batch} crops of {config['data']['crop']} pixels, {example / 1e6:.2f} MB of gradients. "
        "A step this long hides\nall communication; what is left is the wait for the slowest device.",
        table(example, (seconds,)),
    ]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """
# Scaling plan

Written by `python -m benchmarks.scaling --page RUN`; do not edit. Calculated, not measured: no machine of
this size was at hand.

Throughput per device on many devices over that of one device which keeps the same batch (weak scaling), for
data parallel training. Two numbers decide it: how long a step takes on one device, and how many bytes of
gradients there are. For another step time (`seconds_per_step` in a run's `timing.jsonl`):
`python -m benchmarks.scaling --config iassf --step-time 0.13`.

In the tables: the time of adding up the gradients, then for three step times the efficiency with
communication half hidden behind the backward pass / with nothing hidden.

Assumptions:

- gradients are float32, and are added up by rings: inside a group over the fast links, then between groups,
  each device its share over its own network link; published bandwidths, of which {attained:.0%} is reached;
- gradients are made during two thirds of a step; {overlap:.0%} of that time can hide communication;
- 10 microseconds for a step of the ring between boxes, 1 between TPU chips;
- the time of a step differs by {jitter:.0%} from device to device (standard deviation), and all wait for the
  slowest;
- the input keeps up. A step of 0.1 s with 6 crops wants 60 scenes a second for every device: more than one
  CPU core decodes, so small sets belong on the device (`data.resident`), large ones behind enough cores.

What follows: the networks are small and communication is cheap even at 512 devices, unless steps get as short
as a few milliseconds (small crops, or a fixed batch split ever finer). FSDP moves half as many bytes again
and is not needed for these sizes. The limit is another one: with 6 crops each, 512 devices make batches of
3072, which is more than two epochs of the 1083 pairs of MSRS in one step.
"""


def main() -> None:
    """Print a table, or write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", default="iassf_released", metavar="NAME", help="whose gradients are counted"
    )
    parser.add_argument(
        "--step-time", type=float, action="append", metavar="S", help="seconds, on one device"
    )
    parser.add_argument("--run", type=Path, metavar="D", help="take the step time of this run")
    parser.add_argument(
        "--page", type=Path, metavar="D", help="write docs/scaling.md with this run as example"
    )
    args = parser.parse_args()
    if args.page:
        PAGE.write_text(page(args.page), encoding="utf-8")
        return
    times = [*(args.step_time or []), *([measured_step(args.run)] if args.run else [])]
    print(table(gradient_bytes(args.config), times or STEP_TIMES))


if __name__ == "__main__":
    main()
