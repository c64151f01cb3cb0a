"""The files of a local run: a copy of the work tree for each Stage, made fast and without touching the original.

What is copied is what a push would bring plus what is not committed yet: tracked files as they are now, and untracked
ones that git does not ignore; outside of git, everything. Modes, times and symbolic links are kept. The tree is read
once into a pristine copy, so that all Stages of a run see the same files although somebody goes on editing; each
Stage gets a copy of that one (`runners.treepool`), the last Stage the pristine copy itself.

Every access is relative to an open directory and follows no link, so that a link in the work tree never leads the copy
elsewhere. Called by `ci.cli.local`; the server's runner makes its workspaces from a clone instead.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runners import gitrepo
from runners.backend import HostMount
from runners.freshness import Freshness
from sandbox.errors import SandboxError
from sandbox.kernel.paths import Root, remove_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OBJECTS = "/run/hako/git"  # where containers see the borrowed object folders, numbered

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_TARGET = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ONE_CALL = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A pristine copy at `path` of the work tree at `source`, with the mounts that its repository needs.

    `repositories` are the folders in it, relative, that have a `.git`: the top, submodules and the like.
    """

    source: Path
    path: Path
    files: int
    repositories: tuple[str, ...] = ()
    mounts: tuple[HostMount, ...] = ()


def snapshot(source: Path, target: Path, *, leave_out: Path | None = None, manifest: Path | None = None) -> Snapshot:
    """Copy the work tree at `source` to `target`, which must not exist.

    With `manifest`, a file beside it, `target` may be there from the last time: what has not changed is not copied.
    `leave_out` is a folder that is not copied even when it lies inside (the state directory). Raises OSError with the
    path of what cannot be read, GitError.
    """
    borrowed: list[Path] = []
    repositories: list[str] = []
    count = 0
    trees = [b""]  # the work tree, then the repositories in it
    fresh = Freshness(manifest, target) if manifest is not None else None
    wanted: set[str] = set()
    if fresh is None or not target.is_dir():
        target.mkdir()
    if fresh is not None:
        fresh.prune()
    while trees:
        below = trees.pop()
        here, there = source / os.fsdecode(below), target / os.fsdecode(below)
        copier = _Copier(here, there, leave_out, fresh=fresh, below=below)
        with _umask(0):
            copier.copy(_listing(here))
        count += copier.count
        wanted |= copier.folders()
        trees += [below + b"/" + inner if below else inner for inner in copier.inner]
        repository = gitrepo.find(here)
        if repository is not None:
            places = []
            for folder in gitrepo.object_folders(repository):
                if folder not in borrowed:
                    borrowed.append(folder)
                places.append(f"{OBJECTS}/{borrowed.index(folder)}")
            with _umask(0o022):
                gitrepo.copy_metadata(repository, there / ".git", places)
            repositories.append(os.fsdecode(below))
    if fresh is not None:
        fresh.finish(wanted)
    target.chmod(0o755)
    mounts = tuple(HostMount(source=str(folder), target=f"{OBJECTS}/{n}") for n, folder in enumerate(borrowed))
    return Snapshot(source=source, path=target, files=count, repositories=tuple(repositories), mounts=mounts)


def copy(source: Path, target: Path, *, manifest: Path | None = None) -> None:
    """A further copy of a pristine one, with everything in it.

    `target` must not exist; with a `manifest` it may be there from the last time, as in `snapshot`.
    """
    fresh = Freshness(manifest, target) if manifest is not None else None
    if fresh is None or not target.is_dir():
        target.mkdir()
    if fresh is not None:
        fresh.prune()
    copier = _Copier(source, target, None, fresh=fresh)
    with _umask(0):
        copier.copy(sorted(_walk(source)))
    if fresh is not None:
        fresh.finish(copier.folders())
    target.chmod(0o755)


def remove(path: Path) -> None:
    """Remove a workspace, whatever steps left in it; one that is not there is fine."""
    with suppress(FileNotFoundError):
        remove_path(path)


