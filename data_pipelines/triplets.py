"""Finds and reads folders of aligned images; host side only.

    root/
      GT/    clear visible images
      hazy/  the same scenes in haze
      IR/    infrared images
      depth/ depth maps, read where they are asked for (see `depth_files`)

The images of a scene have one stem (`GT/00004N.jpg`, `IR/00004N.png`); folder names and extensions may
be in any case.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from data_pipelines.decode import EXTENSIONS, ImageError, list_images, read_infrared, read_visible
from data_pipelines.depth_files import DepthRule, list_depth_files, read_depth

InfraredRange = str | tuple[float, float]  # "full" or (low, high) in the stored units

_CLEAR, _HAZY, _INFRARED, _DEPTH = "GT", "hazy", "IR", "depth"
_LAYOUT = (
    f"expected {_CLEAR}/ (clear visible), {_HAZY}/ (hazy visible) and {_INFRARED}/ (infrared) with equal "
    f"file names up to the extension ({', '.join(sorted(e[1:] for e in EXTENSIONS))})"
)
_NAMES_SHOWN = 5


class FolderError(ImageError):
    """A folder whose images cannot be paired."""


@dataclasses.dataclass(frozen=True)
class Triplet:
    """The files of one scene; `hazy` is None where the haze is made later, `depth` where it is not used."""

    name: str
    clear: Path
    hazy: Path | None
    infrared: Path
    depth: Path | None = None


def list_triplets(
    root: str | os.PathLike, *, require_hazy: bool = True, with_hazy: bool = True, with_depth: bool = False
) -> list[Triplet]:
    """Return the scenes of a folder in the order of their names.

    Args:
      root: folder with GT/, hazy/ and IR/.
      require_hazy: if False, a folder without hazy/ is accepted and every `hazy` is None; hazy/ is used
        where it exists.
      with_hazy: if False, hazy/ is neither required nor looked at.
      with_depth: if True, depth/ is required too.

    Raises:
      FolderError: no such folder, a missing or repeated subfolder, no images, two files of one stem, or
        names that are not in all subfolders; the first few of each are named.
    """
    root = Path(root)
    wanted = [_CLEAR, _INFRARED, *[_HAZY] * with_hazy, *[_DEPTH] * with_depth]
    folders = _subfolders(root, wanted)
    if missing := [name for name in wanted if name not in folders and (name != _HAZY or require_hazy)]:
        present = ", ".join(sorted(path.name for path in root.iterdir())[:_NAMES_SHOWN]) or "nothing"
        raise FolderError(root, f"has no folder {' and no '.join(missing)} (it holds {present}); {_LAYOUT}")
    files = {
        name: list_depth_files(path) if name == _DEPTH else _by_stem(path) for name, path in folders.items()
    }
    _check_matching(root, files)
    return [
        Triplet(
            name=stem,
            clear=files[_CLEAR][stem],
            hazy=files[_HAZY][stem] if _HAZY in files else None,
            infrared=files[_INFRARED][stem],
            depth=files[_DEPTH][stem] if _DEPTH in files else None,
        )
        for stem in sorted(files[_CLEAR])
    ]


def read_triplet(
    triplet: Triplet, *, infrared_range: InfraredRange | None = "full", depth: DepthRule | None = None
) -> dict[str, Any]:
    """Return the images of a scene: "visible_clear" and, if it has one, "visible_hazy" uint8 [h,w,3],
    "infrared" uint8 (with range None as stored) [h,w,1], if it is to be read "depth" float32 [h,w,1] in
    metres, and "name".

    See `scale_infrared` for `infrared_range`; `depth` says how a triplet's depth file is read.

    Raises:
      ImageError: an image cannot be read, or the images of the scene differ in size.
    """
    images = {"visible_clear": read_visible(triplet.clear)}
    if triplet.hazy is not None:
        images["visible_hazy"] = read_visible(triplet.hazy)
        _check_same_size(triplet.hazy, images["visible_hazy"], triplet.clear, images["visible_clear"])
    infrared = read_infrared(triplet.infrared)
    _check_same_size(triplet.infrared, infrared, triplet.clear, images["visible_clear"])
    try:
        images["infrared"] = scale_infrared(infrared, infrared_range)[:, :, None]
    except ValueError as error:
        raise ImageError(triplet.infrared, str(error)) from error
    if triplet.depth is not None and depth is not None:
        metres = read_depth(
            triplet.depth, convention=depth.convention, scale=depth.scale, limits=depth.limits
        )
        _check_same_size(triplet.depth, metres, triplet.clear, images["visible_clear"])
        images["depth"] = metres[:, :, None]
    return {**images, "name": triplet.name}


def scale_infrared(
    pixels: Num[np.ndarray, "h w"], infrared_range: InfraredRange | None = "full"
) -> Num[np.ndarray, "h w"]:
    """Return infrared values as uint8, or with None as they are stored (to look at or check them).

    "full" maps the whole range of the type: 8 bit stays as it is, 16 bit is divided by 257 (65535 becomes
    255), float is taken as [0,1]. One rule for all images keeps their brightness comparable, but a camera
    that fills a small part of its range comes out dark: give its limits as (low, high), in stored units;
    values outside are clipped.

    Raises:
      ValueError: float values that are not finite or, with "full", outside [0,1]; a range that does not
        increase.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError("infrared values that are not finite")
    if infrared_range is None:
        return pixels
    low, high = _full_range(pixels) if isinstance(infrared_range, str) else infrared_range
    if isinstance(infrared_range, str) and infrared_range != "full" or not low < high:
        raise ValueError(
            f'infrared_range is {infrared_range!r}; expected "full" or (low, high) with low < high'
        )
    if pixels.dtype == np.uint8 and (low, high) == (0.0, 255.0):
        return pixels
    unit = (pixels.astype(np.float64) - low) / (high - low)
    return np.rint(255.0 * np.clip(unit, 0.0, 1.0)).astype(np.uint8)


