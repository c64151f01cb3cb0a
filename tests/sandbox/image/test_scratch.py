"""Scratch directories outside of the state directory: what is left of them, and what is not ours."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from sandbox.image import scratch

if TYPE_CHECKING:
    from pathlib import Path


def test_it_goes_with_its_block(tmp_path: Path) -> None:
    """Others may pass through it and not look; nothing is left."""
    with scratch.Outside(tmp_path) as place:
        assert place.stat().st_mode & 0o7777 == 0o711
        (place / "file").touch()
        assert scratch.reclaim(tmp_path) == 0
        assert (place / "file").exists()
    assert not place.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_a_killed_process_leaves_is_reclaimed(tmp_path: Path) -> None:
    """The directory with all that is in it, and the note of it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with scratch.Outside(tmp_path) as place:
            (place / "deep").mkdir()
            os.write(writing, os.fsencode(place))
            signal.pause()
    place_name = os.fsdecode(os.read(reading, 200))
    os.close(reading)
    os.close(writing)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert scratch.reclaim(tmp_path) == 1
    assert not os.path.lexists(place_name)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.root
def test_somebody_else_s_directory_is_left_alone(tmp_path: Path) -> None:
    """Who makes one of a name that a dead process has left a note of loses nothing."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    os.chown(theirs, 12345, 12345)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/outside-1").symlink_to(theirs)
    assert scratch.reclaim(tmp_path) == 1
    assert (theirs / "file").exists()
