"""Writes hazy copies of a folder of clear images, with a line of parameters for each."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from data_pipelines.decode import ImageError, decode_visible
from data_pipelines.depth_files import DepthRule, read_depth
from data_pipelines.haze import Mixture, synthesize_with_parameters
from data_pipelines.haze.presets import NEEDS_DEPTH
from data_pipelines.haze.pseudo_depth import Kind
from iassf_jax.cli.haze_sources import ClearScene
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import write_image
from iassf_jax.core.rng import example_id, stream_key

PARAMETERS = "haze.jsonl"


@dataclasses.dataclass(frozen=True)
class DepthFolder:
    """Depth maps by the names of their scenes, and how to read them."""

    files: dict[str, Path]
    rule: DepthRule


def write_hazy_copies(
    scenes: Sequence[ClearScene],
    output: Path,
    *,
    haze: Mixture,
    seed: int,
    pseudo_depth: Kind = "mixed",
    depth: DepthFolder | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Write GT/, hazy/ and IR/ below `output`, and `PARAMETERS` with one JSON object per image.

    Clear and infrared files are kept byte for byte, hazy ones are PNG. The haze of a scene is a function of
    its name, its clear image and the seed. What can be written is written; the parameters last, also when the
    work is interrupted.

    Returns:
      The lines that were written, and (name, reason) of every scene that could not be.
    """
    lines: list[dict[str, Any]] = []
    failures: list[tuple[str, str]] = []
    synthesis = _Synthesis(haze, seed, pseudo_depth)
    try:
        for done, scene in enumerate(scenes, start=1):
            try:
                lines.append(_write_scene(scene, output, synthesis, depth))
            except (ImageError, InputError) as error:
                failures.append((scene.name, str(error)))
            progress(done, len(scenes))
    finally:
        with written_aside(output / PARAMETERS) as aside:
            aside.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return lines, failures


class _Synthesis:
    """Haze for single images; compiled once for each size."""

    def __init__(self, haze: Mixture, seed: int, pseudo_depth: Kind):
        self.haze, self.seed, self.pseudo_depth = haze, seed, pseudo_depth
        self._key = stream_key(seed, "haze")
        self._compiled = jax.jit(self._make)

    def _make(self, key, clear, metres, ids):
        images = clear.astype(jnp.float32) / 255.0
        hazy, drawn = synthesize_with_parameters(
            key, images, self.haze, depth=metres, examples=ids, pseudo_depth=self.pseudo_depth
        )
        return jnp.round(hazy * 255.0).astype(jnp.uint8), drawn

    def __call__(
        self, name: str, clear: UInt8[np.ndarray, "h w 3"], metres: np.ndarray | None
    ) -> tuple[UInt8[np.ndarray, "h w 3"], dict[str, Any]]:
        """Return the hazy image and its line of parameters."""
        ids = np.array([example_id(name)], np.uint32)
        depth = None if metres is None else metres[None, :, :, None]
        hazy, drawn = jax.device_get(self._compiled(self._key, clear[None], depth, ids))
        line = {
            "name": name,
            "preset": self.haze.names[int(drawn.preset[0])],
            "beta": float(drawn.beta[0]),
            "modulation": float(drawn.modulation[0]),
            "airlight": [float(value) for value in drawn.airlight[0]],
            "mean_transmission": float(drawn.mean_transmission[0]),
            "depth": self._depth_used(int(drawn.preset[0]), metres),
            "seed": self.seed,
        }
        return hazy[0], line

    def _depth_used(self, preset: int, metres: np.ndarray | None) -> str | None:
        if self.haze.presets[preset].distance not in NEEDS_DEPTH:
            return None
        return self.pseudo_depth if metres is None else "file"


def _write_scene(
    scene: ClearScene, output: Path, synthesis: _Synthesis, depth: DepthFolder | None
) -> dict[str, Any]:
    stored, infrared = scene.read()
    clear = decode_visible(stored, name=scene.clear)
    hazy, line = synthesis(scene.name, clear, _read_depth(scene.name, clear, depth))
    _write(output / "IR" / scene.infrared, infrared)
    _write(output / "GT" / scene.clear, stored)
    write_image(output / "hazy" / f"{scene.name}.png", hazy)
    return line


def _read_depth(name: str, clear: np.ndarray, depth: DepthFolder | None) -> np.ndarray | None:
    if depth is None:
        return None
    if name not in depth.files:
        raise InputError(f"there is no depth map named {name}")
    file, rule = depth.files[name], depth.rule
    metres = read_depth(file, convention=rule.convention, scale=rule.scale, limits=rule.limits)
    if metres.shape != clear.shape[:2]:
        sizes = f"{metres.shape[1]}x{metres.shape[0]} and the image {clear.shape[1]}x{clear.shape[0]}"
        raise InputError(f"{depth.files[name]}: the depth map is {sizes} pixels; they must be equal")
    return metres


def _write(target: Path, content: bytes) -> None:
    with written_aside(target) as aside:
        aside.write_bytes(content)
