"""`push`: an image of the store to a registry.

An image whose layers are all there as they were pulled keeps its manifest, byte for byte, and so its digest. `sending`
says how layers get there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import NotFoundError
from sandbox.image import reference as references
from sandbox.image.bootstrap import ANNOTATION
from sandbox.image.manifest import Descriptor, dump_manifest, parse_manifest
from sandbox.registry import media
from sandbox.registry.client.compression import AS_KNOWN
from sandbox.registry.client.progress import Progress, Silent
from sandbox.registry.client.sending import Sending, manifest_of
from sandbox.registry.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.image.digest import Digest
    from sandbox.image.image import Image
    from sandbox.image.manifest import Manifest
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.compression import Packed
    from sandbox.registry.client.retrying import Retrying


class Pushed(NamedTuple):
    """The manifest that the name stands for at the registry now."""

    digest: Digest
    size: int  # bytes of the manifest


def push(
    store: ImageStore,
    name: str,
    *,
    verify: bool = True,
    environment: Mapping[str, str] = os.environ,
    retrying: Retrying | None = None,
    progress: Progress | None = None,
    packed: Packed = AS_KNOWN,
) -> Pushed:
    """Push the image of that name to the registry that the name says. Raises NotFoundError, RegistryError,
    UnsupportedError for a layer that cannot be written as it came. What was sent stays there.
    """
    reference = references.parse(name)
    if reference.digest:
        raise NotFoundError(f"cannot push {name!r}: a digest is no tag", hint="name it with a tag")
    image = store.get(reference.familiar)
    with (
        Session(store.home, environment=environment, verify=verify, retrying=retrying) as session,
        store.lease() as lease,
    ):
        for layer in image.layers:
            if not store.snapshots.claim(layer.chain_id, lease):
                raise NotFoundError(f"image {image.id.short} was removed meanwhile")
        sending = Sending(store, session, reference, progress or Silent(), packed)
        return _push(store, sending, reference, image)


def _push(store: ImageStore, sending: Sending, reference: Reference, image: Image) -> Pushed:
    data = store.content.read(image.manifest_digest)
    manifest = parse_manifest(data)
    configuration = store.content.read(image.id)
    layers = sending.layers(image.layers, manifest.layers)
    sending.document(configuration, media.CONFIG)
    changed = _described(image, manifest, layers, len(configuration))
    if changed is not None:
        manifest, data = changed, dump_manifest(changed)
    done = sending.manifest(data, manifest.media_type, reference.tag)
    if changed is not None:  # from now on this is what the name stands for here, too
        store.add(data, configuration, image.layers, (reference,))
    store.notify("push", image.id, {"name": reference.familiar})
    return Pushed(done.digest, done.size)


def _described(image: Image, manifest: Manifest, layers: Sequence[Descriptor], size: int) -> Manifest | None:
    """A manifest of the layers as they were sent, with a configuration of `size` bytes; None where the image's own
    says just that.
    """
    if [layer.digest for layer in layers] == [layer.digest for layer in manifest.layers]:
        return None
    unknown = dict(manifest.unknown)
    annotations = unknown.pop("annotations", None)
    if isinstance(annotations, dict) and (kept := {k: v for k, v in annotations.items() if k != ANNOTATION}):
        unknown["annotations"] = kept
    config = Descriptor(media_type=media.CONFIG, digest=image.id, size=size)
    return manifest_of(config, layers, unknown)
