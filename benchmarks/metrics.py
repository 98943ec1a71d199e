"""Times the metrics of a batch against the plain NumPy/SciPy reading of their definitions, in one run.

    python -m benchmarks.metrics --output metrics.json

Both measure the same images in turns; the values are compared as well. The first call, which compiles, is
timed by itself. Images are generated (blobs and noise), 480x640, a batch of 16.
"""

import argparse
import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from scipy import ndimage

from benchmarks.metrics_numpy import METRICS as PLAIN
from benchmarks.turns import take_turns
from iassf_jax.metrics.measure import compiled_measure


def scenes(batch, size, seed=0):
    """uint8 [batch, h, w] infrared, visible and fused: smooth structure, fine noise, full range."""
    rng = np.random.default_rng(seed)
    structure = ndimage.gaussian_filter(rng.standard_normal((2, batch, *size)), (0, 0, 3, 3))
    structure = structure / structure.std() + 0.15 * rng.standard_normal(structure.shape)
    infrared, visible = np.clip(128 + 50 * structure, 0, 255).astype(np.uint8)
    return {"infrared": infrared, "visible": visible, "fused": np.maximum(infrared, visible)}


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    images = scenes(args.batch, tuple(args.size))
    record = {
        "device": jax.devices()[0].device_kind,
        "machine": platform.processor() or platform.machine(),
        "jax": jax.__version__,
        "batch": args.batch,
        "size": list(args.size),
        "metrics": {name: _time((name,), images, args.rounds) for name in PLAIN},
        "all": _time(tuple(PLAIN), images, args.rounds),
    }
    text = json.dumps(record, indent=2)
    print(text)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n")


def _time(names, images, rounds):
    program = compiled_measure(names)
    on_device = {name: jax.numpy.asarray(image[..., None]) for name, image in images.items()}
    needed = on_device if names not in (("q_sf",), ("q_niqe",)) else {"fused": on_device["fused"]}
    triples = list(zip(images["infrared"], images["visible"], images["fused"], strict=True))

    def ours() -> Mapping[str, jax.Array]:
        return jax.block_until_ready(program(needed))

    def plain() -> list[list[float]]:
        return [[PLAIN[name](*triple) for triple in triples] for name in names]

    start = time.perf_counter()
    values = ours()
    first = time.perf_counter() - start
    expected = plain()
    medians = {
        side: float(np.median(seconds))
        for side, seconds in take_turns({"jax": ours, "numpy": plain}, rounds).items()
    }
    deviations = [
        float(np.max(np.abs(np.asarray(values[name]) / np.array(rows) - 1)))
        for name, rows in zip(names, expected, strict=True)
    ]
    return {
        "first_call_s": first,
        "jax_s": medians["jax"],
        "numpy_s": medians["numpy"],
        "times_faster": medians["numpy"] / medians["jax"],
        "largest_relative_difference": max(deviations),
    }


if __name__ == "__main__":
    main()
