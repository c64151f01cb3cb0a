"""`sandbox system df` and `system prune`: what images, containers and volumes take, and removing what nobody uses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.cli import images as image_verbs
from sandbox.cli import values
from sandbox.cli.listing import FORMAT, listing
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine, reclaim
from sandbox.cli.table import ago, size, table
from sandbox.cli.volume import used
from sandbox.errors import ConflictError, NotFoundError
from sandbox.image import selection
from sandbox.records import NamedTuple
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.image.image import Image
    from sandbox.runtime.engine import Engine

_HEADINGS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_FIELDS = tuple(_HEADINGS)


class Usage(NamedTuple):
    """A line of the table; sizes in bytes."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int

    def row(self) -> dict[str, str]:
        """In docker's fields."""
        share = f" ({self.reclaimable * 100 // self.size}%)" if self.size else ""
        cells = (self.kind, str(self.total), str(self.active), size(self.size), size(self.reclaimable) + share)
        return dict(zip(_FIELDS, cells, strict=True))


def _df(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    rows = [usage.row() for usage in (_images(engine), _containers(engine), _volumes(engine))]
    if arguments.flag("verbose"):
        say(_verbose(engine))
    else:
        say(listing(rows, _HEADINGS, _FIELDS, arguments))
    return 0


def _images(engine: Engine) -> Usage:
    """A layer that several images share counts once, and is reclaimable only when no image in use has it."""
    everyone = engine.images.list()
    used = [image for image in everyone if engine.uses_of_image(image.id)]
    kept = {layer.chain_id for image in used for layer in image.layers}
    sizes = {layer.chain_id: layer.size for image in everyone for layer in image.layers}
    idle = sum(length for chain_id, length in sizes.items() if chain_id not in kept)
    return Usage("Images", len(everyone), len(used), sum(sizes.values()), idle)


def _containers(engine: Engine) -> Usage:
    total = active = taken = idle = 0
    for made, state in engine.containers(all=True):
        length = _written(engine, made.id)
        total, taken = total + 1, taken + length
        if state.status is Status.RUNNING:
            active += 1
        else:
            idle += length
    return Usage("Containers", total, active, taken, idle)


def _written(engine: Engine, identifier: str) -> int:
    """What a container has written, over its image."""
    return used(engine.home / "containers" / identifier / "upper")


def _volumes(engine: Engine) -> Usage:
    total = active = taken = idle = 0
    for volume in engine.volumes.list():
        length = used(volume.path)
        total, taken = total + 1, taken + length
        if engine.uses_of_volume(volume.name):
            active += 1
        else:
            idle += length
    return Usage("Local Volumes", total, active, taken, idle)


def _verbose(engine: Engine) -> str:
    now = time.time()
    everyone = engine.images.list()
    owners: dict[str, int] = {}
    for image in everyone:
        for layer in image.layers:
            owners[layer.chain_id] = owners.get(layer.chain_id, 0) + 1
    images = [
        [
            ", ".join(image.references) or "<none>",
            image.id.short,
            _age(image, now),
            size(image.size),
            size(sum(layer.size for layer in image.layers if owners[layer.chain_id] > 1)),
            size(sum(layer.size for layer in image.layers if owners[layer.chain_id] == 1)),
            str(len(engine.uses_of_image(image.id))),
        ]
        for image in everyone
    ]
    containers = [
        [made.id[:12], made.spec.image, made.name, str(state.status), size(_written(engine, made.id))]
        for made, state in engine.containers(all=True)
    ]
    volumes = [
        [volume.name, str(len(engine.uses_of_volume(volume.name))), size(used(volume.path))]
        for volume in engine.volumes.list()
    ]
    headings = ("NAMES", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
    return (
        f"Images space usage:\n\n{table(headings, images)}"
        f"\nContainers space usage:\n\n{table(('CONTAINER ID', 'IMAGE', 'NAME', 'STATUS', 'SIZE'), containers)}"
        f"\nLocal Volumes space usage:\n\n{table(('VOLUME NAME', 'LINKS', 'SIZE'), volumes)}"
    )


def _age(image: Image, now: float) -> str:
    created = selection.moment(image.created)
    return ago(created, now) if created is not None else "N/A"


def _prune(arguments: Arguments, home: str) -> int:
    """Containers that do not run, networks nobody is in, images without a name; volumes only when asked for."""
    engine = open_engine(home)
    filters = arguments.texts("filter")
    if any(text.partition("=")[0].rstrip("!") not in ("label", "until") for text in filters):
        raise UsageError("--filter takes label=…, label!=… and until=…")
    if arguments.flag("volumes") and any(text.startswith("until=") for text in filters):
        raise UsageError("--filter until=… is not for volumes", hint="leave out --volumes")
    reclaim(engine)
    freed = _prune_containers(engine, filters)
    if arguments.flag("volumes"):
        freed += _prune_volumes(engine, filters, everything=False)
    _prune_networks(engine, filters)
    bytes_, lines = image_verbs.prune(engine, filters, everything=arguments.flag("all"))
    if lines:
        say("Deleted Images:\n" + "".join(f"{line}\n" for line in lines) + "\n")
    say(f"Total reclaimed space: {size(freed + bytes_)}\n")
    return 0


def _fits(labels: dict[str, str], created: float, filters: tuple[str, ...]) -> bool:
    for text in filters:
        key, _, value = text.partition("=")
        if key == "until" and created >= selection.point(value, time.time()):
            return False
        if key == "label" and not values.has_label(labels, value):
            return False
        if key == "label!" and values.has_label(labels, value):
            return False
    return True


def _prune_containers(engine: Engine, filters: tuple[str, ...]) -> int:
    freed = 0
    gone: list[str] = []
    for made, state in engine.containers(all=True):
        if state.status is Status.RUNNING or not _fits(dict(made.spec.labels), made.created, filters):
            continue
        length = _written(engine, made.id)
        try:
            engine.remove(made.id)
        except (ConflictError, NotFoundError):  # started or removed meanwhile
            continue
        freed += length
        gone.append(made.id)
    if gone:
        say("Deleted Containers:\n" + "".join(f"{name}\n" for name in gone) + "\n")
    return freed


def _prune_networks(engine: Engine, filters: tuple[str, ...]) -> None:
    from sandbox.network.predefined import PREDEFINED  # noqa: PLC0415

    gone: list[str] = []
    for network in engine.networks.list():
        if network.name in PREDEFINED or not _fits(dict(network.labels), network.created, filters):
            continue
        try:
            engine.networks.remove(network.name)
        except (ConflictError, NotFoundError):  # in use, or removed meanwhile
            continue
        gone.append(network.name)
    if gone:
        say("Deleted Networks:\n" + "".join(f"{name}\n" for name in gone) + "\n")


def _prune_volumes(engine: Engine, filters: tuple[str, ...], *, everything: bool) -> int:
    freed = 0
    gone: list[str] = []
    for volume in engine.volumes.list():
        if not (volume.anonymous or everything) or not _fits(dict(volume.labels), volume.created, filters):
            continue
        length = used(volume.path)
        try:
            engine.volumes.remove(volume.name, engine.uses_of_volume)
        except (ConflictError, NotFoundError):
            continue
        freed += length
        gone.append(volume.name)
    if gone:
        say("Deleted Volumes:\n" + "".join(f"{name}\n" for name in gone) + "\n")
    return freed


VERBS = {
    "system df": Verb(
        Syntax(
            "show what images, containers and volumes take on the disk",
            "",
            (FORMAT, Option(("-v", "--verbose"), "each of them")),
        ),
        _df,
    ),
    "system prune": Verb(
        Syntax(
            "remove ended containers, unused networks and images without a name",
            "",
            (
                Option(("-a", "--all"), "also images with a name that no container uses"),
                Option(("--filter",), "only those that fit: until=24h, label=…, label!=…", "KEY=VALUE", many=True),
                Option(("-f", "--force"), "for docker's sake: nothing is asked anyway"),
                Option(("--volumes",), "also volumes without a name that no container mounts"),
            ),
        ),
        _prune,
    ),
}
