"""Fetches the published archive of a set, where its address and its checksum are known."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from data_pipelines.decode import ImageError
from data_pipelines.sets.cards import Archive, Card

_BLOCK = 1 << 20  # bytes read at a time
_TIMEOUT = 60  # seconds without an answer


def fetch_archive(
    card: Card,
    folder: Path,
    *,
    name: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Return the file of an archive of the set, downloaded into `folder` unless it lies there already.

    A file is only kept when it has the published checksum.

    Args:
      card: the set.
      folder: where archives are kept.
      name: which archive, where the set has several.
      progress: called with the numbers of bytes fetched and in all (0 where the server does not say).

    Raises:
      ImageError: the set has no archive that can be fetched and checked, there is no network, or what came is
        not the published archive. The message says how to go on by hand.
    """
    archive = _choose(card, name)
    if not archive.address or not archive.sha256:
        lack = "no checksum of it is known" if archive.address else "it has no address to fetch it from"
        raise ImageError(archive.name, f"is not downloaded, since {lack}. {_by_hand(card, archive)}")
    file = folder / archive.name
    if file.is_file() and _sha256(file) == archive.sha256:
        return file
    part = file.with_name(f".{file.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = _download(archive.address, part, progress)
        if found != archive.sha256:
            reason = f"{archive.address} gave another file (SHA-256 {found}, expected {archive.sha256})"
            raise ImageError(archive.name, f"{reason}. {_by_hand(card, archive)}")
        os.replace(part, file)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        cause = getattr(error, "reason", None) or error
        raise ImageError(
            archive.name, f"cannot be downloaded ({cause}). {_by_hand(card, archive)}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return file


def _choose(card: Card, name: str | None) -> Archive:
    known = {archive.name: archive for archive in card.archives}
    if not known:
        where = f"get it from {card.homepage} and " if card.homepage else ""
        raise ImageError(card.name, f"no archive to download is known: {where}give --source")
    if name is None and len(known) > 1:
        raise ImageError(card.name, f"has several archives: give --archive {' or '.join(known)}, or --source")
    if name is not None and name not in known:
        raise ImageError(card.name, f"has no archive {name!r}; there is {', '.join(known)}")
    return known[name or card.archives[0].name]


def _download(address: str, part: Path, progress: Callable[[int, int], None]) -> str:
    """Write what the address gives and return its SHA-256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as response, part.open("wb") as file:
        total, done = int(response.headers.get("Content-Length") or 0), 0
        while block := response.read(_BLOCK):
            file.write(block)
            digest.update(block)
            done += len(block)
            progress(done, total)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_hand(card: Card, archive: Archive) -> str:
    return f"Get it from {archive.address or card.homepage} and give --source {archive.name}"
