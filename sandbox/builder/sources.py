"""ADD of what is elsewhere: a file behind http, a git repository.

It is fetched before the step has a key: what is there counts, never what the URL says.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from sandbox.builder.downloads import Downloads
from sandbox.builder.files import FileView
from sandbox.builder.giturl import without_password
from sandbox.builder.transfer import Selected
from sandbox.dockerfile.diagnostics import Mistake
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from sandbox.builder.credentials import Credentials
    from sandbox.builder.giturl import GitUrl
    from sandbox.image.locking import Lease
    from sandbox.image.store import ImageStore


class RemoteSources(NamedTuple):
    """What fetches for one instruction: into the build's own `folder`, open as long as `stack`."""

    store: ImageStore
    lease: Lease
    folder: Path
    stack: ExitStack
    credentials: Credentials
    note: Callable[[str, str, str], object]  # a source that was fetched: its URL, an algorithm and its digest

    def file(self, url: str, checksum: str, *, needs_name: bool, unpack: bool) -> Selected:
        """The file of a URL. Mistake where it has no name and needs one."""
        from sandbox.builder import fetching  # noqa: PLC0415  (most builds fetch nothing)

        if needs_name and not fetching.file_name(url):
            raise Mistake("source", f"{url} has no name for the file", hint="let the destination not end with a slash")
        path = fetching.fetch(url, self._fresh(), checksum, self.credentials.for_http(url), Downloads(self.store.home))
        with path.open("rb") as file:
            self.note(url, "sha256", hashlib.file_digest(file, "sha256").hexdigest())
        name = os.fsencode(path.name)
        view = self.stack.enter_context(FileView((path.parent,), ""))
        return Selected(view, name, name, may_be_archive=unpack)

    def repository(self, url: GitUrl) -> Selected:
        """All files of a commit."""
        from sandbox.builder import gitsource, remote  # noqa: PLC0415

        fetched = gitsource.fetch(url, self._fresh(), self.credentials.for_git(url.host))
        self.note(f"{without_password(url.remote)}#{url.ref}", "sha1", fetched.commit)
        paths = remote.unpack_repository(fetched, self.store, self.lease)
        return Selected(self.stack.enter_context(FileView(paths, "")), b"", b"")

    def _fresh(self) -> Path:
        folder = self.folder / os.urandom(8).hex()
        folder.mkdir()
        return folder
