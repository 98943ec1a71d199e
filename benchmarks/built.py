"""What a worker measures, whichever framework it was built with."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


@dataclasses.dataclass
class Built:
    """A task ready to run."""

    call: Callable[[], Any]  # runs the task once and waits for its results
    setup: dict[str, float]  # seconds by phase, compilation above all
    result: Callable[[], np.ndarray]  # of the last call, in a layout that all contenders share
    device: str
    versions: dict[str, str]
    device_peak: Callable[[], int | None]  # bytes of accelerator memory, None where it is the host's
    work: dict[str, float] = dataclasses.field(
        default_factory=dict
    )  # flops and bytes, see `roofline`; micro-batches of a step


def images(batch: int, height: int, width: int, channels: Iterable[int]) -> list[np.ndarray]:
    """Return float32 images in [0,1], one array [b,h,w,c] for each of `channels`, the same on every side."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = 0.5 + 0.2 * np.sin(x / 37) + 0.2 * np.cos(y / 23)
    return [
        np.clip(waves[None, :, :, None] + 0.1 * rng.standard_normal((batch, height, width, c)), 0, 1).astype(
            np.float32
        )
        for c in channels
    ]
