"""One image of an OCI layout on the disk, `PATH[:TAG][@DIGEST]`: `oci-layout://` of a build's contexts.

The image comes into the store without a name: layouts call theirs what they like. Source: OCI image-spec
image-layout.md; the notation is buildx's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError
from sandbox.image import digest as digests
from sandbox.image.bundle import DirectoryBundle
from sandbox.image.loading import load_chosen
from sandbox.image.platform import host

if TYPE_CHECKING:
    from sandbox.image.image import Image
    from sandbox.image.manifest import Descriptor
    from sandbox.image.platform import Platform
    from sandbox.image.store import ImageStore

_NAME = "org.opencontainers.image.ref.name"


def load_layout(store: ImageStore, place: str, platform: Platform | None = None) -> Image:
    """The image for a platform, this machine's by default. Without a tag it is `latest` or else the only one.

    NotFoundError says what there is.
    """
    text, _, digest = place.partition("@")
    path, tag = text, ""
    if not Path(path).is_dir() and ":" in text:
        path, _, tag = text.rpartition(":")
    if not Path(path, "index.json").is_file():
        raise NotFoundError(
            f"there is no OCI layout in {path!r}", hint="a layout is a folder with index.json and blobs"
        )
    wanted = digests.parse(digest) if digest else None
    seen: list[str] = []

    def choose(listed: tuple[Descriptor, ...]) -> Descriptor | None:
        if wanted is not None:
            return next((one for one in listed if one.digest == wanted), None)
        names = {_name(one): one for one in listed}
        seen.extend(name for name in names if name)
        found = names.get(tag or "latest")
        return listed[0] if found is None and not tag and len(listed) == 1 else found

    with DirectoryBundle(Path(path)) as bundle:
        image = load_chosen(store, bundle, choose, platform or host())
    if image is None:
        hint = f"there are {', '.join(sorted(seen)[:10])}" if seen else "name one by its digest: PATH@sha256:…"
        raise NotFoundError(f"there is no image {place!r} for {platform or 'this machine'}", hint=hint)
    return image


def _name(descriptor: Descriptor) -> str:
    annotations = descriptor.unknown.get("annotations")
    name = annotations.get(_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""
