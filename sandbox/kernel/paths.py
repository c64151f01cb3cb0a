"""Safe paths below a root that somebody else may be changing: the one module through which the engine enters
containers' and
images' trees.

Called by the image part (unpacking, diff), by the runtime (mount targets, working directory, passwd and group files,
cp) and for removing whole containers. Every resolution is openat2(2) with RESOLVE_IN_ROOT, so that neither `..` nor
an absolute link nor one swapped in the middle leads outside (the attacks of tests/hardening: CVE-2018-15664,
CVE-2021-30465, CVE-2024-45310 and more). What is resolved is held as a descriptor and never named again. The model is
openSUSE's libpathrs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, LimitError
from sandbox.kernel.mounts import PROC_SUPER_MAGIC, filesystem_type
from sandbox.kernel.syscalls import encode, syscall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import ClassVar, Self

    from sandbox.kernel.syscalls import StrPath

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_RETRIES = 1024  # EAGAIN: a rename anywhere on the system while ".." was resolved
_MOST_LINKS = 40  # the kernel's MAXSYMLINKS
_OPEN_LEVELS = 128  # directories held open at once by remove_tree
_RESCANS = 16


class _How(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_: ClassVar = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(dirfd: int, path: StrPath, flags: int, mode: int = 0, *, resolve: int) -> int:
    """openat2(2), close-on-exec, made again on EAGAIN (a bounded number of times). Raises `OSError` at path."""
    how = _How(flags=flags | os.O_CLOEXEC, mode=mode, resolve=resolve)
    name, size = encode(path), ctypes.sizeof(how)
    for _ in range(_RETRIES):
        try:
            return syscall("openat2", dirfd, name, ctypes.byref(how), size, path=path)
        except BlockingIOError:
            continue
    raise OSError(errno.EAGAIN, "the tree keeps changing", path)


def reopen(fd: int, flags: int) -> int:
    """The object behind `fd` (also one of O_PATH) opened anew with `flags`, by way of /proc/self/fd, close-on-exec.

    Raises `OSError` (EXDEV) when /proc is not a procfs: a container could have put anything there (CVE-2025-52881).
    """
    with _own_descriptors() as directory:
        return os.open(str(fd), flags | os.O_CLOEXEC, dir_fd=directory)


@contextmanager
def _own_descriptors() -> Iterator[int]:
    """/proc/self/fd, whose links lead to the descriptors' objects themselves."""
    directory = os.open("/proc/self/fd", _DIRECTORY)
    try:
        if filesystem_type(directory) != PROC_SUPER_MAGIC:
            raise OSError(errno.EXDEV, "not a proc file system", "/proc/self/fd")
        yield directory
    finally:
        os.close(directory)


