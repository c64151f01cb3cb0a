"""The digests of a context's files, kept from build to build, so that only files that have changed are read for a key.

A file is known again by its device, inode, size and times; of those the time of the last change (ctime) is the kernel's
own, which no program sets. What has changed a moment before it was read may change again without another time, as git
has it with its index: such a file is read anew. The list is of no worth but time: it may be lost, or be an older one.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.builder.keys import content_digest
from sandbox.builder.transfer import FileContents
from sandbox.image.scratch import Scratch, make_directory
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sandbox.builder.keys import Data

_FOLDER = "digests"
_RECORD = struct.Struct("=5q32s")
_VERSION = b"hako file digests 1\n"
_SETTLED = 2_000_000_000  # nanoseconds after which the next change has another time, on whatever file system


class FileDigests:
    """Those of the files below `paths`, and of others that are copied with them. Thread-safe; `save` at the end.

    `clock` tells the time in nanoseconds since the epoch.
    """

    def __init__(self, home: Path, paths: Iterable[Path], clock: Callable[[], int] = time.time_ns) -> None:
        place = hashlib.sha256(b"\0".join(os.fsencode(path.resolve()) for path in paths)).hexdigest()
        self._home = home
        self._clock = clock
        self._path = home / "images" / _FOLDER / place
        self._known: dict[tuple[int, ...], bytes] | None = None
        self._used: dict[tuple[int, ...], bytes] = {}

    def digest(self, data: Data) -> str:
        """As `keys.content_digest`."""
        if not isinstance(data, FileContents):
            return content_digest(data)
        status = data.status
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if self._known is None:
            self._known = self._load()
        known = self._known.get(identity) or self._used.get(identity)  # another name of the same file
        if known is None:
            settled = self._clock() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED
            known = bytes.fromhex(content_digest(data))
            if not settled:
                return known.hex()
        self._used[identity] = known
        return known.hex()

    def save(self, *, all_were_asked_for: bool) -> None:
        """Keep what there is to keep; what was not asked for in a whole build is of files that are gone."""
        if self._known is None or self._used.keys() <= self._known.keys():
            return
        kept = self._used if all_were_asked_for else self._known | self._used
        records = b"".join(_RECORD.pack(*identity, digest) for identity, digest in kept.items())
        make_directory(self._path.parent)
        with Scratch(self._home) as scratch:
            made = scratch.path / _FOLDER
            made.write_bytes(_VERSION + records)
            made.rename(self._path)

    def _load(self) -> dict[tuple[int, ...], bytes]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        records = memoryview(data)[len(_VERSION) :]
        if not data.startswith(_VERSION) or len(records) % _RECORD.size:  # another version's, or lost by the disk
            return {}
        return {tuple(record[:5]): record[5] for record in _RECORD.iter_unpack(records)}


def forget(home: Path) -> None:
    """Remove those of all contexts."""
    with suppress(FileNotFoundError), Root(home / "images") as root:
        root.remove_tree(_FOLDER)
