"""The state of a tree: everything that a step can notice changes it, but for times."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runners.treestate import Digests, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def tree(path: Path) -> Path:
    """A tree with one of each."""
    (path / "folder").mkdir(parents=True)
    (path / "folder" / "file").write_text("content")
    (path / "link").symlink_to("folder")
    (path / ".git" / "refs" / "heads").mkdir(parents=True)
    (path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (path / ".git" / "refs" / "heads" / "main").write_text("0123\n")
    (path / ".git" / "index").write_text("x")
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "folder" / "file").write_text("CONTENT"),
        lambda path: (path / "folder" / "file").chmod(0o600),
        lambda path: (path / "folder").chmod(0o700),
        lambda path: (path / "folder" / "file").rename(path / "folder" / "other"),
        lambda path: (path / "folder" / "file").unlink(),
        lambda path: (path / "new").mkdir(),
        lambda path: ((path / "link").unlink(), (path / "link").symlink_to("file")),
        lambda path: ((path / "folder" / "file").unlink(), (path / "folder" / "file").mkdir()),
        lambda path: os.mkfifo(path / "pipe"),
        lambda path: (path / ".git" / "HEAD").write_text("4567\n"),
        lambda path: (path / ".git" / "refs" / "heads" / "new").write_text("0123\n"),
        lambda path: (path / ".git" / "config").write_text("[core]\n"),
    ],
    ids=range(12),
)
def test_changes(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """Content, modes, names, kinds, targets of links; where a repository is."""
    path, digests = tree(tmp_path / "tree"), Digests()
    before = read(path, digests)
    assert read(path, digests).digest() == before.digest()
    change(path)
    assert read(path, digests).digest() != before.digest()


@pytest.mark.root
def test_owners_are_changes(tmp_path: Path) -> None:
    """A file that is another user's is another."""
    path = tree(tmp_path / "tree")
    before = read(path, Digests()).digest()
    os.chown(path / "folder" / "file", 1000, 0)
    assert read(path, Digests()).digest() != before


def test_times_are_none(tmp_path: Path) -> None:
    """Nor is the index of a repository, which holds them; copies of a tree have its state."""
    path = tree(tmp_path / "tree")
    before = read(path, Digests()).digest()
    os.utime(path / "folder" / "file", (1, 1))
    (path / ".git" / "index").write_text("y")
    assert read(path, Digests()).digest() == before
    assert read(tree(tmp_path / "copy"), Digests()).digest() == before


def test_a_file_is_read_once(tmp_path: Path) -> None:
    """Digests are known in the next run, by what no program can set; a broken file of them is none."""
    path = tree(tmp_path / "tree")
    kept = tmp_path / "digests"
    first = Digests(kept)
    expected = read(path, first).digest()
    first.save()
    for text in ("", "[]", "{", '{"a": "b"}', kept.read_text() if kept.exists() else ""):
        kept.write_text(text)
        again = Digests(kept)
        assert read(path, again).digest() == expected
        again.save()
