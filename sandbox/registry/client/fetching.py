"""Having an image that the store lacks, wherever it comes from (`image.sources`): pulled, or made on this host.

For processes that are root, really or in a namespace of their own: `sandbox run` and `build`, the runners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError
from sandbox.image.sources import Remote
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.pulling import pull

if TYPE_CHECKING:
    from sandbox.image.image import Image
    from sandbox.image.sources import Source
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.progress import Progress


def fetch(store: ImageStore, name: str, origin: Source | Remote, progress: Progress) -> Image:
    """The image `name`. Raises NotFoundError where its registry does not have it, SandboxError for all else."""
    if not isinstance(origin, Remote):
        return _made(store, origin, progress)
    try:
        return pull(store, origin.reference, named=name, progress=progress).image
    except RegistryError as error:
        if origin.instead is not None and not error.status:
            progress.line(f"no registry answers for {name}; making it")
            return _made(store, origin.instead, progress)
        raise NotFoundError(
            f"no image {name!r} here, and {error.message}", hint=error.hint, reference="no-such-image"
        ) from None


def _made(store: ImageStore, source: Source, progress: Progress) -> Image:
    from sandbox.image.bootstrap import bootstrap  # noqa: PLC0415  (few images are made)

    return bootstrap(store, source, progress=progress.line)
