"""A folder that belongs to a process for as long as that lives."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from runners import folderlock

if TYPE_CHECKING:
    from pathlib import Path


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """Until its descriptor is closed."""
    held = folderlock.lock(tmp_path)
    assert held >= 0
    assert folderlock.lock(tmp_path) == -1
    os.close(held)
    again = folderlock.lock(tmp_path)
    assert again >= 0
    os.close(again)


def test_a_folder_that_is_gone_has_no_holder(tmp_path: Path) -> None:
    """That is no error."""
    assert folderlock.lock(tmp_path / "missing") == -1


def test_who_waits_for_a_folder_that_is_removed_meanwhile_does_not_get_it(tmp_path: Path) -> None:
    """Also where another of the same name is made."""
    folder = tmp_path / "folder"
    folder.mkdir()
    held = folderlock.lock(folder)
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(folderlock.lock(folder, wait=True)))
    waiting.start()
    folder.rename(tmp_path / "removed")
    folder.mkdir()
    os.close(held)
    waiting.join(10)
    # It has waited for the old one, or has begun after the new one was made.
    assert found == [-1] or os.path.samestat(os.fstat(found[0]), folder.stat())
