"""Making an image of a root file system's archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from sandbox.image.config import ImageConfig
    from sandbox.image.image import Image
    from sandbox.image.limits import Limits
    from sandbox.image.store import ImageStore


def import_tar(
    store: ImageStore,
    stream: BinaryIO,
    *,
    reference: str,
    config: ImageConfig | None,
    created: str | None,
    comment: str,
    limits: Limits | None,
    progress: Callable[[str], None] | None,
) -> Image:
    """See `ImageStore.import_tar`."""
    raise UnsupportedError(f"cannot import {stream} yet")
