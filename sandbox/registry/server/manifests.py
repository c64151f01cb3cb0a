"""Manifests of a repository, the tags that name them, and what refers to what.

A manifest is stored beside its media type, which is no part of its bytes. What it refers to is claimed before it is
written, under the same lock, so that no garbage collection comes between. A referrer is listed first and written then;
a list of referrers leaves out what is not there, so a push that was cut off shows nowhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.image import digest as digests
from sandbox.image.locking import StoreLock
from sandbox.registry.errors import ErrorCode, Problem
from sandbox.registry.server import documents, durable
from sandbox.registry.server.blobs import entries, touch
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.digest import Digest
    from sandbox.registry.server.documents import Document
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.limits import Limits


class Stored(NamedTuple):
    """A manifest as it was pushed."""

    digest: Digest
    media_type: str
    data: bytes


class Manifests:
    """The manifests and tags of a directory. `complete` wants what a manifest refers to to be there first."""

    def __init__(self, layout: Layout, limits: Limits, *, complete: bool = True) -> None:
        self._layout = layout
        self._limits = limits
        self._complete = complete

    def resolve(self, repository: str, target: Digest | str) -> Digest | None:
        """The digest of a tag, or of itself."""
        if isinstance(target, digests.Digest):
            return target
        try:
            return digests.parse((self._layout.tags(repository) / target).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def get(self, repository: str, digest: Digest) -> Stored | None:
        """A manifest of a repository."""
        try:
            record = (self._layout.manifests(repository) / digest.hex).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        media_type, _, data = record.partition(b"\n")
        return Stored(digest, media_type.decode("ascii"), data)

    def put(self, repository: str, data: bytes, media_type: str, *, tag: str = "") -> tuple[Digest, Document]:
        """Keep a manifest, whole and on the disk, and have the tag name it. Raises Refusal."""
        document = documents.parse(data, media_type, references=self._limits.references)
        digest = digests.of(data)
        with StoreLock(self._layout.root, exclusive=False):
            self._claim(repository, document)
            if document.subject is not None:
                listed = self._layout.referrers(repository, document.subject) / digest.hex
                description = documents.description(document, digest, len(data))
                durable.write(self._layout.root, listed, json.dumps(description).encode("utf-8"))
            record = document.media_type.encode("ascii") + b"\n" + data
            durable.write(self._layout.root, self._layout.manifests(repository) / digest.hex, record)
            if tag:
                durable.write(self._layout.root, self._layout.tags(repository) / tag, digest.encode("ascii"))
        return digest, document

    def delete(self, repository: str, digest: Digest) -> bool:
        """Delete a manifest with the tags that name it; whether it was there."""
        with StoreLock(self._layout.root, exclusive=True):  # no push may tag it meanwhile
            return remove(self._layout, self, repository, digest)

    def untag(self, repository: str, tag: str) -> bool:
        """Take a tag away and leave the manifest; whether it was there."""
        try:
            (self._layout.tags(repository) / tag).unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def tags(self, repository: str) -> list[str]:
        """All tags, in the order of their bytes."""
        try:
            return sorted(entry.name for entry in self._layout.tags(repository).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def all(self, repository: str) -> list[tuple[Digest, float]]:
        """All manifests, each with the time when it was last pushed (seconds since 1970)."""
        return [(digest, status.st_mtime) for digest, status in entries(self._layout.manifests(repository))]

    def referrers(self, repository: str, subject: Digest) -> list[dict[str, Any]]:
        """The descriptors of the manifests whose subject is this one, oldest first."""
        found = []
        for digest, status in entries(self._layout.referrers(repository, subject)):
            if (self._layout.manifests(repository) / digest.hex).exists():
                text = _read(self._layout.referrers(repository, subject) / digest.hex)
                if text:
                    found.append((status.st_mtime, digest, json.loads(text)))
        return [description for _, _, description in sorted(found, key=lambda one: one[:2])]

    def _claim(self, repository: str, document: Document) -> None:
        """Have all that a document refers to stay. Raises Refusal that names what is missing."""
        wanted = [self._layout.blobs(repository) / digest.hex for digest in document.blobs]
        wanted += [self._layout.manifests(repository) / digest.hex for digest in document.manifests]
        missing = [digests.from_hex(path.name) for path in wanted if touch(path) is None]
        if missing and self._complete:
            problems = [
                Problem(ErrorCode.MANIFEST_BLOB_UNKNOWN, f"the repository lacks {digest}", {"digest": digest})
                for digest in missing[:100]
            ]
            first = problems[0]
            raise Refusal(ErrorCode.MANIFEST_BLOB_UNKNOWN, first.message, detail=first.detail, more=problems[1:])


def remove(layout: Layout, manifests: Manifests, repository: str, digest: Digest) -> bool:
    """Delete a manifest with its tags and its entry as a referrer. The caller holds the lock."""
    stored = manifests.get(repository, digest)
    if stored is None:
        return False
    for tag in manifests.tags(repository):
        if manifests.resolve(repository, tag) == digest:
            manifests.untag(repository, tag)
    (layout.manifests(repository) / digest.hex).unlink(missing_ok=True)
    document = documents.parse(stored.data, stored.media_type)
    if document.subject is not None:
        (layout.referrers(repository, document.subject) / digest.hex).unlink(missing_ok=True)
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
