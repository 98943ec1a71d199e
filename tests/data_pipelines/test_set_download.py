"""Published archives: fetched only where what comes can be checked, never kept where it is another file."""

import dataclasses
import hashlib

import pytest

from data_pipelines.decode import ImageError
from data_pipelines.sets.cards import CARDS, Archive
from data_pipelines.sets.download import fetch_archive

CONTENT = b"what the authors packed" * 1000


@pytest.fixture
def card(tmp_path):
    """A set whose archive is a file that plays the server."""
    (tmp_path / "server").mkdir()
    served = tmp_path / "server" / "set.zip"
    served.write_bytes(CONTENT)
    archive = Archive("set.zip", served.as_uri(), hashlib.sha256(CONTENT).hexdigest())
    return dataclasses.replace(CARDS["tno"], archives=(archive,))


def test_an_archive_is_fetched_once(card, tmp_path):
    seen = []
    file = fetch_archive(card, tmp_path / "d", progress=lambda done, total: seen.append((done, total)))
    assert file.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    (tmp_path / "server" / "set.zip").unlink()
    assert fetch_archive(card, tmp_path / "d") == file
    file.write_bytes(b"damaged since")
    with pytest.raises(ImageError, match=r"cannot be downloaded .*give --source set\.zip"):
        fetch_archive(card, tmp_path / "d")


def test_another_file_is_not_kept(card, tmp_path):
    """Servers answer with a page that says why there is no file."""
    (tmp_path / "server" / "set.zip").write_text("<html>quota exceeded</html>")
    with pytest.raises(ImageError, match="gave another file .* expected .*give --source"):
        fetch_archive(card, tmp_path / "d")
    assert not list((tmp_path / "d").iterdir())


@pytest.mark.parametrize(
    "name, archive, message",
    [
        ("msrs", None, r"main\.zip: is not downloaded, since no checksum of it is known\. Get it from https"),
        ("llvip", None, "llvip: no archive to download is known: get it from https.* and give --source"),
        ("folder", None, "folder: no archive to download is known: give --source"),
        ("m3fd", None, "give --archive M3FD_Fusion.zip or M3FD_Detection.zip, or --source"),
        ("m3fd", "M3FD.rar", "has no archive 'M3FD.rar'; there is M3FD_Fusion.zip"),
    ],
)
def test_what_cannot_be_checked_is_left_to_the_user(tmp_path, name, archive, message):
    with pytest.raises(ImageError, match=message):
        fetch_archive(CARDS[name], tmp_path, name=archive)


def test_checksums_of_the_cards_are_checksums():
    for card in CARDS.values():
        for archive in card.archives:
            assert archive.address.startswith("https://")
            assert archive.sha256 == "" or len(bytes.fromhex(archive.sha256)) == 32
