"""Writes generated scenes as folders of images, with one line of parameters for each.

output/
  manifest.jsonl        one JSON object a scene; written last: where it is, the set is complete
  train/GT/scene_00000D.png     clear visible (the letter: D day, N night)
  train/hazy/scene_00000D.png   the same through haze
  train/IR/scene_00000D.png     infrared, one channel
  train/depth/scene_00000D.png  distance in centimetres, 16 bits; 65000 (650 m) and more is sky
  val/...
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import cv2
import numpy as np

from data_pipelines.scenes.haze import HazeParameters, add_haze, draw_haze
from data_pipelines.scenes.render import Scene, render_scene

MANIFEST = "manifest.jsonl"
FOLDERS = ("GT", "hazy", "IR", "depth")
PER_METRE = 100  # units of the depth images


def write_scenes(
    output: Path,
    *,
    count: int,
    seed: int,
    height: int = 480,
    width: int = 640,
    splits: Mapping[str, int] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict]:
    """Write `count` scenes in the layout above and return the lines of the manifest.

    Args:
        output: folder, made where it does not exist; images of an earlier run in it are removed first.
        count: number of scenes over all splits.
        seed: the set is a function of (seed, height, width) and the index of the scene; a longer set of the
            same seed begins with the same scenes.
        splits: number of scenes of each subfolder, in order; the numbers add up to `count`. By default all
            but an eighth (at least one where there are two) go to "train", the rest to "val".
        workers: threads; by default one a processor, at most 8. The result does not depend on it.
        progress: called with (scenes done, count) after each scene.

    Raises:
        ValueError: if the numbers make no sense; OSError: if a file cannot be written.
    """
    names = _split_names(count, splits)
    _remove_previous(output)
    for split in dict.fromkeys(names):
        for folder in FOLDERS:
            (output / split / folder).mkdir(parents=True, exist_ok=True)
    lines: list[dict] = [{} for _ in names]
    with _pool(workers) as pool:
        jobs = {
            pool.submit(_write_scene, output, split, index, seed, height, width): index
            for index, split in enumerate(names)
        }
        for done, job in enumerate(as_completed(jobs), start=1):
            lines[jobs[job]] = job.result()
            if progress is not None:
                progress(done, count)
    _write_file(output / MANIFEST, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return lines


def scene_seed(seed: int, index: int) -> int:
    """Return the seed for `render_scene` of scene `index` of the set `seed`."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint32)[0])


def scene_parameters(scene: Scene, haze: HazeParameters) -> dict:
    """Return what is needed to judge a scene or to render it again, as plain numbers."""
    height, width = scene.depth.shape
    return {
        "night": scene.night,
        "height": height,
        "width": width,
        "focal_pixels": scene.camera.focal,
        "camera_height_metres": scene.camera.elevation,
        "haze_beta_per_metre": haze.beta,
        "haze_visibility_metres": haze.visibility,
        "haze_airlight": list(haze.airlight),
    }


def previous_files(output: Path) -> list[Path]:
    """Return the files in `output` that `write_scenes` wrote, from a complete or an interrupted run."""
    images = [path for folder in FOLDERS for path in output.glob(f"*/{folder}/scene_[0-9]*[DN].png")]
    return images + [path for path in [output / MANIFEST] if path.exists()]


def _split_names(count: int, splits: Mapping[str, int] | None) -> list[str]:
    """Return the split of every scene."""
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count}")
    if splits is None:
        held_out = 0 if count == 1 else max(1, count // 8)
        splits = {"train": count - held_out, "val": held_out}
    if sum(splits.values()) != count or min(splits.values()) < 0:
        raise ValueError(f"the numbers of the splits {dict(splits)} must be 0 or more and add up to {count}")
    return [name for name, number in splits.items() for _ in range(number)]


def _remove_previous(output: Path) -> None:
    """Remove what an earlier run left, its manifest first, so that no manifest speaks of missing files."""
    for path in reversed(previous_files(output)):
        path.unlink()


@contextlib.contextmanager
def _pool(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """Return threads that drop what is not begun when an error or an interrupt ends the work."""
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _write_scene(output: Path, split: str, index: int, seed: int, height: int, width: int) -> dict:
    number = scene_seed(seed, index)
    scene = render_scene(number, height=height, width=width)
    haze = draw_haze(number, night=scene.night)
    name = f"scene_{index:05d}{'N' if scene.night else 'D'}"
    centimetres = np.round(scene.depth * PER_METRE).astype(np.uint16)
    images = {
        "GT": cv2.cvtColor(scene.visible, cv2.COLOR_RGB2BGR),
        "hazy": cv2.cvtColor(add_haze(scene.visible, scene.depth, parameters=haze), cv2.COLOR_RGB2BGR),
        "IR": scene.infrared,
        "depth": centimetres,
    }
    for folder in FOLDERS:
        _write_png(output / split / folder / f"{name}.png", images[folder])
    return {"name": name, "split": split, "seed": number, **scene_parameters(scene, haze)}


def _write_png(path: Path, image: np.ndarray) -> None:
    encoded, data = cv2.imencode(".png", image)
    if not encoded:
        raise OSError(f"{path}: the image could not be encoded as PNG")
    _write_file(path, data.tobytes())


def _write_file(path: Path, data: bytes) -> None:
    """Write aside and rename, so that the name never belongs to half a file."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(aside, 0o644)  # mkstemp makes files private
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
