"""A tar stream put into a directory, for `cp`: into a container, or from one onto the host.

Neither side trusts the other. Below the directory no link is followed, whether the archive has it or it was there
before (openat2 with RESOLVE_NO_SYMLINKS and RESOLVE_BENEATH); `..` is refused; a directory never takes the place of
something else, nor the other way round; device nodes are left out. Imports nothing while it works.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError
from sandbox.image.limits import Limits
from sandbox.image.tarformat import Kind, TarEntry, show
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import TarSource
from sandbox.kernel.openat import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.image.tarsource import Readable

_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OVERWRITE = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LIMITS = Limits()


def unpack(stream: Readable, directory: int, *, owners: bool, set_id: bool) -> int:
    """Put the entries of an archive below the open `directory`; the bytes of their contents.

    With `owners` files get the archive's ids, else the caller's own; with `set_id` they keep set-user-id bits and
    capabilities. Raises InvalidError for a malformed archive, ConflictError where something is in the way.
    """
    reader = TarReader(TarSource(stream, limit=_LIMITS.data), _LIMITS)
    unpacking = _Unpacking(directory, owners=owners, set_id=set_id)
    for entry in reader:
        unpacking.add(entry, reader.data())
    unpacking.finish()
    return unpacking.count


class _Unpacking:
    def __init__(self, directory: int, *, owners: bool, set_id: bool) -> None:
        self.count = 0
        self._root = directory
        self._owners = owners
        self._mask = 0o7777 if set_id else 0o1777
        self._times: list[tuple[bytes, int]] = []  # of directories, set when nothing is put into them any more

    def add(self, entry: TarEntry, data: Iterable[bytes | memoryview]) -> None:
        """Put one entry in its place."""
        parts = _parts(entry.name)
        if not parts:
            return  # the directory itself, which is there
        parent = self._open(parts[:-1])
        try:
            self._put(entry, parent, parts, data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, show(b"/".join(parts))) from error
        finally:
            os.close(parent)

    def finish(self) -> None:
        """Set the times of directories."""
        for path, time in reversed(self._times):
            with contextlib.suppress(OSError):
                made = openat2(self._root, path, _DIRECTORY, resolve=_RESOLVE)
                try:
                    os.utime(made, ns=(time, time))
                finally:
                    os.close(made)

    def _open(self, parts: list[bytes]) -> int:
        """The directory that an entry belongs in, made where the archive left it out."""
        path = b"/".join(parts) or b"."
        try:
            return openat2(self._root, path, _DIRECTORY, resolve=_RESOLVE)
        except FileNotFoundError:
            above = self._open(parts[:-1])
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(parts[-1], 0o755, dir_fd=above)
            finally:
                os.close(above)
            return openat2(self._root, path, _DIRECTORY, resolve=_RESOLVE)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise ConflictError(
                    f"{show(path)} is a link or a file, not a directory to copy into", reference="in-the-way"
                ) from None
            raise

    def _put(self, entry: TarEntry, parent: int, parts: list[bytes], data: Iterable[bytes | memoryview]) -> None:
        name = parts[-1]
        if entry.kind is Kind.DIRECTORY:
            self._put_directory(entry, parent, parts)
        elif entry.kind is Kind.FILE:
            self._put_file(entry, parent, name, data)
        elif entry.kind is Kind.LINK:
            first = _parts(entry.target)
            if not first:
                raise InvalidError(f"{show(entry.name)} in the archive is a hard link to nothing")
            source = self._open(first[:-1])
            try:
                self._clear(parent, name)
                os.link(first[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(source)
        elif entry.kind is Kind.SYMLINK:
            self._clear(parent, name)
            os.symlink(entry.target, name, dir_fd=parent)
            self._finish_link(entry, parent, name)
        elif entry.kind is Kind.FIFO:
            self._clear(parent, name)
            os.mkfifo(name, entry.mode & 0o777, dir_fd=parent)

    def _put_directory(self, entry: TarEntry, parent: int, parts: list[bytes]) -> None:
        name = parts[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise ConflictError(
                    f"cannot put a directory over {show(b'/'.join(parts))}, which is none", reference="in-the-way"
                ) from None
            return
        made = os.open(name, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._finish(made, entry)
        finally:
            os.close(made)
        self._times.append((b"/".join(parts), entry.mtime))

    def _put_file(self, entry: TarEntry, parent: int, name: bytes, data: Iterable[bytes | memoryview]) -> None:
        try:
            self._clear(parent, name)
            file = os.open(name, _CREATE, 0o600, dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            file = os.open(name, _OVERWRITE, dir_fd=parent)  # something is mounted there: into it
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                raise
        try:
            segments = iter(entry.segments if entry.segments is not None else ((0, entry.size),))
            left = 0
            for piece in data:
                view = memoryview(piece)
                while view:
                    while not left:
                        offset, left = next(segments)
                        os.lseek(file, offset, os.SEEK_SET)
                    written = os.write(file, view[:left])
                    view, left = view[written:], left - written
            os.ftruncate(file, entry.size)
            self.count += entry.size
            self._finish(file, entry)
            os.utime(file, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(file)

    def _clear(self, parent: int, name: bytes) -> None:
        """Take away what is there, unless it is a directory."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise ConflictError(f"cannot put something else over the directory {show(name)}", reference="in-the-way")
        os.unlink(name, dir_fd=parent)

    def _finish(self, made: int, entry: TarEntry) -> None:
        if self._owners:
            os.fchown(made, entry.uid, entry.gid)
        os.fchmod(made, entry.mode & self._mask)
        for name, value in entry.xattrs.items():
            # Capabilities of a file are as good as a set-user-id bit
            if name.startswith(b"user.") or self._mask & stat.S_ISUID:
                with contextlib.suppress(OSError):  # a file system without, or one's own namespace's
                    os.setxattr(made, name, value)

    def _finish_link(self, entry: TarEntry, parent: int, name: bytes) -> None:
        if self._owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)


def _parts(name: bytes) -> list[bytes]:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise InvalidError(f"{show(name)} in the archive leads out of it", hint="nobody makes such by accident")
    return parts
