"""Puts the entries of a layer's archive below a directory, whatever the archive tries.

How it stays inside: parents are resolved by openat2 beneath the root and kept as descriptors; the last name is always
used relative to one, never followed. So `..`, absolute names and links of both kinds cannot lead out, in whatever order
they come (CVE-2007-4559, 2021-29136, 2020-10696, 2025-4517). The directory belongs to this process alone until it is
renamed into place.

Order within one file matters: owner, then mode (chown clears set-uid), then attributes (chown clears file
capabilities), then times. Modes and times of directories are set at the end, when nothing is put into them any more.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from sandbox.errors import LimitError
from sandbox.image import attributes, whiteout
from sandbox.image.tarformat import Kind, TarEntry, malformed
from sandbox.image.whiteout import Mark
from sandbox.kernel.paths import Root, remove_tree, reopen
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from sandbox.image.lower import LowerLayers

    Data = Callable[[], Iterator[bytes | memoryview]]

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_PARENTS = 64
_MAX_NAME = 255
# What the kernel says when an entry makes no sense where it is put.
_SENSELESS = frozenset((errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EMLINK))
_NO_OWNER = frozenset((errno.EPERM, errno.EINVAL))
_NO_ATTRIBUTE = frozenset((errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES))


class Host(NamedTuple):
    """What this process may do here."""

    user_namespace: bool  # devices cannot be made, owners perhaps not given, overlay uses user.* attributes
    uid: int
    gid: int


class _Pending(NamedTuple):
    """What a directory gets at the end."""

    mode: int
    mtime: int
    xattrs: Mapping[bytes, bytes]


class Extractor:
    """`with Extractor(root, lower, host) as extractor: extractor.add(entry, data) …; extractor.finish()`.

    Raises InvalidError for entries that are hostile or make no sense. `warnings` collects what could not be kept;
    `size` counts bytes of files.
    """

    def __init__(self, root: Root, lower: LowerLayers, host: Host, *, most: int) -> None:
        self._root = root
        self._lower = lower
        self._host = host
        self._opaque = whiteout.opaque_attribute(user_namespace=host.user_namespace)
        self._parents: dict[bytes, int] = {}  # clean path -> O_PATH descriptor, least recently opened first
        self._directories: dict[bytes, _Pending] = {}
        self._warnings: dict[str, str] = {}
        self._most = most  # directories that the archive implies
        self._implicit = 0
        self.size = 0
        self.replaced = b""  # the first file that a later entry took the place of, if any

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget_parents()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the archive could not be kept on this host: one sentence for each kind of thing."""
        return tuple(self._warnings.values())

    def add(self, entry: TarEntry, data: Data) -> None:
        """Put one entry into the tree; `data` is called for a file's contents."""
        path, base = clean(entry.name)
        if not base:
            self._set_root(entry)
            return
        if path.startswith(whiteout.AUFS):
            return
        mark, deleted = whiteout.read(entry.name, base)
        try:
            if mark is Mark.NONE:
                self._put(entry, path, base, data)
            elif mark is Mark.DELETED:
                self._white_out(path, deleted)
            elif mark is Mark.OPAQUE and self._lower:
                self._make_opaque(path)
        except OSError as error:
            if error.errno in _SENSELESS:
                raise malformed(f"cannot be put there: {os.strerror(error.errno).lower()}", entry.name) from error
            raise

    def finish(self) -> None:
        """Give directories their modes, attributes and times."""
        if b"" not in self._directories:
            self._directories[b""] = self._inherit(b"", self._root.fd, b".")
        # Children before parents: a mode may take away the right to enter.
        for path, pending in reversed(self._directories.items()):
            parent, _, base = path.rpartition(b"/")
            try:
                directory = self._parent(parent, make=False) if base else self._root.fd
                fd = os.open(
                    base or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
                )
            except (FileNotFoundError, NotADirectoryError):  # came in through a link that is gone
                continue
            try:
                self._finish_inode(fd, pending.mode, pending.xattrs, pending.mtime)
            finally:
                os.close(fd)

    # -- entries

    def _put(self, entry: TarEntry, path: bytes, base: bytes, data: Data) -> None:
        parent = self._parent(path)
        kind = entry.kind
        if kind is Kind.FILE:
            try:
                fd = os.open(base, _CREATE, 0o600, dir_fd=parent)
            except FileExistsError:
                self._clear(path, base)
                fd = os.open(base, _CREATE, 0o600, dir_fd=parent)
            try:
                self._write(fd, entry, data)
                mode = entry.mode
                if (entry.uid, entry.gid) != (self._host.uid, self._host.gid) and not self._own(fd, b"", entry):
                    mode &= 0o1777  # never set-uid to somebody else than the archive says
                self._finish_inode(fd, mode, entry.xattrs, entry.mtime)
            finally:
                os.close(fd)
        elif kind is Kind.DIRECTORY:
            self._put_directory(entry, path, base, parent)
        elif kind is Kind.LINK:
            self._put_link(entry, path, base)
        else:
            self._put_special(entry, path, base, parent)

    def _write(self, fd: int, entry: TarEntry, data: Data) -> None:
        self.size += entry.data_size
        if entry.segments is None:
            for piece in data():
                _write_all(fd, piece)
            return
        segments = iter(entry.segments)
        left = 0
        for piece in data():
            view = memoryview(piece)
            while view:
                if not left:
                    offset, left = next(segments)
                    os.lseek(fd, offset, os.SEEK_SET)
                _write_all(fd, view[:left])
                taken = min(left, len(view))
                view, left = view[taken:], left - taken
        os.ftruncate(fd, entry.size)

    def _put_directory(self, entry: TarEntry, path: bytes, base: bytes, parent: int) -> None:
        full = path + b"/" + base if path else base
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                # The name was a file or deleted before: what lower layers have in a directory of that name stays
                # hidden.
                self._clear(path, base)
                os.mkdir(base, 0o700, dir_fd=parent)
                if self._lower:
                    self._make_opaque(full)
        mode = entry.mode
        if not self._own(parent, base, entry):
            mode &= 0o1777
        self._directories[full] = _Pending(mode, entry.mtime, entry.xattrs)

    def _put_link(self, entry: TarEntry, path: bytes, base: bytes) -> None:
        source_path, source = clean(entry.target)
        if not source or source.startswith(whiteout.PREFIX):
            raise malformed("a hard link to something that is no file", entry.name)
        if (source_path, source) == (path, base):
            return
        status = self._stat(source_path, source)
        if status is None:
            self._copy_up(entry, source_path, source)
            status = self._stat(source_path, source)
        if status is None or stat.S_ISDIR(status.st_mode) or whiteout.is_whiteout(status):
            raise malformed("a hard link to something that is no file", entry.name)
        for attempt in (1, 2):
            try:
                os.link(
                    source,
                    base,
                    src_dir_fd=self._parent(source_path),
                    dst_dir_fd=self._parent(path),
                    follow_symlinks=False,
                )
            except FileExistsError:
                if attempt == 2:
                    raise
                there = self._stat(path, base)
                if there is not None and os.path.samestat(there, status):
                    return
                self._clear(path, base)
            else:
                return

    def _put_special(self, entry: TarEntry, path: bytes, base: bytes, parent: int) -> None:
        kind = entry.kind
        if kind in (Kind.CHARACTER, Kind.BLOCK):
            if kind is Kind.CHARACTER and entry.major == entry.minor == 0:
                raise malformed("a character device 0:0 is overlay's own sign for a deleted file", entry.name)
            if self._host.user_namespace:
                self._warn("device", "device files are left out: in a user namespace they cannot be made")
                return
        for attempt in (1, 2):
            try:
                if kind is Kind.SYMLINK:
                    os.symlink(entry.target, base, dir_fd=parent)
                elif kind is Kind.FIFO:
                    os.mkfifo(base, 0o600, dir_fd=parent)
                else:
                    form = stat.S_IFCHR if kind is Kind.CHARACTER else stat.S_IFBLK
                    os.mknod(base, form | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent)
                break
            except FileExistsError:
                if attempt == 2:
                    raise
                self._clear(path, base)
        if (entry.uid, entry.gid) != (self._host.uid, self._host.gid):
            self._own(parent, base, entry)
        if kind is not Kind.SYMLINK:
            # There is no chmod that does not follow links, but this name was made a moment ago and is none.
            os.chmod(base, entry.mode, dir_fd=parent)
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _set_root(self, entry: TarEntry) -> None:
        if entry.kind is not Kind.DIRECTORY:
            raise malformed("the root of a layer is not a directory", entry.name)
        self._own(self._root.fd, b".", entry)
        self._directories[b""] = _Pending(entry.mode & 0o1777, entry.mtime, entry.xattrs)

    # -- whiteouts

    def _white_out(self, path: bytes, base: bytes) -> None:
        """Hide a name of lower layers; what this layer has under it stays, as the specification says."""
        if not self._lower:
            return
        parent = self._parent(path)
        try:
            whiteout.make(parent, base)
        except FileExistsError:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                self._make_opaque(path + b"/" + base if path else base)

    def _make_opaque(self, path: bytes) -> None:
        fd = reopen(self._parent(path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.setxattr(fd, self._opaque, whiteout.OPAQUE_VALUE)
        finally:
            os.close(fd)

    # -- the tree

    def _parent(self, path: bytes, *, make: bool = True) -> int:
        """The descriptor of a directory of the layer, made if it is missing. Good until 62 others were asked for."""
        fd = self._parents.pop(path, None)
        if fd is not None:
            self._parents[path] = fd  # now the last to be closed
            return fd
        missing: list[bytes] = []
        there = path
        while True:
            try:
                fd = self._root.open(there or b".", os.O_PATH | os.O_DIRECTORY)
                break
            except FileNotFoundError:
                if not make:
                    raise
            missing.append(there)
            there = there.rpartition(b"/")[0]
        for name in reversed(missing):
            try:
                made = self._make_implicit(fd, name)
            finally:
                os.close(fd)
            fd = made
        if len(self._parents) >= _OPEN_PARENTS:
            oldest = next(iter(self._parents))
            os.close(self._parents.pop(oldest))
        self._parents[path] = fd
        return fd

    def _make_implicit(self, parent: int, path: bytes) -> int:
        """A directory that the archive does not list."""
        base = path.rpartition(b"/")[2]
        if base.startswith(whiteout.PREFIX):
            raise malformed("files below a whiteout", path)
        self._implicit += 1
        if self._implicit > self._most:
            raise LimitError(f"the archive makes more than {self._most} directories")
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            raise malformed("its directory is a link that leads nowhere", path) from None
        self._directories[path] = self._inherit(path, parent, base)
        return os.open(base, _DIRECTORY, dir_fd=parent)

    def _inherit(self, path: bytes, parent: int, base: bytes) -> _Pending:
        """What a directory not in the archive gets: what lower layers say, else root (us), 0755, 1970."""
        mode, uid, gid, mtime, xattrs = 0o755, self._host.uid, self._host.gid, 0, None
        found = self._lower.find(path)
        if found is not None:
            try:
                status = os.fstat(found)
                if stat.S_ISDIR(status.st_mode):
                    mode, uid, gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
                    mtime, xattrs = status.st_mtime_ns, attributes.read(found)
            finally:
                os.close(found)
        entry = TarEntry(path, Kind.DIRECTORY, mode, uid, gid, 0, mtime, xattrs=xattrs or {})
        if (uid, gid) != (self._host.uid, self._host.gid):
            self._own(parent, base, entry)
        return _Pending(mode, mtime, entry.xattrs)

    def _copy_up(self, entry: TarEntry, path: bytes, base: bytes) -> None:
        """Copy a file of a lower layer into this one, so that it can be linked to, as overlay itself would."""
        full = path + b"/" + base if path else base
        found = self._lower.find(full)
        if found is None:
            raise malformed("a hard link to something that is not there", entry.name)
        try:
            status = os.fstat(found)
            if not stat.S_ISREG(status.st_mode):
                raise malformed("a hard link to something of a lower layer that is no file", entry.name)
            source = reopen(found, os.O_RDONLY)
            try:
                copied = TarEntry(
                    full,
                    Kind.FILE,
                    stat.S_IMODE(status.st_mode),
                    status.st_uid,
                    status.st_gid,
                    status.st_size,
                    status.st_mtime_ns,
                    xattrs=attributes.read(found),
                )
                self._put(copied, path, base, lambda: iter(lambda: os.read(source, 1 << 20), b""))
            finally:
                os.close(source)
        finally:
            os.close(found)

    def _stat(self, path: bytes, base: bytes) -> os.stat_result | None:
        """What this layer has at a path, without making anything; the last name is not followed."""
        try:
            fd = self._parents.get(path)
            if fd is not None:
                return os.stat(base, dir_fd=fd, follow_symlinks=False)
            found = self._root.open(path + b"/" + base, os.O_PATH, follow_final=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.fstat(found)
        finally:
            os.close(found)

    def _clear(self, path: bytes, base: bytes) -> None:
        """Take away what an earlier entry put under a name."""
        parent = self._parent(path)
        status = os.stat(base, dir_fd=parent, follow_symlinks=False)
        self.replaced = self.replaced or (path + b"/" + base if path else base)
        if stat.S_ISREG(status.st_mode):
            os.unlink(base, dir_fd=parent)
            return
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(base, dir_fd=parent)
        else:
            remove_tree(parent, os.fsdecode(base))
            full = path + b"/" + base if path else base
            inside = full + b"/"
            for known in [known for known in self._directories if known == full or known.startswith(inside)]:
                del self._directories[known]
        self._forget_parents(keep=path)  # any of the others may have led through it

    def _forget_parents(self, keep: bytes | None = None) -> None:
        kept = self._parents.pop(keep, None) if keep is not None else None
        for fd in self._parents.values():
            os.close(fd)
        self._parents.clear()
        if keep is not None and kept is not None:
            self._parents[keep] = kept

    # -- inodes

    def _own(self, fd: int, base: bytes, entry: TarEntry) -> bool:
        """Give an inode (of `fd`, or `base` in it) its owner; False where this user namespace has no such id."""
        try:
            if base:
                os.chown(base, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
            else:
                os.fchown(fd, entry.uid, entry.gid)
        except OSError as error:
            if not self._host.user_namespace or error.errno not in _NO_OWNER:
                raise
            self._warn("owner", "some files belong to root instead of their owner: this user has no ids for others")
            return False
        return True

    def _finish_inode(self, fd: int, mode: int, xattrs: Mapping[bytes, bytes], mtime: int) -> None:
        os.fchmod(fd, mode)
        for name, value in xattrs.items():
            self._set_xattr(fd, name, value)
        os.utime(fd, ns=(mtime, mtime))

    def _set_xattr(self, fd: int, name: bytes, value: bytes) -> None:
        if not attributes.is_kept(name):
            self._warn(
                "attribute", "some extended attributes are left out: only security.capability and user.* are kept"
            )
            return
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTE:
                raise
            self._warn("attribute-set", "some extended attributes could not be set on this file system")

    def _warn(self, kind: str, sentence: str) -> None:
        self._warnings.setdefault(kind, sentence)


def clean(name: bytes) -> tuple[bytes, bytes]:
    """The parent path and last name of an entry, without `.` and empty parts; both empty for the root."""
    parts = [part for part in name.split(b"/") if part and part != b"."]
    if not parts:
        return b"", b""
    if b".." in parts:
        raise malformed("its name leads out of the layer", name)
    if max(map(len, parts)) > _MAX_NAME:
        raise malformed(f"a part of its name is longer than {_MAX_NAME} bytes", name)
    base = parts.pop()
    return b"/".join(parts), base


def _write_all(fd: int, data: bytes | memoryview) -> None:
    written = os.write(fd, data)
    while written < len(data):  # a nearly full disk writes less before it says so
        data = data[written:]
        written = os.write(fd, data)