def settle(copied: Snapshot, workspace: Path) -> None:
    """Make a workspace that is kept usable outside of containers: its repositories borrow from the original's place."""
    places = {mount.target.encode(): os.fsencode(mount.source) for mount in copied.mounts}
    with Root(workspace) as root:  # steps may have left links there
        for repository in copied.repositories:
            path = f"{repository}/.git/objects/info/alternates".lstrip("/")
            try:
                lines = root.read_regular(path, 1 << 20).splitlines()
                target = root.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK, follow_final=False)
            except (OSError, SandboxError):
                continue  # a step has removed or replaced it: it is not ours any more
            with os.fdopen(target, "wb") as file:
                file.writelines(places.get(line, line) + b"\n" for line in lines)


def _listing(folder: Path) -> Sequence[bytes]:
    """The paths to copy, in an order that keeps a folder's files together."""
    top = gitrepo.enclosing(folder)
    if top is not None:
        found = gitrepo.files(folder)
        if found or top == folder or not gitrepo.is_ignored(folder):
            return sorted(found)
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[bytes]:
    """All paths below a folder; folders without anything in them end in a slash. Links are not followed."""
    waiting = [b""]
    root = os.fsencode(folder)
    while waiting:
        below = waiting.pop()
        empty = True
        with os.scandir(root + b"/" + below) as entries:
            for entry in entries:
                empty = False
                path = below + entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path + b"/")
                else:
                    yield path
        if empty and below:
            yield below


