"""Which files belong together, and where their results go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.decode import EXTENSIONS, ImageError, images_by_stem
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import OUTPUT_EXTENSIONS

EXTRAS = ("restored", "haze")  # what can be written besides the fused image
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Pair:
    """A visible and an infrared file of the same scene."""

    name: str
    visible: Path
    infrared: Path


@dataclass(frozen=True)
class Failure:
    """A pair, or a file without partner, that gave no result; `reason` is one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class OutputLayout:
    """Where results are written.

    Into a folder, with the fused image alone: `<root>/<name>.png`. With extras, each kind has a sub-folder:
    `<root>/fused/<name>.png`, `<root>/restored/<name>.png`, `<root>/haze/<name>.png`. When `root` is an image
    file (a single pair) the extras stand beside it: `out.png`, `out_restored.png`, `out_haze.png`.
    """

    root: Path
    extras: tuple[str, ...] = ()

    def is_file(self) -> bool:
        """Whether `root` names one image rather than a folder."""
        return self.root.suffix.lower() in OUTPUT_EXTENSIONS and not self.root.is_dir()

    def paths(self, name: str) -> dict[str, Path]:
        """Return the file of each kind ("fused" and the extras) for the pair `name`."""
        if self.is_file():
            beside = {kind: self.root.with_stem(f"{self.root.stem}_{kind}") for kind in self.extras}
            return {"fused": self.root, **beside}
        if not self.extras:
            return {"fused": self.root / f"{name}.png"}
        return {kind: self.root / kind / f"{name}.png" for kind in ("fused", *self.extras)}

    def check(self, pairs: Sequence[Pair], *, overwrite: bool) -> None:
        """Raise InputError when a result would replace an input, or, without `overwrite`, another result."""
        outputs = [path for pair in pairs for path in self.paths(pair.name).values()]
        inputs = {path.resolve() for pair in pairs for path in (pair.visible, pair.infrared)}
        for path in outputs:
            if path.resolve() in inputs:
                raise InputError(f"{path} is an input that its result would replace; give another output")
        existing = [] if overwrite else sorted(path for path in outputs if path.exists())
        if existing:
            first = ", ".join(str(path) for path in existing[:_SHOWN]) + ", ..." * (len(existing) > _SHOWN)
            count = "1 output exists" if len(existing) == 1 else f"{len(existing)} outputs exist"
            raise InputError(f"{count} already: {first}; --overwrite replaces them")


def refuse_unwritable_kind(output: Path) -> None:
    """Refuse a name that is meant for an image of a kind that is read only; it would become a folder.

    Raises:
        InputError: `output` does not exist and ends like such an image.
    """
    if output.suffix.lower() in EXTENSIONS - OUTPUT_EXTENSIONS and not output.exists():
        known = ", ".join(sorted(OUTPUT_EXTENSIONS))
        raise InputError(f"--output {output}: {output.suffix} cannot be written; give a name with {known}")


def match_pairs(visible: Path, infrared: Path) -> tuple[list[Pair], list[Failure]]:
    """Match the images of two folders by file name without extension.

    Returns:
        The pairs sorted by name, and the files that have no partner or share their name with another.

    Raises:
        InputError: a folder is missing, or no name occurs in both; the message lists the first few of each.
    """
    by_visible, by_infrared = _by_stem(visible), _by_stem(infrared)
    pairs, failures = [], []
    for name in sorted(by_visible.keys() | by_infrared.keys()):
        files = {"visible": by_visible.get(name, []), "infrared": by_infrared.get(name, [])}
        reason = _why_no_pair(files)
        if reason:
            failures.append(Failure(name, reason))
        else:
            pairs.append(Pair(name, files["visible"][0], files["infrared"][0]))
    if not by_visible.keys() & by_infrared.keys():
        raise InputError(
            f"no image of {visible} has the name of one of {infrared} (extensions do not count):\n"
            f"  visible:  {_first(by_visible)}\n  infrared: {_first(by_infrared)}"
        )
    return pairs, failures


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    try:
        return images_by_stem(folder)
    except ImageError as error:
        raise InputError(str(error)) from error


def _why_no_pair(files: dict[str, list[Path]]) -> str:
    for kind, found in files.items():
        if len(found) > 1:
            return f"several {kind} images have this name: {', '.join(path.name for path in found)}"
    for kind, found in files.items():
        if not found:
            return f"no {kind} image of this name"
    return ""


def _first(stems: dict[str, list[Path]]) -> str:
    names: Sequence[str] = [path.name for paths in stems.values() for path in paths]
    if not names:
        return "no images"
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)} images)" if len(names) > _SHOWN else "")
