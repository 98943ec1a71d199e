"""What haze and augmentation on the device cost, against a training step and against a loop of PIL and NumPy.

    python -m benchmarks.haze --output haze.json

A batch of 16 clear crops of 256x256 is flipped and put into haze. All candidates take turns in one process,
so that other work on the machine slows all of them; medians are reported, and shares of the training step of
`iassf_released`, which is measured at a smaller batch and scaled by the number of images.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks.turns import take_turns
from configs import default
from data_pipelines.augment import augment, to_float
from data_pipelines.haze import synthesize_with_parameters
from data_pipelines.haze.pseudo_depth import Kind
from iassf_jax import models
from iassf_jax.training.haze import Haze
from iassf_jax.training.optimizer import make_optimizer
from iassf_jax.training.state import init_state, make_initializer
from iassf_jax.training.step import compile_train_step, make_train_step
from iassf_jax.training.task import IassfTask

BATCH, SIDE = 16, 256
DEVICE: dict[str, tuple[str, Kind]] = {  # name -> (recipe, kind of pseudo-depth)
    "iassf_released": ("iassf_released", "mixed"),
    "reside_its, plane": ("reside_its", "plane"),
    "physical": ("physical", "mixed"),
    "mixture": ("iassf_released:0.45,physical:0.45,clear:0.1", "mixed"),
}
FLIPS = {"horizontal_flip": True, "vertical_flip": True, "rotate": False}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="F.json", help="write the record here")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each (default: 7)")
    parser.add_argument("--step-batch", type=int, default=1, metavar="N", help="images of the training step")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    crops = {"visible_clear": 3, "infrared": 1}
    batch = {k: rng.integers(0, 256, (BATCH, SIDE, SIDE, c), dtype=np.uint8) for k, c in crops.items()}
    candidates = {f"device: {name}": _device(batch, *recipe) for name, recipe in DEVICE.items()}
    candidates["device: flips alone"] = _flips(batch)
    candidates["PIL + NumPy: iassf_released"] = lambda: _host(batch, rng, _released)
    candidates["PIL + NumPy: reside_its, plane"] = lambda: _host(batch, rng, _plane)
    candidates["training step"] = _step(args.step_batch)
    for run in candidates.values():
        run()  # compiles
    record = _record(take_turns(candidates, args.rounds), args.step_batch)
    for name, entry in record["candidates"].items():
        share = f"{100 * entry['share_of_step']:6.2f} % of a step" if "share_of_step" in entry else ""
        print(
            f"{name:<32}{entry['seconds'] * 1e3:10.1f} ms {entry['images_per_second']:10.1f} images/s {share}"
        )
    if args.output:
        args.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _record(times: dict[str, list[float]], step_batch: int) -> dict:
    step = statistics.median(times["training step"]) * BATCH / step_batch
    entries = {}
    for name, seconds in times.items():
        images = step_batch if name == "training step" else BATCH
        median = statistics.median(seconds)
        entries[name] = {"seconds": median, "all": seconds, "images_per_second": images / median}
        if name.startswith("device"):
            entries[name]["share_of_step"] = median / step
    device = jax.devices()[0]
    return {
        "batch": BATCH,
        "side": SIDE,
        "step_batch": step_batch,
        "step_seconds_scaled": step,
        "device": device.device_kind,
        "jax": jax.__version__,
        "candidates": entries,
    }


def _device(batch: dict[str, np.ndarray], recipe: str, pseudo_depth: Kind) -> Callable[[], object]:
    @jax.jit
    def run(key, images):
        first, second = jax.random.split(key)
        moved = to_float(augment(first, images, **FLIPS))
        hazy, drawn = synthesize_with_parameters(
            second, moved["visible_clear"], recipe, pseudo_depth=pseudo_depth
        )
        return moved, hazy, drawn

    images, key = jax.device_put(batch), jax.random.key(0)
    return lambda: jax.block_until_ready(run(key, images))


def _flips(batch: dict[str, np.ndarray]) -> Callable[[], object]:
    run = jax.jit(lambda key, images: to_float(augment(key, images, **FLIPS)))
    images, key = jax.device_put(batch), jax.random.key(0)
    return lambda: jax.block_until_ready(run(key, images))


def _host(
    batch: dict[str, np.ndarray],
    rng: np.random.Generator,
    haze: Callable[[np.ndarray, np.random.Generator], np.ndarray],
) -> dict[str, np.ndarray]:
    """The same work image by image, as data sets of PyTorch projects do it."""
    clears, hazes, infrareds = [], [], []
    for clear, infrared in zip(batch["visible_clear"], batch["infrared"], strict=True):
        pictures = [Image.fromarray(clear), Image.fromarray(infrared[..., 0])]
        for flip in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
            if rng.random() < 0.5:
                pictures = [picture.transpose(flip) for picture in pictures]
        image = np.asarray(pictures[0], np.float32) / 255
        clears.append(image)
        hazes.append(np.rint(255 * np.clip(haze(image, rng), 0, 1)) / 255)
        infrareds.append(np.asarray(pictures[1], np.float32)[..., None] / 255)
    return {"clear": np.stack(clears), "hazy": np.stack(hazes), "infrared": np.stack(infrareds)}


def _released(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    k, c, a = rng.uniform(0, 1.26), rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.6)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    t = np.exp(-k * (1 + c * np.sin(2 * np.pi * (rows + columns) / (2 * SIDE))))[..., None]
    return (image * t + a * (1 - t)) / 2 + 127 / 255


def _plane(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    beta, a = rng.uniform(0.6, 1.8), rng.uniform(0.7, 1.0)
    nearest = np.exp(rng.uniform(np.log(2), np.log(8)))
    farthest = min(np.exp(rng.uniform(np.log(80), np.log(500))), 80)
    horizon, tilt, softness = rng.uniform(0.2, 0.55), rng.uniform(-0.12, 0.12), rng.uniform(0.05, 0.3)
    rows, columns = (np.mgrid[:SIDE, :SIDE].astype(np.float32) + 0.5) / SIDE
    line = horizon + tilt * (columns - 0.5)
    below = (rows - line) / (1 - line)
    position = -np.log(0.5 * (below + np.sqrt(below**2 + softness**2))) / np.log(farthest / nearest)
    depth = nearest * (farthest / nearest) ** np.clip(position, 0, 1)
    t = np.exp(-beta * depth / depth.max())[..., None]
    return image * t + a * (1 - t)


def _step(images: int) -> Callable[[], object]:
    config = default.get_config()
    config.model = default.released_model()
    model = models.create(config.model.to_dict())
    optimizer = make_optimizer(config.optimizer.to_dict(), steps=config.steps)
    step = make_train_step(
        IassfTask(model, loss_options={"signed": True}, haze=Haze("iassf_released")),
        optimizer,
        augment_options=FLIPS,
    )
    compiled = compile_train_step(step)
    channels = {"visible_clear": 3, "infrared": 1}
    batch = {k: jnp.full((images, SIDE, SIDE, c), 100, jnp.uint8) for k, c in channels.items()}
    batch["mask"] = jnp.ones(images, jnp.float32)
    alpha, seed = jnp.asarray(2.0, jnp.float32), jnp.asarray(0, jnp.int32)
    held = [init_state(make_initializer(model, optimizer, seed=0))]

    def run() -> None:
        held[0], records, _ = compiled(held[0], batch, alpha, seed)
        jax.block_until_ready(records)

    return run


if __name__ == "__main__":
    main()
