"""Archives for tests: small ones by hand with the standard library's writer, which shares nothing with ours."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "link": tarfile.LNKTYPE,
    "symlink": tarfile.SYMTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
}


def member(
    name: str,
    kind: str = "file",
    *,
    data: bytes = b"",
    target: str = "",
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    mtime: float = 1_700_000_000,
    device: tuple[int, int] = (0, 0),
    pax: Mapping[str, str] | None = None,
) -> tuple[tarfile.TarInfo, bytes]:
    """One entry; names are taken as they are, however hostile."""
    info = tarfile.TarInfo(name)
    info.type = TYPES[kind]
    info.size = len(data)
    info.linkname = target
    info.mode = mode if mode is not None else (0o755 if kind == "dir" else 0o644)
    info.uid = os.geteuid() if uid is None else uid  # so that an ordinary user can give the owner too
    info.gid = os.getegid() if gid is None else gid
    info.mtime = mtime  # pax keeps fractions
    info.devmajor, info.devminor = device
    info.pax_headers = dict(pax or {})
    return info, data


def archive(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """The bytes of an archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def diff_id(data: bytes) -> str:
    """The digest that a layer of these bytes has."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
