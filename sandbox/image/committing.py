"""A new image of an image and what has changed on top of it: `commit`, and each step of a build.

The lower layers stay as they are; the new one is a copy of the tree, hashed while it is copied. Source: docker's
`commit`; OCI image-spec config.md "history".
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.image import digest as digests
from sandbox.image import reference as references
from sandbox.image.manifest import (
    CONFIG,
    LAYER,
    Descriptor,
    HistoryEntry,
    Manifest,
    dump_document,
    dump_manifest,
    parse_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.image.config import ImageConfig
    from sandbox.image.image import Image, LayerRecord
    from sandbox.image.manifest import ImageDocument
    from sandbox.image.store import ImageStore
    from sandbox.image.tree import Tree


def commit(
    store: ImageStore,
    base: Image,
    tree: Tree,
    *,
    config: ImageConfig,
    reference: str = "",
    created_by: str = "",
    author: str = "",
    comment: str = "",
    created: str | None = None,
) -> Image:
    """Make an image of `base`, the changes in `tree` (with whiteouts) and `config`; without a name if `reference` is
    empty.

    `created` is RFC 3339, left out it is now. A tree without changes makes no layer. Raises SandboxError; nothing is
    left then.
    """
    names = (references.parse(reference),) if reference else ()
    if created is None:
        created = now()
    document = parse_document(store.content.read(base.id))
    entry = HistoryEntry(created=created, created_by=created_by, author=author, comment=comment)
    with store.lease() as lease:
        record = store.snapshots.pack(tree, base.chain_id, lease=lease)
        layers = base.layers
        if record.entries:
            layers = (*layers, record.layer)
        else:
            entry = HistoryEntry(
                created=created, created_by=created_by, author=author, comment=comment, empty_layer=True
            )
        made = _document(document, config, layers, entry)
        return store.add(describe(made, layers), made, layers, names)


def describe(
    configuration: bytes, layers: Iterable[LayerRecord], annotations: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """The manifest of an image whose layers are described as the archives that they came as, or would leave as: not
    compressed. Only their files are kept.
    """
    return dump_manifest(
        Manifest(
            config=Descriptor(media_type=CONFIG, digest=digests.of(configuration), size=len(configuration)),
            layers=tuple(Descriptor(media_type=LAYER, digest=layer.diff_id, size=layer.tar_size) for layer in layers),
            unknown={"annotations": dict(annotations)} if annotations else {},
        )
    )


def now() -> str:
    """This moment, as images have it: RFC 3339, with nanoseconds."""
    moment = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment // 10**9))}.{moment % 10**9:09}Z"


def _document(base: ImageDocument, config: ImageConfig, layers: tuple[LayerRecord, ...], entry: HistoryEntry) -> bytes:
    unknown = {key: value for key, value in base.unknown.items() if key not in ("container", "container_config")}
    if entry.author:
        unknown["author"] = entry.author
    return dump_document(
        base._replace(
            created=entry.created,
            config=config,
            diff_ids=tuple(layer.diff_id for layer in layers),
            history=(*base.history, entry),
            unknown=unknown,
        )
    )
