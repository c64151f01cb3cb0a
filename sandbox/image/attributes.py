"""The extended attributes that layers keep: file capabilities and what users set.

Unpacking, packing and copying up ask.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.image.tarformat import NO_XATTRS

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_kept(name: bytes) -> bool:
    """Overlay's own attributes could redirect into other layers; the security modules' belong to the host."""
    return name == b"security.capability" or (name.startswith(b"user.") and not name.startswith(b"user.overlay."))


def read(fd: int) -> Mapping[bytes, bytes]:
    """The attributes of an O_PATH descriptor that layers keep."""
    return _read(f"/proc/self/fd/{fd}")


def read_open(fd: int) -> Mapping[bytes, bytes]:
    """The same of a descriptor that is open for reading, which is faster."""
    return _read(fd)


def _read(where: str | int) -> Mapping[bytes, bytes]:
    try:
        names = os.listxattr(where)
        if not names:
            return NO_XATTRS
        return {
            encoded: os.getxattr(where, name) for name in names if is_kept(encoded := os.fsencode(name))
        } or NO_XATTRS
    except OSError:
        return NO_XATTRS
