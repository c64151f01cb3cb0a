"""What `sandbox registry serve --mirror-of` mirrors: another registry, asked by our own client with our own logins.

Here, because the client and the server of registries do not know each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import LimitError
from sandbox.image.manifest import Descriptor
from sandbox.image.reference import Reference
from sandbox.registry import media
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.retrying import Retrying
from sandbox.registry.client.session import Session, first_of
from sandbox.registry.server.mirror import FetchedManifest
from sandbox.registry.server.passages import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeVar

    from sandbox.image.digest import Digest
    from sandbox.registry.client.repository import Repository
    from sandbox.registry.client.transport import Answer

    Found = TypeVar("Found")

_BLOCK = 256 << 10
_UNKNOWN = (401, 403, 404)  # to strangers, registries deny what they do not have
_QUICK = Retrying(times=1, patience=2.0)  # our own client waits meanwhile, and has what is here otherwise


class Other:
    """The registry `domain`, as `mirror.Upstream`. Threads may ask at once."""

    def __init__(self, domain: str, home: Path) -> None:
        self._domain = domain
        self._session = Session(home, retrying=_QUICK)

    def names(self, repository: str, tag: str, digest: Digest) -> bool:
        """See `Upstream`."""
        return self._ask(repository, lambda server: server.named(tag)) == digest

    def manifest(self, repository: str, target: Digest | str) -> FetchedManifest | None:
        """See `Upstream`."""
        found = self._ask(repository, lambda server: server.manifest(target))
        return FetchedManifest(found.media_type, found.data) if found is not None else None

    def blob(self, repository: str, digest: Digest) -> FetchedAnswer | None:
        """See `Upstream`."""
        return self._ask(repository, lambda server: _blob(server, digest))

    def tags(self, repository: str) -> list[str] | None:
        """See `Upstream`."""
        found = self._ask(repository, lambda server: server.tags())
        return list(found) if found is not None else None

    def _ask(self, repository: str, ask: Callable[[Repository], Found]) -> Found | None:
        try:
            return first_of(self._session.repositories(Reference(self._domain, repository), "pull"), ask)
        except RegistryError as error:
            if error.status in _UNKNOWN:
                return None
            raise UpstreamError(error.message, too_many=error.status == 429) from error
        except LimitError as error:
            raise UpstreamError(error.message) from error


class FetchedAnswer:
    """A blob on its way, as `mirror.FetchedBlob`."""

    def __init__(self, answer: Answer, size: int) -> None:
        self._answer = answer
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        try:
            while data := self._answer.read(_BLOCK):
                yield data
        except RegistryError as error:
            raise UpstreamError(error.message) from error

    def close(self) -> None:
        """See `FetchedBlob`."""
        self._answer.close()


def _blob(server: Repository, digest: Digest) -> FetchedAnswer | None:
    size = server.blob_size(digest)
    if size is None:
        return None
    answer, _ = server.blob(Descriptor(media_type=media.OCTETS, digest=digest, size=size))
    return FetchedAnswer(answer, size)
