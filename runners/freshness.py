"""Which files of a kept workspace are still the copies that were made of the project's files.

A manifest has, for every copied path, what the source was known by when it was copied, and the copy when it was made.
Both have their inode and its change time (inode(7), ctime), which no program can set, so that neither an edit in the
project nor anything that a step does to a copy is missed; of sources, which may lie on any file system, also size and
modification time count. A source that had changed just before it was copied may change once more within the clock's
granularity; it is left out, and copied the next time.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from sandbox.kernel.paths import remove_tree

_RACY = 50_000_000  # nanoseconds
_VERSION = 1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _source(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_ctime_ns, status.st_size, status.st_mtime_ns]


def _copy(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_ctime_ns]


class Freshness:
    """The manifest of a tree that is being refreshed: first `prune`, then ask and tell for each path, then `finish`."""

    def __init__(self, manifest: Path, tree: Path) -> None:
        self._manifest = manifest
        self._tree = tree
        self._old = _load(manifest)
        self._present: set[str] = set()
        self._folders: set[str] = set()
        self._new: dict[str, list[int]] = {}
        self._began = time.time_ns()
        self._changed = False

    def prune(self) -> None:
        """Remove from the tree what is not as it was copied, and every repository, which is made anew."""
        waiting = [""]
        root = os.fspath(self._tree)
        while waiting:
            below = waiting.pop()
            descriptor = _enter(f"{root}/{below}")
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        path = below + entry.name
                        if entry.name == ".git":
                            remove_tree(descriptor, entry.name)
                        elif entry.is_dir(follow_symlinks=False):
                            self._folders.add(path)
                            waiting.append(f"{path}/")
                        elif self._is_as_copied(path, entry.stat(follow_symlinks=False)):
                            self._present.add(path)
                        else:
                            os.unlink(entry.name, dir_fd=descriptor)
            finally:
                os.close(descriptor)

    def _is_as_copied(self, path: str, status: os.stat_result) -> bool:
        old = self._old.get(path)
        return old is not None and old[4:] == _copy(status)

    def has(self, path: str, source: os.stat_result) -> bool:
        """Whether the tree has a good copy of `source` at `path`. It is kept then."""
        if path not in self._present:
            return False
        old = self._old[path]
        if old[:4] != _source(source):
            return False
        self._present.discard(path)
        self._new[path] = old
        return True

    def clear(self, path: str, name: bytes, folder: int) -> None:
        """Make room for a new file, link or folder at `path`, which is `name` in the open folder."""
        if path in self._present:
            os.unlink(name, dir_fd=folder)
            self._present.discard(path)
        elif path in self._folders:
            remove_tree(folder, os.fsdecode(name))
            # Not to be looked for again: their way may lead through a link of the project now.
            self._present = {one for one in self._present if not one.startswith(f"{path}/")}
            self._folders = {one for one in self._folders if one != path and not one.startswith(f"{path}/")}

    def is_file(self, path: str) -> bool:
        """Whether the tree has a file or link there from the last time."""
        return path in self._present

    def copied(self, path: str, source: os.stat_result, copy: os.stat_result) -> None:
        """A new copy was made."""
        self._present.discard(path)
        self._changed = True
        if source.st_ctime_ns < self._began - _RACY:
            self._new[path] = _source(source) + _copy(copy)

    def finish(self, wanted: set[str]) -> None:
        """Remove what the project does not have any more, folders that are not `wanted` too, and write the manifest."""
        root = os.open(self._tree, _DIRECTORY)
        try:
            for path in self._present:
                os.unlink(path, dir_fd=root)
            for path in sorted(self._folders - wanted, reverse=True):
                folder, _, name = path.rpartition("/")
                parent = os.open(folder or ".", _DIRECTORY, dir_fd=root)
                try:
                    remove_tree(parent, name)
                finally:
                    os.close(parent)
        finally:
            os.close(root)
        if self._changed or len(self._new) != len(self._old):
            half = self._manifest.with_suffix(".half")
            half.write_text(json.dumps({"version": _VERSION, "files": self._new}), "ascii")
            half.rename(self._manifest)


def _enter(path: str) -> int:
    """A folder of the tree, which nobody is at any more; a step may have closed it, also to its owner."""
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        Path(path).chmod(0o700)
    return os.open(path, _DIRECTORY)


def _load(path: Path) -> dict[str, list[int]]:
    """Nothing where it is not there, of another version, or not whole (a power loss)."""
    try:
        found = json.loads(path.read_text("ascii"))
        return dict(found["files"]) if found["version"] == _VERSION else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
