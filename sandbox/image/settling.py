"""Images whose files may not be on the disk yet: noted until they are, so that a power loss leaves no damaged ones.

The store's records and documents are synchronised when they are written, a layer's files are not: that would hold up
whoever makes an image for as long as the disk takes to write it. So an image is noted before its record is there, and a
process in the background has the file system written (syncfs(2), by `sync -f`) and takes the note back. A note is a
link `images/unsettled/<id>` whose text is the boot's id; a link's text is part of its inode, and in the journal
before the record is. A note of a boot that is over says: look, before the image is used (`ImageStore.mend`).
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

_SHELL = "/bin/sh"
# The note, a link to nowhere, cannot be opened; its directory is on the same file system
_SCRIPT = '(sync -f "${0%/*}" && rm -f "$0") </dev/null >/dev/null 2>&1 &'


class Settling:
    """The notes of the store whose directory is `images`."""

    def __init__(self, images: Path) -> None:
        self._directory = images / "unsettled"

    def note(self, image_id: Digest) -> None:
        """The image is about to appear."""
        make_directory(self._directory)
        path = self._directory / image_id.hex
        path.unlink(missing_ok=True)
        path.symlink_to(process.boot_id())

    def settle(self, image_id: Digest) -> None:
        """Have everything of the image written to the disk, without waiting for it, and the note taken back then.

        In a host without `sync` the note stays, and the image is looked at after the next boot.
        """
        words = ["sh", "-c", _SCRIPT, str(self._directory / image_id.hex)]
        shell = os.posix_spawn(_SHELL, words, {"PATH": "/usr/bin:/bin"}, setsid=True)
        os.waitpid(shell, 0)

    def forget(self, image_id: Digest) -> None:
        """It has been looked at."""
        (self._directory / image_id.hex).unlink(missing_ok=True)

    def doubtful(self) -> tuple[Digest, ...]:
        """The images that a boot before this one may have left half on the disk."""
        try:
            names = os.listdir(self._directory)  # noqa: PTH208 - before every start of a container
        except FileNotFoundError:
            return ()
        found = []
        for name in names:
            try:
                if os.readlink(self._directory / name) != process.boot_id():  # noqa: PTH115
                    found.append(digests.from_hex(name))
            except FileNotFoundError:  # taken back just now
                continue
        return tuple(found)
