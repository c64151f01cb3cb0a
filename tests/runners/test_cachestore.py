"""The store of caches: entries that never change, however many runs use it at the same time."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runners.cachestore import CacheStore

if TYPE_CHECKING:
    from collections.abc import Callable


def holding(text: str, size: int = 0) -> Callable[[int], tuple[int, int]]:
    """Fills an entry with one file."""

    def fill(folder: int) -> tuple[int, int]:
        os.mkdir("0", dir_fd=folder)
        Path(f"/proc/self/fd/{folder}/0/file").write_text(text)
        return 1, size or len(text)

    return fill


def content(store: CacheStore, key: str) -> str | None:
    """What is in an entry of the project `p`."""
    entry = store.find("p", key, ["a"])
    if entry is None:
        return None
    with store.reading(entry) as folder:
        return Path(f"/proc/self/fd/{folder}/0/file").read_text()


def test_entries_are_found_by_project_key_and_paths(tmp_path: Path) -> None:
    """Nothing of another project, another key, other paths; of a beginning the newest."""
    store = CacheStore(tmp_path)
    store.add("p", "npm-1", ["a"], holding("one"))
    store.add("p", "npm-2", ["a"], holding("two"))
    store.add("q", "npm-3", ["a"], holding("three"))
    assert content(store, "npm-1") == "one"
    assert store.find("p", "npm-3", ["a"]) is None
    assert store.find("p", "npm-1", ["a", "b"]) is None
    newest = store.newest("p", "npm-", ["a"])
    assert newest is not None
    assert newest.key == "npm-2"
    assert store.newest("p", "pip-", ["a"]) is None
    assert {one.key for one in store.all()} == {"npm-1", "npm-2", "npm-3"}


def test_what_is_read_stays_while_it_is_read(tmp_path: Path) -> None:
    """Replacing and removing do not disturb a reader; what was replaced goes afterwards."""
    store = CacheStore(tmp_path)
    entry = store.add("p", "k", ["a"], holding("old"))
    with store.reading(entry) as folder:
        assert not store.remove(entry)
        store.add("p", "k", ["a"], holding("new"))
        store.reclaim()
        assert Path(f"/proc/self/fd/{folder}/0/file").read_text() == "old"
    assert content(store, "k") == "new"
    assert list((tmp_path / "tmp").iterdir()) != []
    store.reclaim()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_entry_that_the_disk_may_not_have(tmp_path: Path) -> None:
    """It is written behind the run's back; one whose boot ended before that is none, and goes with the next reclaim."""
    store = CacheStore(tmp_path)
    note = store.add("p", "k", ["a"], holding("text")).path / "unsettled"
    deadline = time.monotonic() + 30
    while note.is_symlink() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not note.is_symlink()
    assert content(store, "k") == "text"
    note.symlink_to("another-boot")
    assert store.find("p", "k", ["a"]) is None
    assert store.newest("p", "", ["a"]) is None
    assert store.all() == ()
    store.reclaim()
    assert not note.parent.exists()
    store.add("p", "k", ["a"], holding("again"))
    assert content(store, "k") == "again"


def test_an_entry_that_could_not_be_filled_is_none(tmp_path: Path) -> None:
    """The one before it stays, and nothing is left over."""
    store = CacheStore(tmp_path)
    store.add("p", "k", ["a"], holding("old"))

    def fill(_: int) -> tuple[int, int]:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        store.add("p", "k", ["a"], fill)
    assert content(store, "k") == "old"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    """Beyond the limit; the new entry stays in any case."""
    store = CacheStore(tmp_path, limit=250)
    for number, key in enumerate(("a", "b", "c")):
        entry = store.add("p", key, ["a"], holding(key, 100))
        os.utime(entry.path / "entry.json", (1000 + number, 1000 + number))
    assert [one.key for one in store.all()] == ["c", "b"]
    store.add("p", "large", ["a"], holding("x", 300))
    assert [one.key for one in store.all()] == ["large"]
    assert [one.key for one in store.prune(limit=0)] == ["large"]
    assert store.all() == ()


def test_prune_by_age(tmp_path: Path) -> None:
    """What was not used since a moment goes, whatever the limit."""
    store = CacheStore(tmp_path)
    old = store.add("p", "old", ["a"], holding("x"))
    store.add("p", "new", ["a"], holding("x"))
    os.utime(old.path / "entry.json", (1000, 1000))
    assert [one.key for one in store.prune(limit=1 << 30, before=2000)] == ["old"]
    assert [one.key for one in store.all()] == ["new"]
