"""Digests of files are kept, and never those of other contents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.builder.digests import FileDigests, forget
from sandbox.builder.keys import content_digest
from sandbox.builder.transfer import FileContents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATER = 10_000_000_000  # nanoseconds


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A context with a file."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "file").write_text("one")
    return folder


class Unreadable(FileContents):
    """Of a file that nobody may read again."""

    def __call__(self) -> Iterator[bytes | memoryview]:
        """Fail."""
        raise AssertionError("it was read")


def digest(home: Path, place: Path, *, late: int = LATER, kind: type[FileContents] = FileContents) -> str:
    """What a build finds that looks at the file so much later."""
    fd = os.open(place / "file", os.O_RDONLY)
    try:
        status = os.fstat(fd)
        digests = FileDigests(home, (place,), lambda: status.st_ctime_ns + late)
        found = digests.digest(kind(fd, status))
    finally:
        os.close(fd)
    digests.save(all_were_asked_for=True)
    return found


def test_a_file_is_read_once(tmp_path: Path, place: Path) -> None:
    """The next build knows its digest, which is that of its contents."""
    found = digest(tmp_path, place)
    assert found == content_digest(lambda: iter((b"one",)))
    assert digest(tmp_path, place, kind=Unreadable) == found
    forget(tmp_path)
    with pytest.raises(AssertionError):
        digest(tmp_path, place, kind=Unreadable)


def test_other_contents_are_seen_whatever_the_time_says(tmp_path: Path, place: Path) -> None:
    """Of the same size, and with the time of before put back."""
    before = digest(tmp_path, place)
    status = (place / "file").stat()
    while (place / "file").stat().st_ctime_ns == status.st_ctime_ns:  # the kernel's clock goes in ticks
        (place / "file").write_text("two")
        os.utime(place / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest(tmp_path, place) != before


def test_what_may_change_within_the_same_tick_is_read_again(tmp_path: Path, place: Path) -> None:
    """A file that was just written is not remembered."""
    digest(tmp_path, place, late=LATER // 10)
    with pytest.raises(AssertionError):
        digest(tmp_path, place, kind=Unreadable)


def test_a_damaged_list_is_none(tmp_path: Path, place: Path) -> None:
    """It is made anew."""
    found = digest(tmp_path, place)
    for path in (tmp_path / "images" / "digests").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    assert digest(tmp_path, place) == found
    assert digest(tmp_path, place, kind=Unreadable) == found
