"""Where `sandbox build` takes its files from: CONTEXT, `--file` and `--build-context`, as docker reads them.

What is elsewhere is fetched before the engine is open, and unpacked into its store afterwards.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from sandbox.builder.contexts import Given, Input
    from sandbox.builder.credentials import Credentials
    from sandbox.builder.gitsource import Repository
    from sandbox.builder.options import Context, ContextImage, Material
    from sandbox.builder.remote import Download
    from sandbox.cli.options import Arguments
    from sandbox.image.locking import Lease
    from sandbox.image.platform import Platform
    from sandbox.image.store import ImageStore

_IMAGE, _LAYOUT = "docker-image://", "oci-layout://"


class Sources:
    """What a build's options name. Fetching needs an empty `folder`, which is the caller's."""

    def __init__(self, arguments: Arguments, folder: Path, credentials: Credentials) -> None:
        self._place = arguments.operands[0]
        self._file = arguments.text("file")
        self._folder = folder
        self._credentials = credentials
        self._named = _named(arguments)
        if self._place == self._file == "-":
            raise UsageError("standard input cannot be both the context and the Dockerfile")
        self._input = _standard_input() if "-" in (self._place, self._file) else None
        self._text = self._dockerfile()
        self._context = self._located(self._place) if self._place != "-" else None
        self._elsewhere = {name: self._located(place) for name, place in self._named.items() if not _is_image(place)}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the named contexts, in small letters."""
        return tuple(self._named)

    @property
    def images(self) -> tuple[str, ...]:
        """The images that named contexts are."""
        return tuple(place.removeprefix(_IMAGE) for place in self._named.values() if place.startswith(_IMAGE))

    @property
    def materials(self) -> tuple[Material, ...]:
        """The context, where it came from elsewhere."""
        from sandbox.builder.giturl import without_password  # noqa: PLC0415
        from sandbox.builder.options import Material  # noqa: PLC0415
        from sandbox.builder.remote import Download  # noqa: PLC0415

        if self._context is None:
            return ()
        if isinstance(self._context, Download):
            with self._context.path.open("rb") as file:
                return (Material(self._context.url, "sha256", hashlib.file_digest(file, "sha256").hexdigest()),)
        url = self._context.url
        return (Material(f"{without_password(url.remote)}#{url.ref}", "sha1", self._context.commit),)

    @property
    def is_here(self) -> bool:
        """Whether the Dockerfile can be read without the store."""
        return self._context is None and not (self._place == "-" and self._input and self._input.is_archive)

    def given(self, store: ImageStore | None = None, lease: Lease | None = None) -> Given:
        """The context and the Dockerfile. A store is needed for what is not here."""
        from sandbox.builder import contexts, remote  # noqa: PLC0415  (other verbs do without all of it)

        file = self._file if self._file and self._text is None else contexts.DOCKERFILE
        if store is not None and lease is not None and not self.is_here:
            if self._context is not None:
                return remote.given(self._context, store, lease, file, self._text)
            if self._input is not None:
                return contexts.of_paths(contexts.unpacked(store, self._input, lease), file, self._text)
        if self._place == "-" and self._input is not None:
            return contexts.without_files(self._input.whole("standard input"))
        folder = Path(self._place)
        path = Path(self._file) if self._file and self._text is None else folder / contexts.DOCKERFILE
        return contexts.of_folder(folder, path, self._text)

    def named(self, store: ImageStore, lease: Lease, platform: Platform) -> dict[str, Context | ContextImage]:
        """The named contexts by their lower-case names; images of layouts are those for the platform."""
        from sandbox.builder import contexts, remote  # noqa: PLC0415
        from sandbox.builder.options import ContextImage  # noqa: PLC0415

        found: dict[str, Context | ContextImage] = {}
        for name, place in self._named.items():
            if place.startswith(_LAYOUT):
                from sandbox.image.layout import load_layout  # noqa: PLC0415  (seldom)

                found[name] = ContextImage(load_layout(store, place.removeprefix(_LAYOUT), platform).id)
            elif _is_image(place):
                found[name] = ContextImage(place.removeprefix(_IMAGE))
            elif (located := self._elsewhere[name]) is not None:
                found[name] = remote.context(located, store, lease)
            else:
                found[name] = contexts.of_name(Path(place))
        return found

    def _dockerfile(self) -> bytes | None:
        """The text of a Dockerfile that comes from somewhere else than the context or a file of this host."""
        from sandbox.builder.remote import Download, locate  # noqa: PLC0415

        if self._file == "-" and self._input is not None:
            return self._input.whole("standard input")
        if self._file.startswith(("http://", "https://")):
            found = locate(self._file, self._fresh, self._credentials)
            if not isinstance(found, Download):
                raise InvalidError(f"{self._file!r} is a repository, not a Dockerfile")
            return found.path.read_bytes()
        return None

    def _located(self, place: str) -> Repository | Download | None:
        from sandbox.builder.remote import locate  # noqa: PLC0415

        return locate(place, self._fresh, self._credentials)

    def _fresh(self) -> Path:
        folder = self._folder / os.urandom(8).hex()
        folder.mkdir()
        return folder


def _is_image(place: str) -> bool:
    return place.startswith((_IMAGE, _LAYOUT))


def _named(arguments: Arguments) -> dict[str, str]:
    found = {}
    for text in arguments.texts("build-context"):
        name, separator, place = text.partition("=")
        if not (name and separator and place):
            raise UsageError(f"--build-context {text!r} names no context", hint="write NAME=FOLDER or NAME=URL")
        found[name.lower()] = place
    return found


def _standard_input() -> Input:
    from sandbox.builder.contexts import Input  # noqa: PLC0415

    return Input(lambda size: os.read(0, size))
