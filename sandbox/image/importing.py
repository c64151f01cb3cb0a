"""Making an image of one root file system's archive: `sandbox import`, and the second half of every bootstrap."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.image import reference as references
from sandbox.image.committing import describe, now
from sandbox.image.config import ImageConfig
from sandbox.image.decompress import open_stream
from sandbox.image.manifest import (
    ARCHITECTURES,
    HistoryEntry,
    ImageDocument,
    dump_document,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.image.image import Image
    from sandbox.image.limits import Limits
    from sandbox.image.store import ImageStore
    from sandbox.image.tarsource import Readable


def import_tar(
    store: ImageStore,
    stream: Readable,
    *,
    reference: str,
    config: ImageConfig | None,
    created: str | None,
    comment: str,
    annotations: Mapping[str, str],
    limits: Limits | None,
    progress: Callable[[str], None] | None,
) -> Image:
    """See `ImageStore.import_tar`."""
    names = (references.parse(reference),) if reference else ()  # wrong names are said before the work
    if created is None:
        created = now()
    with store.lease() as lease:
        record = store.snapshots.unpack(
            open_stream(stream), lease=lease, require_end=True, limits=limits, progress=progress
        )
        layer = record.layer
        machine = os.uname().machine
        configuration = dump_document(
            ImageDocument(
                architecture=ARCHITECTURES.get(machine, machine),
                created=created,
                config=config or ImageConfig(),
                diff_ids=(layer.diff_id,),
                history=(HistoryEntry(created=created, created_by="import", comment=comment),),
            )
        )
        manifest = describe(configuration, (layer,), annotations)
        image = store.add(manifest, configuration, (layer,), names)
    store.notify("import", image.id, {"name": reference or image.id})
    return image
