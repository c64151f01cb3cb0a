"""A target's files, in a folder of the caller's or in an archive: what `--output type=local` and `type=tar` make."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.image.extract import Extractor, Host
from sandbox.image.limits import Limits
from sandbox.image.lower import LowerLayers
from sandbox.image.tarformat import Kind
from sandbox.image.tarwriter import TarWriter
from sandbox.image.unpack import in_user_namespace
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.image.tree import Entries


def write_folder(entries: Entries, folder: Path, *, keep_owners: bool = False) -> None:
    """Put the files into a folder, which is made where missing, beside what is in it.

    They belong to the caller unless they are to keep their owners.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = Host(user_namespace=in_user_namespace(), uid=os.geteuid(), gid=os.getegid())
    with (
        LowerLayers((), "") as nothing,
        Root(folder) as root,
        Extractor(root, nothing, host, most=Limits().entries) as extractor,
    ):
        for entry, data in entries:
            if entry.kind not in (Kind.CHARACTER, Kind.BLOCK):
                extractor.add(entry if keep_owners else entry._replace(uid=host.uid, gid=host.gid), data)
        extractor.finish()


def write_archive(entries: Entries, write: Callable[[bytes | memoryview], object]) -> None:
    """Write the files as a tar."""
    writer = TarWriter(write)
    for entry, data in entries:
        writer.add(entry, data())
    writer.close()
