"""What says "deleted" in a layer: `.wh.` entries in an archive, overlay's own form on disk.

Source: OCI image-spec layer.md "Whiteouts"; kernel Documentation/filesystems/overlayfs.rst "whiteouts and opaque
directories".
"""

from __future__ import annotations

import os
import stat
from enum import Enum

from sandbox.image.tarformat import malformed

PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS = b".wh..wh."  # aufs' own records, of no meaning to others; docker skips them too
OPAQUE_VALUE = b"y"


class Mark(Enum):
    """What an entry's last name means."""

    NONE = 0
    DELETED = 1
    OPAQUE = 2
    IGNORED = 3


def read(name: bytes, base: bytes) -> tuple[Mark, bytes]:
    """The meaning of the entry `name`, whose last part is `base`, and the name that it deletes."""
    if not base.startswith(PREFIX):
        return Mark.NONE, base
    if base == OPAQUE:
        return Mark.OPAQUE, b""
    if base.startswith(AUFS):
        return Mark.IGNORED, b""
    deleted = base[len(PREFIX) :]
    if deleted in (b"", b".", b".."):
        raise malformed("a whiteout that names nothing", name)
    return Mark.DELETED, deleted


def opaque_attribute(*, user_namespace: bool) -> str:
    """What hides lower layers' files in a directory; overlay reads the `user.` one only with `userxattr`."""
    return "user.overlay.opaque" if user_namespace else "trusted.overlay.opaque"


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlay's sign for a deleted name: the character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def make(directory: int, base: bytes) -> None:
    """Put the sign into a directory; since Linux 5.8 also without privileges."""
    os.mknod(base, stat.S_IFCHR, 0, dir_fd=directory)
