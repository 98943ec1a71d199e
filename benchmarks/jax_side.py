"""Builds this project's tasks."""

import functools
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import roofline
from benchmarks.built import Built, images
from benchmarks.cases import Case
from configs.default import get_config
from data_pipelines.augment import augment
from data_pipelines.folder import training_iterator
from iassf_jax import models
from iassf_jax.checkpoints import import_torch
from iassf_jax.checkpoints.versions import versions
from iassf_jax.core.allocator import KeptMemory
from iassf_jax.metrics import psnr, ssim
from iassf_jax.models.iassf_released import released_density
from iassf_jax.training.micro_batches import micro_batches
from iassf_jax.training.optimizer import make_optimizer
from iassf_jax.training.state import TrainState
from iassf_jax.training.step import make_train_step
from iassf_jax.training.task import IassfTask

_MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
# The released code's; what is not named here is as in a run of its own.
_OPTIMIZER = get_config().optimizer.to_dict() | {
    "name": "adamw", "learning_rate": 2e-4, "final_learning_rate": 2e-6, "warmup_steps": 0, "hold_steps": 180,
    "weight_decay": 0.01, "decay": "all", "b1": 0.9, "b2": 0.999, "eps": 1e-8, "clip_norm": None,
}  # fmt: skip
_STILL = {"horizontal_flip": False, "vertical_flip": False, "rotate": False}  # timed apart


def build(case: Case, weights: str) -> Built:
    """Make the task of `case` with the parameters in the .npz `weights`."""
    jax.config.update("jax_default_matmul_precision", _MATMUL[case.precision])
    make = {
        "forward": _forward,
        "train": _train,
        "density": _density,
        "augment": _augment,
        "metrics": _metrics,
        "loading": _loading,
    }[case.task]
    call, result, setup, work = make(case, weights)
    device = jax.devices()[0]
    started = time.perf_counter()
    call()
    setup["first call"] = time.perf_counter() - started
    on_host = device.platform == "cpu"
    return Built(
        call=call,
        setup=setup,
        result=result,
        device=device.device_kind,
        versions=versions(),
        device_peak=lambda: None if on_host else device.memory_stats()["peak_bytes_in_use"],
        work=work,
    )


Task = tuple[Callable[[], Any], Callable[[], np.ndarray], dict[str, float], dict[str, float]]


def _network(case: Case) -> Any:
    dtype = "bfloat16" if case.precision == "bfloat16" else "float32"
    return models.create("iassf_released", dtype=dtype, remat=case.remat, pallas=case.pallas)


def _compile(function: Callable, *arguments: Any, donate: tuple[int, ...] = ()) -> tuple[Callable, dict]:
    started = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=donate).lower(*arguments)
    traced = time.perf_counter()
    compiled = lowered.compile()
    return compiled, {"trace": traced - started, "compile": time.perf_counter() - traced}


def _pure(function: Callable, *arguments: Any, pick: str | None = None) -> Task:
    """A task that is one compiled function of fixed arguments."""
    arguments = jax.device_put(arguments)
    compiled, setup = _compile(function, *arguments)
    outputs: dict[str, Any] = {}

    def call() -> None:
        outputs["last"] = jax.block_until_ready(compiled(*arguments))

    def result() -> np.ndarray:
        return np.asarray(outputs["last"] if pick is None else outputs["last"][pick], np.float32)

    return call, result, setup, {"flops": roofline.flops(function, *arguments)}


def _forward(case: Case, weights: str) -> Task:
    model = _network(case)
    variables = {"params": import_torch(weights)["params"]}
    hazy, infrared = images(case.batch, case.height, case.width, (3, 1))

    def forward(variables: Any, hazy: Any, infrared: Any) -> dict[str, Any]:
        outputs: Any = model.apply(variables, hazy, infrared)
        return {name: outputs[name] for name in ("fused", "restored", "haze_density")}

    call, result, setup, work = _pure(forward, variables, hazy, infrared, pick="fused")
    work["bytes"] = roofline.forward_bytes(model, variables, hazy, infrared)
    return call, result, setup, work


def _train(case: Case, weights: str) -> Task:
    model, optimizer = _network(case), make_optimizer(_OPTIMIZER, steps=54_000)
    params = jax.device_put(import_torch(weights)["params"])
    hazy, infrared, clear = (
        np.round(255 * x).astype(np.uint8) for x in images(case.batch, case.height, case.width, (3, 1, 3))
    )
    batch = jax.device_put(
        {
            "visible_hazy": hazy,
            "visible_clear": clear,
            "infrared": infrared,
            "mask": np.ones(case.batch, np.float32),
        }
    )
    scalars = jnp.float32(2.0), jnp.int32(0)
    task = IassfTask(model, loss_options={"signed": True})
    data = {"batch_size": case.batch, "crop": case.height, "resize": None}
    parts = micro_batches(case.batch // case.micro_batch if case.micro_batch else 0, data, devices=1)
    step = make_train_step(task, optimizer, augment_options=_STILL, accumulate=parts)
    state = TrainState(step=jnp.int32(0), params=params, opt_state=optimizer.init(params))
    compiled, setup = _compile(step, state, batch, *scalars, donate=(0,))
    # Afterwards, because what it traces would be missing in the time to trace.
    work = {
        "flops": roofline.flops(step, state, batch, *scalars),
        "bytes": roofline.train_bytes(model, params, hazy, infrared),
        "micro_batches": parts,
    }
    held: dict[str, Any] = {"state": state}
    losses: list[jax.Array] = []
    memory = KeptMemory()

    def call() -> None:
        held["state"], records, _ = jax.block_until_ready(compiled(held["state"], batch, *scalars))
        losses.append(records["loss/total"].result())
        memory.settle()  # as a run's `StepProgram`

    return call, lambda: np.asarray(losses[:1]), setup, work


def _density(case: Case, weights: str) -> Task:
    return _pure(released_density, *images(case.batch, case.height, case.width, (24,)))


def _augment(case: Case, weights: str) -> Task:
    batch = {
        name: np.round(255 * image).astype(np.uint8)
        for name, image in zip(
            ("visible_hazy", "visible_clear", "infrared"),
            images(case.batch, case.height, case.width, (3, 3, 1)),
            strict=True,
        )
    }
    function = functools.partial(augment, rotate=case.height == case.width)
    return _pure(function, jax.random.key(0), batch, pick="infrared")


def _metrics(case: Case, weights: str) -> Task:
    def measure(first: Any, second: Any) -> Any:
        return jnp.stack([psnr(first, second), ssim(first, second)])

    return _pure(measure, *images(case.batch, case.height, case.width, (3, 3)))


def _loading(case: Case, weights: str) -> Task:
    """Batches of random crops of PNG files at 480x640, decoded anew each time."""
    folder = Path(tempfile.mkdtemp(dir=Path(weights).parent))
    scenes = images(2 * case.batch, 480, 640, (3, 3, 1))
    for name, stack in zip(("GT", "hazy", "IR"), scenes, strict=True):
        (folder / name).mkdir()
        for index, image in enumerate(stack):
            cv2.imwrite(str(folder / name / f"{index:03d}.png"), np.round(255 * image).astype(np.uint8))
    batches = training_iterator(folder, batch_size=case.batch, crop=case.height, seed=0, cache_bytes=0)
    last = next(batches)
    # What was prepared ahead is used up first, so that the calls measure the preparation.
    for _ in itertools.repeat(None, 2 * 8):
        last = next(batches)

    def call() -> None:
        last.update(next(batches))

    return call, lambda: np.asarray(last["infrared"]), {}, {}