def _full_range(pixels: Num[np.ndarray, "h w"]) -> tuple[float, float]:
    if pixels.dtype.kind != "f":
        return 0.0, float(np.iinfo(pixels.dtype).max)
    if pixels.min() < 0 or pixels.max() > 1:
        found = f"[{pixels.min():g}, {pixels.max():g}]"
        raise ValueError(f"float infrared in {found} instead of [0,1]; give infrared_range=(low, high)")
    return 0.0, 1.0


def _subfolders(root: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Return the wanted folders as far as they exist, whatever case they are written in."""
    if not root.is_dir():
        raise FolderError(root, f"{'not a folder' if root.exists() else 'no such folder'}; {_LAYOUT}")
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        for name in wanted:
            if path.name.casefold() != name.casefold() or not path.is_dir():
                continue
            if name in found:
                raise FolderError(root, f"has two folders for {name}: {found[name].name} and {path.name}")
            found[name] = path
    return found


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in files:
            raise FolderError(folder, f"has two images of one name: {files[path.stem].name} and {path.name}")
        files[path.stem] = path
    if not files:
        raise FolderError(folder, f"holds no images; {_LAYOUT}")
    return files


def _check_matching(root: Path, files: Mapping[str, Mapping[str, Path]]) -> None:
    common = set.intersection(*(set(stems) for stems in files.values()))
    unmatched = {name: sorted(set(stems) - common) for name, stems in files.items()}
    if any(unmatched.values()):
        lists = "; ".join(f"{name}/ {_shortened(stems)}" for name, stems in unmatched.items() if stems)
        raise FolderError(
            root, f"{len(common)} names match, these are not in every folder: {lists}. {_LAYOUT}"
        )


def _shortened(names: list[str]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _check_same_size(path: Path, image: np.ndarray, clear_path: Path, clear: np.ndarray) -> None:
    if image.shape[:2] != clear.shape[:2]:
        sizes = " but ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (image, clear))
        raise ImageError(path, f"is {sizes} in {clear_path}: the images of a scene must have one size")
