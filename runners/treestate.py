"""What a workspace holds, to the content of every file: to know whether a step would meet the same again.

A `TreeState` has each path's kind, mode, owner and digest; times are not in it. Repositories (`.git`) count by what
says where they are: HEAD, references, configuration. A file is read once: its digest is remembered by what no program
can set (inode(7): number and change time), as in `freshness`; a file that has changed in this very moment may change
once more without a trace, and is read again. Called by `runners.remembering`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from runners.inventory import REPOSITORY
from runners.treecopy import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_RACY = 50_000_000  # nanoseconds
_OF_REPOSITORY = (b"HEAD", b"packed-refs", b"config", b"shallow")
_DEPTH_LIMIT = 200


class Node(NamedTuple):
    """A file (`content` is its digest), a link (its target) or a folder (empty)."""

    mode: int
    uid: int
    gid: int
    content: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(self.mode)


class TreeState(NamedTuple):
    """All paths below a folder, relative; and what its repositories are at."""

    nodes: Mapping[bytes, Node]
    repositories: Mapping[bytes, str]

    def digest(self) -> str:
        """Of all of it."""
        digest = hashlib.sha256()
        for path, node in sorted(self.nodes.items()):
            digest.update(
                b"%d:%s %d %d %d %s\n" % (len(path), path, node.mode, node.uid, node.gid, node.content.encode())
            )
        for path, content in sorted(self.repositories.items()):
            digest.update(b"%d:%s %s\n" % (len(path), path, content.encode()))
        return digest.hexdigest()


class Digests:
    """Digests of files that were read before; kept in a file from run to run, where there is one."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        self._used: dict[str, str] = {}
        if path is not None:
            try:
                self._known = dict(json.loads(path.read_text("ascii")))
            except (OSError, ValueError, TypeError):
                self._known = {}

    def of(self, folder: int, name: bytes, status: os.stat_result) -> str:
        """The digest of a regular file of an open folder. Raises OSError."""
        key = f"{status.st_dev}:{status.st_ino}:{status.st_ctime_ns}:{status.st_size}"
        found = self._used.get(key) or self._known.get(key)
        if found is None:
            descriptor = os.open(name, _SOURCE, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as file:
                digest = hashlib.file_digest(file, "sha256")
                for attribute, value in attributes(descriptor):
                    digest.update(b"%s %d:%s\n" % (os.fsencode(attribute), len(value), value))
                found = digest.hexdigest()
        if status.st_ctime_ns < time.time_ns() - _RACY:
            self._used[key] = found
        return found

    def save(self) -> None:
        """Keep what was used. Raises OSError."""
        if self._path is not None and self._used != self._known:
            half = self._path.with_suffix(".half")
            half.write_text(json.dumps(self._used), "ascii")
            half.rename(self._path)


def read(tree: Path, digests: Digests) -> TreeState:
    """The state of a tree that nobody changes meanwhile. Raises OSError."""
    nodes: dict[bytes, Node] = {}
    repositories: dict[bytes, str] = {}
    top = os.open(tree, _DIRECTORY)
    try:
        for path, node in _walk(top, b"", digests, repositories, 0):
            nodes[path] = node
    finally:
        os.close(top)
    return TreeState(nodes, repositories)


def _walk(
    folder: int, below: bytes, digests: Digests, repositories: dict[bytes, str], depth: int
) -> Iterator[tuple[bytes, Node]]:
    if depth == _DEPTH_LIMIT:
        raise OSError(None, "folders are nested too deep", os.fsdecode(below))
    with os.scandir(folder) as entries:
        found = [(os.fsencode(entry.name), entry.stat(follow_symlinks=False)) for entry in entries]
    for name, status in found:
        path = below + name
        if name.lower() == REPOSITORY:
            repositories[path] = _repository(folder, name, digests)
            continue
        content = ""
        if stat.S_ISREG(status.st_mode):
            content = digests.of(folder, name, status)
        elif stat.S_ISLNK(status.st_mode):
            content = os.fsdecode(os.readlink(name, dir_fd=folder)).encode("utf-8", "surrogateescape").hex()
        yield path, Node(status.st_mode, status.st_uid, status.st_gid, content)
        if stat.S_ISDIR(status.st_mode):
            descriptor = os.open(name, _DIRECTORY, dir_fd=folder)
            try:
                yield from _walk(descriptor, path + b"/", digests, repositories, depth + 1)
            finally:
                os.close(descriptor)


def _repository(folder: int, name: bytes, digests: Digests) -> str:
    """A digest of where a repository is; of a file in its place, which leads elsewhere, its content."""
    digest = hashlib.sha256()
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=folder)
    except NotADirectoryError:
        return digests.of(folder, name, os.stat(name, dir_fd=folder, follow_symlinks=False))
    try:
        parts = dict(_references(descriptor, b"refs", digests, 0))
        for one in _OF_REPOSITORY:
            parts[one] = _content(descriptor, one, digests)
        for path, content in sorted(parts.items()):
            digest.update(b"%s %s\n" % (path, content.encode()))
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _references(folder: int, path: bytes, digests: Digests, depth: int) -> Iterator[tuple[bytes, str]]:
    try:
        descriptor = os.open(path.rpartition(b"/")[2], _DIRECTORY, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        with os.scandir(descriptor) as entries:
            names = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in names:
            if is_folder and depth < _DEPTH_LIMIT:
                yield from _references(descriptor, path + b"/" + name, digests, depth + 1)
            else:
                yield path + b"/" + name, _content(descriptor, name, digests)
    finally:
        os.close(descriptor)


def _content(folder: int, name: bytes, digests: Digests) -> str:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return digests.of(folder, name, status) if stat.S_ISREG(status.st_mode) else "?"
    except FileNotFoundError:
        return ""
