"""inotify(7) by ctypes: which folders something has happened in. Used by `watching`."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
_CREATE, _DELETE = 0x100, 0x200
_INTERESTING = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_ONLY_FOLDERS, _NO_LINKS = 0x0100_0000, 0x0200_0000
_OVERFLOW, _IS_FOLDER = 0x4000, 0x4000_0000
_HEADER = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name


class Happened(NamedTuple):
    """Something happened to `name` in the folder `folder`; both empty where events were lost."""

    folder: bytes
    name: bytes
    is_folder: bool


class Inotify:
    """Folders that are watched; `fileno()` becomes readable when something has happened in them."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise _error("inotify")
        self._folders: dict[int, bytes] = {}

    def fileno(self) -> int:
        """The descriptor."""
        return int(self._descriptor)

    def add(self, folder: bytes) -> None:
        """Watch a folder, not those in it; one that is gone is fine. Raises OSError, ENOSPC at the user's limit."""
        number = self._libc.inotify_add_watch(self._descriptor, folder, _INTERESTING | _ONLY_FOLDERS | _NO_LINKS)
        if number >= 0:
            self._folders[number] = folder
        elif ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            raise _error(os.fsdecode(folder))

    def read(self) -> Iterator[Happened]:
        """What has happened since; nothing if nothing has."""
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, at)
            name = data[at + _HEADER.size : at + _HEADER.size + length].rstrip(b"\0")
            at += _HEADER.size + length
            if mask & _OVERFLOW:
                yield Happened(b"", b"", is_folder=False)
            elif number in self._folders and name:
                yield Happened(self._folders[number], name, is_folder=bool(mask & _IS_FOLDER))

    def close(self) -> None:
        """Watch no more."""
        os.close(self._descriptor)


def _error(name: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)
