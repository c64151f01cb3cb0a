"""Files that were fetched before, kept for a server to say that they are still the same (ETag, RFC 9110 §13.1.2).

`$HAKO_HOME/downloads/<digest of the URL>.json` names the ETag and the file beside it. Nothing that needs a secret is
kept. `builder prune` removes all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sandbox.image.scratch import make_directory, write

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = "downloads"
_ETAG_LIMIT = 1000  # characters


class Kept(NamedTuple):
    """A file, and what its server calls this state of it."""

    path: Path
    etag: str


class Downloads:
    """Those of one `$HAKO_HOME`. Any number of builds may use it at the same time."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / _FOLDER

    def find(self, url: str) -> Kept | None:
        """What is kept of a URL."""
        try:
            record = json.loads(self._record(url).read_bytes())
            kept = Kept(self._folder / os.path.basename(record["file"]), record["etag"])  # noqa: PTH119  (a name)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return kept if isinstance(kept.etag, str) and kept.path.is_file() else None

    def keep(self, url: str, etag: str, path: Path) -> None:
        """Keep a file, which nobody writes to any more; on the state directory's file system it costs nothing."""
        if not etag or len(etag) > _ETAG_LIMIT or not etag.isprintable():
            return
        make_directory(self._folder)
        before = self.find(url)
        name = f"{self._record(url).stem}-{os.urandom(8).hex()}"
        with suppress(OSError):  # another file system
            os.link(path, self._folder / name)
            write(self._home, self._record(url), json.dumps({"etag": etag, "file": name}).encode())
            if before is not None:
                before.path.unlink(missing_ok=True)

    def _record(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()}.json"


def forget(home: Path) -> None:
    """Remove all that is kept."""
    folder = home / _FOLDER
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
