"""Copies of trees: everything that a build can notice, and nothing from outside of the tree."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from runners.treecopy import clone, measure

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root


def test_a_tree(tmp_path: Path) -> None:
    """Modes, owners, times to the nanosecond, links that lead nowhere, folders without anything; no pipes."""
    tree = tmp_path / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    file = tree / "sub" / "file"
    file.write_text("content")
    os.chown(file, 1000, 1001)
    file.chmod(0o4750)
    os.utime(file, ns=(1, 1234567890123456789))
    (tree / "link").symlink_to("/etc/passwd")
    os.mkfifo(tree / "pipe")
    (tree / "sub").chmod(0o500)
    os.utime(tree / "sub", ns=(1, 987654321))
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    clone(folder, "tree", folder, "copy")
    assert measure(folder, "copy").files == 2
    os.close(folder)
    copy = tmp_path / "copy"
    status = (copy / "sub" / "file").stat()
    assert (copy / "sub" / "file").read_text() == "content"
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1001, 0o4750)
    assert status.st_mtime_ns == 1234567890123456789
    assert stat.S_IMODE((copy / "sub").stat().st_mode) == 0o500
    assert (copy / "sub").stat().st_mtime_ns == 987654321
    assert (copy / "link").readlink().as_posix() == "/etc/passwd"
    assert (copy / "sub" / "empty").is_dir()
    assert not (copy / "pipe").exists()


def test_extended_attributes(tmp_path: Path) -> None:
    """They come along where the file system has them."""
    (tmp_path / "file").write_text("content")
    try:
        os.setxattr(tmp_path / "file", "user.mark", b"value")
    except OSError:
        pytest.skip("this file system has no attributes of users (tmpfs before Linux 6.6)")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    clone(folder, "file", folder, "copy")
    os.close(folder)
    assert os.getxattr(tmp_path / "copy", "user.mark") == b"value"


def test_depth_has_a_limit(tmp_path: Path) -> None:
    """A tree that is made to exhaust descriptors is an error."""
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir("tree", dir_fd=folder)
    below = os.open("tree", os.O_RDONLY, dir_fd=folder)
    for _ in range(300):
        os.mkdir("d", dir_fd=below)
        deeper = os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = deeper
    os.close(below)
    with pytest.raises(OSError, match="nested too deep"):
        clone(folder, "tree", folder, "copy")
    os.close(folder)
