"""Contexts that are not folders of the host: git repositories, and archives or Dockerfiles behind http.

`locate` fetches, before the engine is open (an ordinary user is still who they are then: ssh finds their known hosts);
`given` and `context` unpack into the store. Source: docker's manual "Build context".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.builder import contexts
from sandbox.builder.giturl import parse_git_url
from sandbox.builder.options import Context
from sandbox.dockerfile.ignorefile import IgnorePatterns
from sandbox.errors import InvalidError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.builder.contexts import Given
    from sandbox.builder.credentials import Credentials
    from sandbox.builder.gitsource import Repository
    from sandbox.image.locking import Lease
    from sandbox.image.store import ImageStore

_HTTP = ("http://", "https://")


class Download(NamedTuple):
    """The file behind a URL."""

    path: Path
    url: str


def locate(place: str, folder: Callable[[], Path], credentials: Credentials) -> Repository | Download | None:
    """Fetch what `place` names into an empty folder; None for a name of this host's.

    InvalidError says what went wrong.
    """
    url = parse_git_url(place, short=not os.path.exists(place))  # noqa: PTH110  (a folder of that name goes first)
    if url is not None:
        from sandbox.builder import gitsource  # noqa: PLC0415  (most contexts are folders)

        return gitsource.fetch(url, folder(), credentials.for_git(url.host))
    if place.startswith(_HTTP):
        from sandbox.builder import fetching  # noqa: PLC0415

        return Download(fetching.fetch(place, folder(), authorization=credentials.for_http(place)), place)
    if "://" in place:
        raise InvalidError(
            f"{place!r} is no context", hint="name a folder, the URL of a git repository, or one of http or https"
        )
    return None


def given(found: Repository | Download, store: ImageStore, lease: Lease, file: str, text: bytes | None) -> Given:
    """The context and its Dockerfile, which is `file` in it, or `text`; what is no archive is the Dockerfile itself."""
    if isinstance(found, Download):
        with found.path.open("rb") as stream:
            archive = contexts.Input(stream.read)
            if not archive.is_archive:
                return contexts.without_files(archive.whole(found.url) if text is None else text, found.url)
            return contexts.of_paths(contexts.unpacked(store, archive, lease), file, text)
    return contexts.of_paths(unpack_repository(found, store, lease), file, text)


def context(found: Repository | Download, store: ImageStore, lease: Lease) -> Context:
    """A named context: all files, a download that is no archive as one file."""
    if isinstance(found, Download):
        with found.path.open("rb") as stream:
            archive = contexts.Input(stream.read)
            paths = contexts.unpacked(store, archive, lease) if archive.is_archive else (found.path.parent,)
    else:
        paths = unpack_repository(found, store, lease)
    return Context(paths=paths, ignore=IgnorePatterns(()))


def unpack_repository(repository: Repository, store: ImageStore, lease: Lease) -> tuple[Path, ...]:
    """Where the repository's files are, submodules on top; with its `.git` where the URL asks for that."""
    paths: list[Path] = []
    parent = None
    for part in repository.parts:
        with repository.archive(part) as stream:
            parent = store.snapshots.unpack(stream, parent, lease=lease).layer.chain_id
        path = store.snapshots.path(parent) / repository.url.folder
        if path.is_dir():  # a submodule may be elsewhere
            paths.insert(0, path)
    if repository.url.keep_git_dir and not repository.url.folder:
        paths.insert(0, repository.keep_git_dir())
    return tuple(paths)
