"""Images whose files may not be on the disk yet: noted until they are, so that a power loss leaves no damaged ones.

The store's records and documents are synchronised when they are written, a layer's files are not: that would hold up
whoever makes an image for as long as the disk takes to write it. So an image is noted before its record is there, and a
layer that a build remembers before that is, and a process in the background has the file system written and takes the
notes back. A note is a link `images/unsettled/<digest>` whose text is the boot's id; a link's text is part of its
inode, and in the journal before the record is. A note of a boot that is over says: look, before the image is used
(`ImageStore.mend`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.image import digest as digests
from sandbox.image.scratch import make_directory
from sandbox.kernel import process

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.digest import Digest


class Settling:
    """The notes of the store whose directory is `images`."""

    def __init__(self, images: Path) -> None:
        self._directory = images / "unsettled"

    def note(self, digest: Digest) -> None:
        """An image (its id) or a remembered layer (its ChainID) is about to appear."""
        make_directory(self._directory)
        path = self._directory / digest.hex
        while True:
            try:
                path.symlink_to(process.boot_id())
            except FileExistsError:
                if self._boot(digest.hex) == process.boot_id():
                    return
                path.unlink(missing_ok=True)
            else:
                return

    def settle(self) -> None:
        """Have everything that this boot has noted written to the disk, without waiting for it, and the notes taken
        back then.

        In a host without `sync` they stay, and it is all looked at after the next boot.
        """
        boot = process.boot_id()
        ours = [name for name in self._names() if self._boot(name) == boot]
        if ours:
            from sandbox.kernel.writeback import write_behind  # noqa: PLC0415  (seldom)

            write_behind(self._directory, ours)

    def forget(self, digest: Digest) -> None:
        """It has been looked at."""
        (self._directory / digest.hex).unlink(missing_ok=True)

    def doubtful(self) -> tuple[Digest, ...]:
        """The images and layers that a boot before this one may have left half on the disk."""
        names = self._names()
        if not names:
            return ()
        boot = process.boot_id()
        return tuple(digests.from_hex(name) for name in names if self._boot(name) not in ("", boot))

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._directory)  # noqa: PTH208 - before every start of a container
        except FileNotFoundError:
            return []

    def _boot(self, name: str) -> str:
        """The boot's id in a note; empty for one that was taken back just now."""
        try:
            return os.readlink(self._directory / name)  # noqa: PTH115
        except FileNotFoundError:
            return ""
