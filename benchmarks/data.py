"""How fast scenes become batches of crops, against a straightforward loop of PIL and NumPy.

    python -m benchmarks.data --source DATA/train --output data.json

The source is a folder with GT/, hazy/ and IR/; it is also built into a set. Every candidate makes batches of
16 aligned crops of 256x256 (three images a scene) from the same scenes. They take turns in one process, so
that other work on the machine slows all of them; medians over the turns are reported, in scenes a second.
"""

import argparse
import functools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks.turns import take_turns
from data_pipelines.folder import training_iterator
from data_pipelines.loaders import BatchIterator
from data_pipelines.mixtures import open_mixture
from data_pipelines.resident import crop_scenes, resident_bytes, stack_scenes
from data_pipelines.sets.build import build_set

BATCH, CROP = 16, 256
RIVAL = "PIL + NumPy loop"
CACHE = 8 << 30


def main() -> None:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True, metavar="D", help="folder with GT/, hazy/, IR/")
    parser.add_argument("--output", type=Path, metavar="F.json", help="write the record here")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each (default: 7)")
    parser.add_argument("--batches", type=int, default=12, metavar="N", help="batches a turn (default: 12)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_set("folder", args.source, data_dir=folder, name="bench")
        record = measure(_candidates(args.source, f"{folder}/bench:train"), args.rounds, args.batches)
    for name, entry in record["candidates"].items():
        print(f"{name:44s} {entry['scenes_per_second']:9.1f} scenes/s {entry['ratio']:8.2f} x {RIVAL}")
    if args.output:
        args.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measure(candidates: dict[str, Callable[[int], object]], rounds: int, batches: int) -> dict:
    """Time the candidates in turn; they are called with the number of batches to make."""
    for make in candidates.values():
        make(1)  # compiles
    turns = {name: functools.partial(make, batches) for name, make in candidates.items()}
    taken = take_turns(turns, rounds)
    seconds = {name: [turn / batches for turn in values] for name, values in taken.items()}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {
        name: statistics.median(a / b for a, b in zip(seconds[RIVAL], values, strict=True))
        for name, values in seconds.items()
    }
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "device": jax.devices()[0].device_kind,
        "batch": BATCH,
        "crop": CROP,
        "candidates": {
            name: {
                "scenes_per_second": BATCH / medians[name],
                "ratio": ratios[name],
                "seconds": seconds[name],
            }
            for name in candidates
        },
    }


def _candidates(source: Path, stored: str) -> dict[str, Callable[[int], object]]:
    loop = _plain_loop(source)
    options: dict[str, Any] = {"batch_size": BATCH, "crop": CROP, "seed": 0}
    iterators = {
        f"{what}, {threads} threads": training_iterator(root, num_threads=threads, cache_bytes=0, **options)
        for what, root in (("folder", str(source)), ("built set", stored))
        for threads in (0, 2)
    }
    cached = training_iterator(stored, num_threads=0, cache_bytes=CACHE, **options)
    for _ in range(2 * len(open_mixture(stored).names) // BATCH + 1):
        next(cached)  # fills the cache
    iterators["built set, decoded images in memory"] = cached
    return {
        RIVAL: lambda count: [next(loop) for _ in range(count)],
        **{name: functools.partial(_turn, iterator) for name, iterator in iterators.items()},
        "resident on the device": _resident(stored, options),
    }


def _turn(iterator: BatchIterator, count: int) -> None:
    """Make batches; threads start with the turn and end with it, so that they work in no one else's."""
    for _ in range(count):
        next(iterator)
    iterator.close()


def _plain_loop(source: Path) -> Iterator[dict[str, np.ndarray]]:
    """What one would write in ten lines: open, convert, crop, stack."""
    rng = np.random.default_rng(0)
    folders = {"visible_clear": ("GT", "RGB"), "visible_hazy": ("hazy", "RGB"), "infrared": ("IR", "L")}
    files = {key: sorted((source / name).iterdir()) for key, (name, _) in folders.items()}
    while True:
        order = rng.permutation(len(files["infrared"]))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch: dict[str, list[np.ndarray]] = {key: [] for key in folders}
            for index in order[start : start + BATCH]:
                corner = None
                for key, (_, mode) in folders.items():
                    with Image.open(files[key][index]) as image:
                        pixels = np.asarray(image.convert(mode))
                    if corner is None:
                        corner = [rng.integers(max(side - CROP, 0) + 1) for side in pixels.shape[:2]]
                    top, left = corner
                    missing = [(0, max(0, CROP - side)) for side in pixels.shape[:2]]
                    pixels = np.pad(pixels, missing + [(0, 0)] * (pixels.ndim - 2), mode="reflect")
                    batch[key].append(pixels[top : top + CROP, left : left + CROP].reshape(CROP, CROP, -1))
            yield {key: np.stack(images) for key, images in batch.items()}


def _resident(stored: str, options: dict[str, Any]) -> Callable[[int], object]:
    mixture = open_mixture(stored)
    print(f"resident: {resident_bytes(mixture, crop=CROP) / 1e6:.0f} MB")
    scenes = jax.device_put(stack_scenes(mixture, crop=CROP))
    places = training_iterator(stored, num_threads=0, places_only=True, **options)
    cut = jax.jit(crop_scenes, static_argnames="crop")

    def turn(count: int) -> None:
        for _ in range(count):
            place = next(places)
            corners = (jnp.asarray(place[name]) for name in ("scene", "top", "left"))
            jax.block_until_ready(cut(scenes, *corners, crop=CROP))

    return turn


if __name__ == "__main__":
    main()