class _Copier:
    """Copies paths from one tree to another; keeps the two folders it works in open.

    `inner` are the paths that turned out to be folders: submodules, and repositories that nobody told git about.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        leave_out: Path | None,
        *,
        fresh: Freshness | None = None,
        below: bytes = b"",
    ) -> None:
        self.count = 0
        self._fresh = fresh
        self._below = os.fsdecode(below + b"/") if below else ""
        self.inner: list[bytes] = []
        self._source = source
        self._target = target
        self._leave_out = _inside(leave_out, source)
        self._made: set[bytes] = set()

    def folders(self) -> set[str]:
        """The folders that were made or found, relative to the top tree."""
        found = {self._below + os.fsdecode(path[1:]) for path in self._made}
        return found | {self._below.rstrip("/")} if self._below else found

    def copy(self, paths: Sequence[bytes]) -> None:
        """Copy `paths` in their order; one that is gone is passed over."""
        folder: bytes | None = None
        here = there = -1
        try:
            for path in paths:
                if self._leave_out and (path + b"/").startswith(self._leave_out):
                    continue
                parent, _, name = path.rpartition(b"/")
                if not name:
                    self._inner(parent)
                    continue
                if parent != folder:
                    if here >= 0:
                        os.close(here)
                        os.close(there)
                    here = there = -1
                    folder = parent
                    pair = self._open(parent)
                    if pair is not None:
                        here, there = pair
                if here >= 0:
                    self._copy_one(path, name, here, there)
        except OSError as error:
            if isinstance(error.filename, bytes):
                error.filename = str(self._source / os.fsdecode(folder or b"") / os.fsdecode(error.filename))
            raise
        finally:
            if here >= 0:
                os.close(here)
                os.close(there)

    def _copy_one(self, path: bytes, name: bytes, here: int, there: int) -> None:
        if self._fresh is not None and self._is_there(self._fresh, self._below + os.fsdecode(path), name, here, there):
            return
        try:
            source = os.open(name, _SOURCE, dir_fd=here)
        except FileNotFoundError:
            return  # deleted, in the work tree or this moment
        except OSError as error:
            if self._copy_special(path, name, here, there):
                return
            raise error from None
        try:
            status = os.fstat(source)
            if stat.S_ISREG(status.st_mode):
                copied = _copy_content(name, source, status, there)
                self.count += 1
                if self._fresh is not None:
                    self._fresh.copied(self._below + os.fsdecode(path), status, copied)
            elif stat.S_ISDIR(status.st_mode):
                self._inner(path)
        finally:
            os.close(source)

    def _is_there(self, fresh: Freshness, path: str, name: bytes, here: int, there: int) -> bool:
        """Whether the copy of the last time is good; one that is not is removed."""
        try:
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
        except FileNotFoundError:
            return True  # deleted; what is left of it goes at the end
        if fresh.has(path, status):
            self.count += 1
            return True
        if not stat.S_ISDIR(status.st_mode):
            fresh.clear(path, name, there)
        return False

    def _copy_special(self, path: bytes, name: bytes, here: int, there: int) -> bool:
        """A symbolic link is copied; a socket and the like is not worth an error."""
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=here), name, dir_fd=there)
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=there, follow_symlinks=False)
            self.count += 1
            if self._fresh is not None:
                copied = os.stat(name, dir_fd=there, follow_symlinks=False)
                self._fresh.copied(self._below + os.fsdecode(path), status, copied)
            return True
        return not stat.S_ISREG(status.st_mode)

    def _inner(self, path: bytes) -> None:
        """A folder: made, and, where it has a repository of its own, listed by that one later."""
        pair = self._open(path)
        if pair is None:
            return
        for descriptor in pair:
            os.close(descriptor)
        if gitrepo.find(self._source / os.fsdecode(path)) is not None:
            self.inner.append(path)

    def _open(self, path: bytes) -> tuple[int, int] | None:
        """The folder on both sides, made on the right one; `None` where the left one is no folder (any more)."""
        here = os.open(self._source, _DIRECTORY)
        there = os.open(self._target, _DIRECTORY)
        done = b""
        for name in path.split(b"/") if path else ():
            done += b"/" + name
            try:
                next_here = os.open(name, _DIRECTORY, dir_fd=here)
            except OSError as error:
                os.close(here)
                os.close(there)
                if isinstance(error, PermissionError):
                    raise
                return None  # gone, or a file or a link now
            os.close(here)
            here = next_here
            if done not in self._made:
                inside = self._below + os.fsdecode(done[1:])
                if self._fresh is not None and self._fresh.is_file(inside):
                    self._fresh.clear(inside, name, there)
                _make_folder(name, stat.S_IMODE(os.fstat(here).st_mode) | 0o700, there)
                self._made.add(done)
            next_there = os.open(name, _DIRECTORY, dir_fd=there)
            os.close(there)
            there = next_there
        return here, there


def _make_folder(name: bytes, mode: int, there: int) -> None:
    """A folder with this mode; one that is there from the last time is ours again, whatever steps made of it."""
    try:
        os.mkdir(name, mode, dir_fd=there)
        return
    except FileExistsError:
        status = os.stat(name, dir_fd=there, follow_symlinks=False)
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(name, os.geteuid(), os.getegid(), dir_fd=there, follow_symlinks=False)
    if stat.S_IMODE(status.st_mode) != mode:
        os.chmod(name, mode, dir_fd=there)


def _copy_content(name: bytes, source: int, status: os.stat_result, there: int) -> os.stat_result:
    """Copy a file that is open; what the copy is known by."""
    target = os.open(name, _TARGET, stat.S_IMODE(status.st_mode), dir_fd=there)
    try:
        left = status.st_size
        try:
            while left > 0:
                copied = os.copy_file_range(source, target, min(left, _ONE_CALL))
                if copied == 0:
                    break  # it has become shorter
                left -= copied
        except OSError:  # EXDEV, EINVAL, EOPNOTSUPP: these two file systems cannot; nothing was copied then
            while left > 0 and (copied := os.sendfile(target, source, None, min(left, _ONE_CALL))):
                left -= copied
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        return os.fstat(target)
    finally:
        os.close(target)


def _inside(folder: Path | None, tree: Path) -> bytes:
    """`folder` relative to `tree`, with a slash; empty when it is not in it."""
    if folder is None:
        return b""
    resolved, top = folder.resolve(), tree.resolve()
    return os.fsencode(resolved.relative_to(top)) + b"/" if resolved.is_relative_to(top) else b""


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    """The process has one thread, so that nobody else is concerned."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
