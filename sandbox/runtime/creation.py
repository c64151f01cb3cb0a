"""Making a container: from what somebody asks for to a folder under its name, with its volumes. Called by the engine.

Nothing runs yet. The image is held while its layers are written down, the volumes while the container that mounts them
gets its folder, so that neither is removed in between.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError
from sandbox.runtime import config, events, naming
from sandbox.runtime.spec import MountKind

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from sandbox.image.image import Image
    from sandbox.image.store import ImageStore
    from sandbox.kernel.idmap import IdMap
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.spec import ContainerSpec
    from sandbox.runtime.state import Containers


def create(
    home: Path, images: ImageStore, containers: Containers, spec: ContainerSpec, image: Image | None = None
) -> str:
    """The new container's id. Raises NotFoundError (image), ConflictError (name), InvalidError."""
    if spec.shared.uts and not spec.hostname:
        spec = spec._replace(hostname=os.uname().nodename)
    with images.hold():
        image = image or images.get(spec.image, named=False)
        random = os.urandom(40)
        identifier, name = naming.identifier(random[:32]), spec.name or naming.name(random[32:])
        if not _has_volumes(spec, image):
            made = config.resolve(spec, image, identifier=identifier, name=name, created=time.time())
            containers.add(made)
        else:
            made = _with_volumes(home, containers, spec, image, identifier, name)
    events.of_container(home, made, "create")
    return identifier


def preview(images: ImageStore, spec: ContainerSpec) -> ContainerConfig:
    """What `create` would make, for a plan; nothing is made."""
    image = images.get(spec.image, named=False)
    if _has_volumes(spec, image):
        from sandbox.runtime.volumes import named  # noqa: PLC0415  (few containers have any)

        spec = spec._replace(mounts=named(spec.mounts, image.config.volumes, lambda: "<volume>"))
    return config.resolve(spec, image, identifier="<id>", name=spec.name or "container", created=0.0)


def _has_volumes(spec: ContainerSpec, image: Image) -> bool:
    return bool(image.config.volumes) or any(mount.kind is MountKind.VOLUME for mount in spec.mounts)


def _with_volumes(
    home: Path, containers: Containers, spec: ContainerSpec, image: Image, identifier: str, name: str
) -> ContainerConfig:
    from sandbox.runtime.volumes import Volumes, named, remove_anonymous  # noqa: PLC0415  (few containers have any)

    volumes = Volumes(home / "volumes")
    mounts = named(spec.mounts, image.config.volumes, lambda: os.urandom(32).hex())
    made = config.resolve(spec._replace(mounts=mounts), image, identifier=identifier, name=name, created=time.time())
    try:
        with volumes.hold():
            for mount in mounts:
                if mount.kind is MountKind.VOLUME:
                    volumes.create(mount.source, anonymous=mount.anonymous)
            containers.add(made)
    except BaseException:
        remove_anonymous(volumes, mounts, lambda volume: users_of_volume(containers, volume))
        raise
    return made


def take_ids(home: Path, identifier: str, taken: ExitStack) -> IdMap:
    """Ids of the host for a container that does not run, for as long as `taken` is open; the caller has its lock."""
    from sandbox.kernel import idmap, idranges  # noqa: PLC0415  (only `cp` needs them here)

    if not idmap.in_initial_namespace():
        return idmap.IdMap.identity(idranges.RANGE_SIZE)
    ranges = idranges.IdRanges(home / "ids")
    taken.callback(ranges.release, identifier)
    return ranges.allocate(identifier)


def users_of_volume(containers: Containers, name: str) -> tuple[str, ...]:
    """The names of the containers that mount a volume."""
    users = []
    for folder in containers:
        try:
            made = folder.config()
        except NotFoundError:
            continue
        if any(mount.kind is MountKind.VOLUME and mount.source == name for mount in made.spec.mounts):
            users.append(made.name)
    return tuple(users)
