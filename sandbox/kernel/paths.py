"""Safe paths below a root that somebody else may be changing: the one module through which the engine enters
containers' and images' trees.

Called by the image part (unpacking, diff), by the runtime (mount targets, working directory, passwd and group files,
cp) and for removing whole containers. Every resolution is openat2(2) with RESOLVE_IN_ROOT, so that neither `..` nor
an absolute link nor one swapped in the middle leads outside (the attacks of tests/hardening: CVE-2018-15664,
CVE-2021-30465, CVE-2024-45310 and more). What is resolved is held as a descriptor and never named again. The model is
openSUSE's libpathrs.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, LimitError
from sandbox.kernel.openat import DIRECTORY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RETRIES, openat2, reopen
from sandbox.kernel.removal import remove_path, remove_tree
from sandbox.kernel.syscalls import encode

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sandbox.kernel.syscalls import StrPath

__all__ = ["Root", "remove_path", "remove_tree", "reopen"]

_MOST_LINKS = 40  # the kernel's MAXSYMLINKS


class Root:
    """A directory that paths are resolved in, as chroot would, whatever happens to the tree meanwhile.

    Made from a path or from a descriptor (which is duplicated). `fd` is an O_PATH descriptor, valid until `close` or
    the end of the `with`. All paths given to the methods are relative to the root, with or without a slash first.
    Errors are `OSError` at the path inside the root.
    """

    def __init__(self, root: StrPath | int) -> None:
        self.fd = os.open(".", DIRECTORY, dir_fd=root) if isinstance(root, int) else os.open(root, DIRECTORY)

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
        place is ELOOP, or with O_PATH opened itself."""
        if not follow_final:
            flags |= os.O_NOFOLLOW
        return openat2(self.fd, path, flags, mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

    def mkdirs(self, path: StrPath, mode: int = 0o755, uid: int = -1, gid: int = -1) -> int:
        """The directory at `path` (O_PATH), made with its parents where missing; links are followed inside the root,
        also ones that lead to nothing yet.

        What is made gets `mode` (whatever the umask) and owner; what was there is left as it is.
        """
        try:
            return self.open(path, DIRECTORY)
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
        with suppress(FileNotFoundError):
            found = self.open(path, os.O_PATH)
            try:
                _require_regular(found, path)
                if flags == os.O_PATH:
                    found, taken = -1, found
                    return taken
                return reopen(found, flags)
            finally:
                if found >= 0:
                    os.close(found)
        for _ in range(RETRIES):
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
        return self.open(f"/{head}", DIRECTORY), name

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
        self.current = root.open(".", DIRECTORY)
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
        self.current = os.open(self.name, DIRECTORY | os.O_NOFOLLOW, dir_fd=self.parent)
        self.missing = False

    def make_file(self, mode: int, flags: int) -> int:
        """Make the missing name a regular file; it, opened with `flags`."""
        create = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        access = os.O_WRONLY if flags == os.O_PATH else flags  # O_PATH would make nothing
        made = os.open(self.name, access | create, 0o600, dir_fd=self.parent)
        os.fchmod(made, mode)
        if flags != os.O_PATH:
            return made
        os.close(made)
        place = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.parent)
        try:
            _require_regular(place, self._path)
        except InvalidError:
            os.close(place)
            raise
        return place

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
