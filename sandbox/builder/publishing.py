"""A build's target in registries: an image for one platform, or an index of several and of their attestations.

Called by `exporting` with what is built; `registry.client.sending` says how layers get there. Under every name lie the
same documents wherever the registries have the same blobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.image.layoutwriting import LayoutImage, index_of
from sandbox.image.manifest import MANIFEST, dump_manifest
from sandbox.records import NamedTuple
from sandbox.registry import media
from sandbox.registry.client.progress import Silent, State
from sandbox.registry.client.sending import Sending, manifest_of
from sandbox.registry.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox.builder.output import Publication
    from sandbox.builder.progress import Step
    from sandbox.image.image import LayerRecord
    from sandbox.image.layoutwriting import Attached
    from sandbox.image.manifest import Descriptor
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore

_ENDS = frozenset((State.PUSHED, State.THERE, State.MOUNTED))


class Target(NamedTuple):
    """What was built for one platform. `attach` makes the attestations about its manifest."""

    configuration: bytes
    layers: tuple[LayerRecord, ...]
    platform: tuple[str, ...]
    annotations: Mapping[str, str]
    attach: Callable[[bytes], tuple[Attached, ...]]


class Published(NamedTuple):
    """What a name stands for now, a manifest or an index, and the manifest of the first platform."""

    root: Descriptor
    manifest: bytes


def publish(
    store: ImageStore,
    name: Reference,
    targets: Sequence[Target],
    annotations: Mapping[str, str],
    publication: Publication,
    step: Step,
) -> Published:
    """Push the targets, whose layers the caller has leased, as one image; `annotations` are the index's, where there is
    one. Raises RegistryError.
    """
    with Session(store.home, verify=publication.verify) as session:
        sending = Sending(store, session, name, Noted(step), publication.packed)
        images = [_send(sending, target) for target in targets]
        tag = "" if publication.by_digest else name.tag
        if len(images) == 1 and not images[0].attached:
            root = sending.manifest(images[0].manifest, MANIFEST, tag)
        else:
            for image in images:
                sending.manifest(image.manifest, MANIFEST)
                for attached in image.attached:
                    sending.manifest(attached.manifest, MANIFEST)
            root = sending.manifest(index_of(images, annotations), media.INDEX, tag)
    step.note(f"pushing manifest for {name.canonical}@{root.digest}")
    return Published(root, images[0].manifest)


def _send(sending: Sending, target: Target) -> LayoutImage:
    layers = sending.layers(target.layers)
    config = sending.document(target.configuration, media.CONFIG)
    unknown = {"annotations": dict(target.annotations)} if target.annotations else {}
    manifest = dump_manifest(manifest_of(config, layers, unknown))
    found = target.attach(manifest)
    for attached in found:
        for blob in attached.blobs:
            sending.document(blob, media.OCTETS)
    return LayoutImage(target.configuration, manifest, target.layers, target.platform, found)


class Noted(Silent):
    """Tells of a layer when it is there."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def layer(self, name: str, state: State, done: int = 0, total: int = 0, detail: str = "") -> None:  # noqa: ARG002
        """See `Progress`."""
        if state in _ENDS:
            self._step.note(f"pushing layer {name}: {state.lower()}{f' from {detail}' if detail else ''}")