class Root:
    """A directory that paths are resolved in, as chroot would, whatever happens to the tree meanwhile.

    Made from a path or from a descriptor (which is duplicated). `fd` is an O_PATH descriptor, valid until `close` or
    the end of the `with`. All paths given to the methods are relative to the root, with or without a slash first.
    Errors are `OSError` at the path inside the root.
    """

    def __init__(self, root: StrPath | int) -> None:
        self.fd = os.open(".", _DIRECTORY, dir_fd=root) if isinstance(root, int) else os.open(root, _DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; more than once does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def open(self, path: StrPath, flags: int, mode: int = 0, *, follow_final: bool = True) -> int:
        """openat2 in the root; `mode` only with O_CREAT or O_TMPFILE. With `follow_final=False` a link in the last
        place
        is ELOOP, or with O_PATH opened itself."""
        if not follow_final:
            flags |= os.O_NOFOLLOW
        return openat2(self.fd, path, flags, mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

    def mkdirs(self, path: StrPath, mode: int = 0o755, uid: int = -1, gid: int = -1) -> int:
        """The directory at `path` (O_PATH), made with its parents where missing; links are followed inside the root,
        also
        ones that lead to nothing yet.

        What is made gets `mode` (whatever the umask) and owner; what was there is left as it is.
        """
        try:
            return self.open(path, _DIRECTORY)
        except FileNotFoundError:
            pass
        with _Walk(self, path) as walk:
            while walk.step():
                if walk.missing:
                    walk.make_directory(mode, uid, gid)
            if not stat.S_ISDIR(os.fstat(walk.current).st_mode):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return walk.take()

    def create(self, path: StrPath, mode: int = 0o644, *, flags: int = os.O_PATH) -> int:
        """The regular file at `path`, opened with `flags`; made where missing, with its parents (0755), links as in
        `mkdirs`.

        What was there keeps its mode and is not touched: by default the descriptor only stands for the file, as a place
        to mount on, since opening it to write would copy it up in an overlay. Raises `InvalidError` for anything else
        that is there already, without opening it.
        """
        for _ in range(_RETRIES):
            with _Walk(self, path) as walk:
                while walk.step():
                    if walk.missing and walk.rest:
                        walk.make_directory(0o755, -1, -1)
                if not walk.missing:
                    _require_regular(walk.current, path)
                    return walk.take() if flags == os.O_PATH else reopen(walk.current, flags)
                try:
                    return walk.make_file(mode, flags)
                except FileExistsError:  # somebody was faster; look again
                    continue
        raise OSError(errno.EAGAIN, "the path keeps changing", path)

    def read_regular(self, path: StrPath, limit: int) -> bytes:
        """The bytes of a regular file, at most `limit` (else `LimitError`).

        Anything else is `InvalidError`: a fifo in place of /etc/passwd must not hold us up (CVE-2024-9676).
        """
        descriptor = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            _require_regular(descriptor, path)
            data = bytearray()
            while chunk := os.read(descriptor, min(limit + 1 - len(data), 1 << 20)):
                data += chunk
                if len(data) > limit:
                    raise LimitError(f"{os.fsdecode(path)!r} is larger than {limit} bytes")
        finally:
            os.close(descriptor)
        return bytes(data)

    def parent(self, path: StrPath) -> tuple[int, str]:
        """The directory (O_PATH) that holds `path`, and the last name in it, which need not exist and is not followed.

        Raises `InvalidError` where there is no such name: for the root itself and for a path that ends in `.` or `..`.
        """
        head, _, name = os.fsdecode(path).rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise InvalidError(f"no name at the end of path {os.fsdecode(path)!r}")
        return self.open(f"/{head}", _DIRECTORY), name

    def remove_tree(self, path: StrPath) -> None:
        """`remove_tree` of what is at `path`; a link there is removed itself."""
        directory, name = self.parent(path)
        try:
            remove_tree(directory, name)
        finally:
            os.close(directory)


class _Walk:
    """A path resolved name by name in user space, since openat2 cannot make what is missing on its way.

    `parts` are the names found so far, none of them a link or `..`; each is opened from the root by openat2, so that
    a name changed meanwhile can lead elsewhere in the root but not out of it. `current` is the last one's descriptor,
    -1 when it is `missing`, in `parent`.
    """

    def __init__(self, root: Root, path: StrPath) -> None:
        self._root = root
        self._path = path
        self._parts: list[str] = []
        self._links = 0
        self.rest = self._names(os.fsdecode(encode(path)))
        self.parent = -1
        self.current = root.open(".", _DIRECTORY)
        self.missing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (self.parent, self.current):
            if descriptor >= 0:
                os.close(descriptor)

    @property
    def name(self) -> str:
        return self._parts[-1]

    def step(self) -> bool:
        """Go on by one name; False at the end. A missing name has to be made before the next step."""
        if not self.rest:
            return False
        if self.missing:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)
        name = self.rest.pop()
        if name == "..":
            del self._parts[-1:]
            self._move(self._open())
            return True
        self._parts.append(name)
        try:
            found = self._open()
        except FileNotFoundError:
            self.missing = True
            self._move(-1)
            return True
        if stat.S_ISLNK(os.fstat(found).st_mode):
            self._follow(found)
        else:
            self._move(found)
        return True

    def make_directory(self, mode: int, uid: int, gid: int) -> None:
        """Make the missing name a directory, if nobody has meanwhile."""
        try:
            os.mkdir(self.name, 0o700, dir_fd=self.parent)
        except FileExistsError:
            self.rest.append(self._parts.pop())  # whatever it is, look at it anew
            self.missing = False
            self.current, self.parent = self.parent, -1
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(self.name, flags, dir_fd=self.parent)
        try:
            # not ours any more, if it was swapped: leave that one as it is
            if os.fstat(made).st_uid == os.geteuid():
                if (uid, gid) != (-1, -1):
                    os.chown(made, uid, gid)
                os.fchmod(made, mode)
        finally:
            os.close(made)
        self.current = os.open(self.name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self.parent)
        self.missing = False

    def make_file(self, mode: int, flags: int) -> int:
        """Make the missing name a regular file; it, opened with `flags`."""
        create = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        access = os.O_WRONLY if flags == os.O_PATH else flags  # O_PATH would make nothing
        made = os.open(self.name, access | create, 0o600, dir_fd=self.parent)
        os.fchmod(made, mode)
        if flags != os.O_PATH:
            return made
        try:
            return reopen(made, os.O_PATH)
        finally:
            os.close(made)

    def take(self) -> int:
        """The last descriptor, now the caller's."""
        taken, self.current = self.current, -1
        return taken

    def _open(self) -> int:
        return self._root.open("/".join(self._parts) or ".", os.O_PATH, follow_final=False)

    def _move(self, found: int) -> None:
        if self.parent >= 0:
            os.close(self.parent)
        self.parent, self.current = self.current, found

    def _follow(self, link: int) -> None:
        try:
            target = os.readlink("", dir_fd=link)
        finally:
            os.close(link)
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        self._parts.pop()
        if target.startswith("/"):
            self._parts.clear()
            self._move(self._open())
        self.rest += self._names(target)

    @staticmethod
    def _names(path: str) -> list[str]:
        """The names of `path`, the next one last."""
        return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _require_regular(descriptor: int, path: StrPath) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise InvalidError(f"{os.fsdecode(path)!r} is not a regular file")


class _Level:
    """A directory that `remove_tree` is in: its descriptor (-1 while put away), its name in the one above, what is
    left.
    """

    __slots__ = ("directories", "fd", "identity", "name", "scans")

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.directories = _empty(fd)
        self.identity: tuple[int, int] | None = None
        self.scans = 1

    def put_away(self) -> None:
        """Close the descriptor, and remember which directory it was."""
        if self.fd < 0:
            return
        found = os.fstat(self.fd)
        self.identity = found.st_dev, found.st_ino
        os.close(self.fd)
        self.fd = -1

    def come_back(self, child: int) -> None:
        """Open it again from a directory in it; ESTALE when that one has been moved away meanwhile."""
        if self.fd >= 0:
            return
        flags = os.O_RDONLY | os.O_DIRECTORY
        self.fd = openat2(child, "..", flags, resolve=RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS)
        found = os.fstat(self.fd)
        if (found.st_dev, found.st_ino) != self.identity:
            raise OSError(errno.ESTALE, "moved while it was being removed", self.name)


def remove_tree(dirfd: int, name: str) -> None:
    """Remove `name` in the directory `dirfd`, whatever it is; what is not there is no error.

    No link is followed and no mount entered: a mount point below is EBUSY, so that a forgotten bind mount does not
    cost its source. Directories without permissions are given them (where the kernel lets us). Any depth, any names,
    with a bounded number of descriptors; entries that come and go meanwhile do no harm. Raises `OSError` at the first
    thing that cannot be removed.
    """
    if "/" in name or name in ("", ".", ".."):
        raise InvalidError(f"{name!r} is not a name in a directory")
    top = _enter(dirfd, name, ours=False)
    if top < 0:
        return
    stack = [_Level(top, name)]
    try:
        while stack:
            level = stack[-1]
            if level.directories:
                child = level.directories.pop()
                fd = _enter(level.fd, child, ours=True)
                if fd >= 0:
                    stack.append(_Level(fd, child))
                    if len(stack) > _OPEN_LEVELS:
                        stack[-_OPEN_LEVELS].put_away()
                continue
            above = dirfd
            if len(stack) > 1:
                stack[-2].come_back(level.fd)
                above = stack[-2].fd
            if _remove_directory(level, above, ours=len(stack) > 1):
                os.close(stack.pop().fd)
    finally:
        for level in stack:
            if level.fd >= 0:
                os.close(level.fd)


def _enter(directory: int, name: str, *, ours: bool) -> int:
    """The directory `name`, opened; -1 when it is none, and gone by now."""
    resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    for _ in range(_RESCANS):
        try:
            return openat2(directory, name, flags, resolve=resolve)
        except FileNotFoundError:
            return -1
        except PermissionError:
            handle = openat2(directory, name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=resolve)
            try:
                with _own_descriptors() as descriptors:
                    os.chmod(str(handle), 0o700, dir_fd=descriptors)
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise OSError(errno.EBUSY, "a file system is mounted here", name) from None
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            if _unlink(directory, name, ours=ours):
                return -1
    raise OSError(errno.EAGAIN, "keeps changing while it is being removed", name)


def _empty(directory: int) -> list[str]:
    """Unlink all but the directories in `directory`; their names."""
    with os.scandir(directory) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    directories = []
    for name, is_directory in listed:
        if is_directory or not _unlink(directory, name, ours=True):
            directories.append(name)
    return directories


def _unlink(directory: int, name: str, *, ours: bool) -> bool:
    """Whether `name` is gone; False for a directory. `ours`: the directory is part of the tree, and may be changed."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    except PermissionError:
        if not ours:
            raise
        os.fchmod(directory, 0o700)
        return _unlink(directory, name, ours=False)
    return True


def _remove_directory(level: _Level, above: int, *, ours: bool) -> bool:
    """Whether the emptied directory is gone; False when new entries came in, which `level` has then."""
    try:
        os.rmdir(level.name, dir_fd=above)
    except FileNotFoundError:
        return True
    except PermissionError:
        if not ours:
            raise
        os.fchmod(above, 0o700)
        return _remove_directory(level, above, ours=False)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY or level.scans > _RESCANS:
            raise
        level.scans += 1
        level.directories = _empty(level.fd)
        return False
    return True
