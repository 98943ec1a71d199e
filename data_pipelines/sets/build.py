"""Builds a set: find, scan, split, store, describe."""

import contextlib
import dataclasses
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.decode import ImageError
from data_pipelines.sets.cards import CARDS, Card
from data_pipelines.sets.layouts import LayoutError, find_scenes
from data_pipelines.sets.manifest import Manifest, describe, write_manifest
from data_pipelines.sets.scan import scan
from data_pipelines.sets.source import Source, open_source
from data_pipelines.sets.splitting import Assigned, assign
from data_pipelines.sets.stored import default_data_dir, import_tfds

LISTS = Path(__file__).parent / "lists"


@dataclasses.dataclass(frozen=True)
class Built:
    """Where a set was stored, and what is in it."""

    folder: Path
    manifest: Manifest


def published_lists(card: Card) -> dict[str, list[str]]:
    """Return split -> names of the published lists that settle the card's splits."""
    return {split: (LISTS / file).read_text(encoding="utf-8").split() for split, file in card.listed.items()}


def build_set(
    card_name: str,
    source: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    name: str | None = None,
    fractions: Mapping[str, float] | None = None,
    resize_infrared: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Built:
    """Build a set from a folder or zip archive and return where it is.

    Scenes that cannot be used are left out and listed in the manifest with the reason.

    Args:
      card_name: one of `CARDS`.
      source: the set as it is distributed, packed or not, see also `download.fetch_archive`.
      data_dir: folder of built sets; TFDS's own by default.
      name: name of the built set; the card's by default.
      fractions: split -> share, in place of the card's, for scenes that lie in no split's folder.
      resize_infrared: accept infrared images of another size; they are resized when they are read.
      overwrite: replace a set of that name.
      progress: called with the numbers of scenes scanned and in all.

    Raises:
      ImageError: the source cannot be read, no scene can be used, or the set exists.
      ValueError: an unknown card, an impossible name or fractions.
    """
    card = _card(card_name, fractions)
    name = _checked_name(name or card.name)
    target = Path(data_dir or default_data_dir()) / name
    if target.exists() and not overwrite:
        raise ImageError(target, "exists: give another name, or overwrite it")
    files = open_source(source)
    try:
        scenes, unpaired = find_scenes(card, files.paths(), source=Path(source).stem)
    except LayoutError as error:
        raise ImageError(source, str(error)) from error
    sound, damaged = scan(
        files,
        scenes,
        resize_infrared=resize_infrared,
        progress=lambda done: progress(done, len(scenes)),
    )
    skipped = [*unpaired, *damaged]
    if not sound:
        shown = "; ".join(f"{problem.name}: {problem.reason}" for problem in skipped[:3])
        raise ImageError(source, f"none of {len(skipped)} scenes can be used ({shown})")
    assigned = assign(card, sound, published_lists(card))
    manifest = describe(
        card.name, assigned, skipped, resize_infrared=resize_infrared, note=_archive_note(card, Path(source))
    )
    aside = target.parent / f".{name}.part"  # the set appears complete or not at all
    shutil.rmtree(aside, ignore_errors=True)
    try:
        folder = _store(card.name, name, files, assigned, aside)
        write_manifest(folder, manifest)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(aside / name, target)
    except OSError as error:
        raise ImageError(target, f"cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Built(target / folder.name, manifest)


def _store(card_name: str, name: str, files: Source, assigned: Sequence[Assigned], data_dir: Path) -> Path:
    from data_pipelines.sets.builder import BUILDERS

    with _quiet_tfds():
        builder = BUILDERS[card_name](source=files, assigned=assigned, name=name, data_dir=str(data_dir))
        builder.download_and_prepare()
    return Path(builder.data_dir)


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """TFDS announces itself on standard output and logs through absl; the caller reports for itself."""
    import_tfds().disable_progress_bar()
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        logger.setLevel(level)


def _card(name: str, fractions: Mapping[str, float] | None) -> Card:
    if name not in CARDS:
        raise ValueError(f"no set {name!r}; there are {', '.join(CARDS)}")
    if fractions is None:
        return CARDS[name]
    if not fractions or min(fractions.values()) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"shares of splits {dict(fractions)}: expected numbers from 0 that add up to 1")
    return dataclasses.replace(CARDS[name], fractions=dict(fractions))


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"name {name!r}: expected lower-case letters, digits and _, beginning with a letter")
    return name


def _archive_note(card: Card, source: Path) -> str:
    """Compare an archive of a known name with the published one."""
    expected = {archive.name: archive.sha256 for archive in card.archives}.get(source.name)
    if not expected or not source.is_file():
        return ""
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    same = "is the published archive" if found == expected else "differs from the published archive"
    return f"{source.name} {same} (SHA-256 {found})"
