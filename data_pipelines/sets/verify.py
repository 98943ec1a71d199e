"""Holds a built set against its manifest, the published counts and lists, and itself for leakage.

An "error" means that the set is damaged or splits of our own making leak; a "note" is something to know, for
instance that an official split has neighbouring frames on both sides.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from data_pipelines.decode import ImageError
from data_pipelines.sets.build import published_lists
from data_pipelines.sets.cards import CARDS, INFRARED, LABELS, VISIBLE, Card
from data_pipelines.sets.manifest import Entry, Manifest
from data_pipelines.sets.scan import fingerprint
from data_pipelines.sets.splitting import FOLLOWING, sequence_key, similar_pairs
from data_pipelines.sets.stored import StoredSet, decode_record, stored_files

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that verification found."""

    level: Literal["error", "note"]
    text: str


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was checked (scenes and bytes) and found."""

    scenes: int
    num_bytes: int
    findings: Sequence[Finding]

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return not any(finding.level == "error" for finding in self.findings)


def verify_set(
    stored: StoredSet, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Verification:
    """Check every record of a built set: present, of the recorded SHA-256, decodable, paired, of one size;
    then the counts and lists of its card, and leakage between splits.

    Raises:
      ImageError: the records of a split cannot be opened.
    """
    manifest, findings = stored.manifest, []
    total = sum(len(entries) for entries in manifest.splits.values())
    done = num_bytes = 0
    thumbnails: list[np.ndarray] = []
    places: list[tuple[str, Entry]] = []
    for split, entries in manifest.splits.items():
        for entry, record in zip(entries, _each(stored, split), strict=True):
            thumbnail, problems = _check_record(stored, entry, record)
            findings += [Finding("error", f"{split}/{entry.name}: {text}") for text in problems]
            if thumbnail is not None:
                thumbnails.append(thumbnail)
                places.append((split, entry))
            num_bytes += sum(file.size for file in entry.files.values())
            done += 1
            progress(done, total)
    card = CARDS[manifest.card]
    findings += _check_published(card, manifest)
    findings += _check_leakage(card, places, thumbnails)
    if manifest.skipped:
        findings.append(Finding("note", f"{len(manifest.skipped)} scenes of the source were left out"))
    return Verification(total, num_bytes, findings)


def _each(stored: StoredSet, split: str) -> Iterator[Mapping[str, Any] | ImageError]:
    records = stored.records(split)
    for index in range(len(records)):
        try:
            yield records[index]
        except ImageError as error:
            yield error


def _check_record(
    stored: StoredSet, entry: Entry, record: Mapping[str, Any] | ImageError
) -> tuple[np.ndarray | None, list[str]]:
    if isinstance(record, ImageError):
        return None, [record.reason]
    problems = []
    if (name := record["name"].decode("utf-8", errors="replace")) != entry.name:
        problems.append(f"the record is of {name!r}")
    files = stored_files(record)
    for role in (VISIBLE, INFRARED):
        if role not in files:
            problems.append(f"has no {role} image")
    for role, file in entry.files.items():
        data = files.get(role, b"")
        if hashlib.sha256(data).hexdigest() != file.sha256:
            problems.append(f"{role} has another SHA-256 than recorded ({len(data)} of {file.size} bytes)")
    if problems:
        return None, problems
    resize = stored.manifest.resize_infrared
    try:
        # Infrared as it is stored: which range it is read with is up to who trains on it.
        images = decode_record(record, where=stored.folder, resize_infrared=resize, infrared_range=None)
    except ImageError as error:
        return None, [error.reason]
    clear = images["visible_clear"]
    if clear.shape[:2] != (entry.height, entry.width):
        return None, [f"is {clear.shape[1]}x{clear.shape[0]}, recorded as {entry.width}x{entry.height}"]
    return fingerprint(clear, images["infrared"][:, :, 0]), []


def _check_published(card: Card, manifest: Manifest) -> list[Finding]:
    findings = []
    present = {split: {entry.name for entry in entries} for split, entries in manifest.splits.items()}
    everything = set().union(*present.values()) if present else set()
    for split, count in card.counts.items():
        found = len(everything) if split == "all" else len(present.get(split, ()))
        if found != count:
            whole = "altogether" if split == "all" else f"in {split}"
            findings.append(Finding("note", f"{found} scenes {whole}, the complete {card.name} has {count}"))
    for split, names in published_lists(card).items():
        elsewhere = {name for other, found in present.items() if other != split for name in found}
        if strays := sorted(set(names) & elsewhere):
            text = f"{len(strays)} names of the published {split} list lie in another split"
            findings.append(Finding("error", f"{text}: {_shortened(strays)}"))
        if missing := sorted(set(names) - present.get(split, set())):
            findings.append(
                Finding("note", f"{len(missing)} of {len(names)} names of the published {split} list are "
                        f"missing: {_shortened(missing)}")
            )  # fmt: skip
    return findings


def _check_leakage(
    card: Card, places: Sequence[tuple[str, Entry]], thumbnails: Sequence[np.ndarray]
) -> list[Finding]:
    """Look for files, groups, and look-alike neighbours that lie in two splits."""
    findings = []
    level: Literal["error", "note"] = "error" if card.fractions else "note"
    for what, keys in (
        ("equal files", _image_checksums),
        ("groups of neighbours", lambda entry: [entry.group]),
    ):
        splits: dict[str, set[tuple[str, str]]] = {}
        for split, entry in places:
            for key in keys(entry):
                splits.setdefault(key, set()).add((split, entry.name))
        torn = [members for members in splits.values() if len({split for split, _ in members}) > 1]
        torn = [members for members in torn if not _only_near_test(members)]
        if torn:
            shown = _shortened([" = ".join("/".join(member) for member in sorted(group)) for group in torn])
            findings.append(Finding(level, f"{len(torn)} {what} lie in several splits: {shown}"))
    alike = _alike_across(places, thumbnails)
    if alike:
        shown = _shortened([f"{a} ~ {b}" for a, b in alike])
        findings.append(Finding(level, f"{len(alike)} look-alike neighbours lie in several splits: {shown}"))
    return findings


def _image_checksums(entry: Entry) -> list[str]:
    return [file.sha256 for role, file in entry.files.items() if role != LABELS]


def _only_near_test(members: set[tuple[str, str]]) -> bool:
    """Neighbours of test scenes are in a split of their own on purpose."""
    return {split for split, _ in members} == {"test", "near_test"}


def _alike_across(
    places: Sequence[tuple[str, Entry]], thumbnails: Sequence[np.ndarray]
) -> list[tuple[str, str]]:
    if not places:
        return []
    found = []
    for i, j in similar_pairs(np.stack(thumbnails), least=FOLLOWING):
        (split, entry), (other_split, other) = places[i], places[j]
        if split != other_split and sequence_key(entry.name)[0] == sequence_key(other.name)[0]:
            if not _only_near_test({(split, entry.name), (other_split, other.name)}):
                found.append((f"{split}/{entry.name}", f"{other_split}/{other.name}"))
    return found


def _shortened(texts: Sequence[str]) -> str:
    rest = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
