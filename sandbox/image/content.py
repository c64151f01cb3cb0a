"""The content store: blobs named by their digest (`images/blobs/sha256/<hex>`), as an OCI image layout keeps them.

Manifests and configurations live here; layers are kept unpacked (snapshots). A blob is written once, whole, under the
digest of what was really written; a second writer of the same blob changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, LimitError, NotFoundError
from sandbox.image import digest as digests
from sandbox.image import scratch
from sandbox.kernel import files

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.digest import Digest

MAX_DOCUMENT = 8 << 20  # bytes of a manifest or configuration (CVE-2023-25153); registries refuse more than 4 MiB


class ContentStore:
    """Blobs below `home/images/blobs`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._directory = home / "images" / "blobs" / "sha256"

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be."""
        return self._directory / digest.hex

    def exists(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        return self.path(digest).exists()

    def put(self, data: bytes, expected: Digest | None = None) -> Digest:
        """Keep `data`, which must have the digest `expected` if one is given. Raises InvalidError, LimitError."""
        if len(data) > MAX_DOCUMENT:
            raise LimitError(f"a document of {len(data)} bytes is longer than {MAX_DOCUMENT}")
        digest = digests.of(data)
        if expected is not None and digest != expected:
            raise InvalidError(f"content has the digest {digest}, not {expected}", reference="digest-mismatch")
        if not self.exists(digest):
            scratch.write(self._home, self.path(digest), data)
        return digest

    def read(self, digest: Digest) -> bytes:
        """A document's bytes, unchecked: the store is private and only `put` writes. Raises NotFoundError."""
        try:
            return files.read(self.path(digest))
        except FileNotFoundError:
            raise NotFoundError(f"no blob {digest} in the image store") from None

    def list(self) -> tuple[Digest, ...]:
        """All blobs."""
        try:
            return tuple(digests.from_hex(entry.name) for entry in self._directory.iterdir())
        except FileNotFoundError:
            return ()

    def delete(self, digest: Digest) -> int:
        """Delete a blob; returns its size. The caller holds the store lock alone."""
        path = self.path(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size
