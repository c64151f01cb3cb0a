"""Where things lie in a registry's directory. Pure: paths of checked names, nothing is touched.

    blobs/sha256/<ab>/<hex>                             a blob: content under its digest, written once
    repositories/<name>/_blobs/<hex>                    the same file once more (a hard link): the repository has it
    repositories/<name>/_manifests/<hex>                a manifest, a line with its media type before it
    repositories/<name>/_tags/<tag>                     the digest that the tag names
    repositories/<name>/_referrers/<hex of the subject>/<hex>   what `referrers` tells of a manifest
    uploads/<id>/                                       an upload that goes on: itself the lock; repository, data
    tmp/                                                half-made files (`sandbox.image.scratch`)
    lock                                                changes hold it shared, deletions of garbage alone
    secret                                              the key of the tokens

Parts of a repository's name begin with a letter or figure, so that `_blobs` is never one. Hard links are counted by the
file system itself: a blob with a single link is in no repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.digest import Digest

BLOBS = "_blobs"
MANIFESTS = "_manifests"
TAGS = "_tags"
REFERRERS = "_referrers"
PARTS = frozenset((BLOBS, MANIFESTS, TAGS, REFERRERS))


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below `root`. Names were checked by `names.repository` and the like, digests by `digest.parse`."""

    root: Path

    @property
    def content(self) -> Path:
        """The folder of all blobs."""
        return self.root / "blobs" / "sha256"

    @property
    def repositories(self) -> Path:
        """The folder of all repositories."""
        return self.root / "repositories"

    @property
    def uploads(self) -> Path:
        """The folder of all uploads that go on."""
        return self.root / "uploads"

    def blob(self, digest: Digest) -> Path:
        """A blob, whoever has it."""
        return self.content / digest.hex[:2] / digest.hex

    def repository(self, name: str) -> Path:
        """A repository."""
        return self.repositories / name

    def blobs(self, name: str) -> Path:
        """The blobs of a repository."""
        return self.repository(name) / BLOBS

    def manifests(self, name: str) -> Path:
        """The manifests of a repository."""
        return self.repository(name) / MANIFESTS

    def tags(self, name: str) -> Path:
        """The tags of a repository."""
        return self.repository(name) / TAGS

    def referrers(self, name: str, subject: Digest) -> Path:
        """What refers to a manifest, which need not be there."""
        return self.repository(name) / REFERRERS / subject.hex
