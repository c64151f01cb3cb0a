"""What an image is, in docker's shape: `image inspect` and `history`, for the command line and the Remote API.

Source: Docker Engine API, ImageInspect and HistoryResponseItem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.image.config import dump
from sandbox.image.manifest import parse_document
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from sandbox.image.image import Image
    from sandbox.image.store import ImageStore

MISSING = "<missing>"


class HistoryLine(NamedTuple):
    """A step that made the image; `id` is the image's on the youngest, whose steps before have none."""

    id: str
    created: str  # RFC 3339, or empty
    created_by: str
    size: int  # bytes of its layer's files
    comment: str
    tags: tuple[str, ...]


def describe(store: ImageStore, image: Image) -> dict[str, Any]:
    """An image in docker's shape."""
    document = parse_document(store.content.read(image.id))
    tags = [name for name in image.references if "@" not in name]
    lowers = [str(path) for path in store.snapshots.lowers(image)]
    data = {"UpperDir": lowers[0]} if lowers else {}
    if lowers[1:]:
        data["LowerDir"] = ":".join(lowers[1:])
    return {
        "Id": str(image.id),
        "RepoTags": tags,
        "RepoDigests": digests(image),
        "Parent": "",
        "Comment": document.history[-1].comment if document.history else "",
        "Created": image.created,
        "DockerVersion": _text(document.unknown.get("docker_version")),
        "Author": _text(document.unknown.get("author")),
        "Architecture": image.architecture,
        "Variant": _text(document.unknown.get("variant")),
        "Os": image.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Name": "overlay", "Data": data},
        "RootFS": {"Type": "layers", "Layers": [str(layer.diff_id) for layer in image.layers]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": {"digest": str(image.manifest_digest)},
        "Config": dump(image.config),
    }


def digests(image: Image) -> list[str]:
    """The image's names by its manifest's digest, one for each repository."""
    repositories = dict.fromkeys(repository(name) for name in image.references)
    return [f"{name}@{image.manifest_digest}" for name in repositories]


def repository(name: str) -> str:
    """A familiar reference without tag and digest."""
    head, slash, last = name.partition("@")[0].rpartition("/")
    return head + slash + last.partition(":")[0]


def history(store: ImageStore, image: Image) -> tuple[HistoryLine, ...]:
    """How the image was made, the youngest step first. Steps that an image does not tell are left out, as docker does;
    layers that it tells nothing of are shown as steps without a text.
    """
    document = parse_document(store.content.read(image.id))
    layers = list(image.layers)
    lines: list[HistoryLine] = []
    for entry in document.history:
        size = 0 if entry.empty_layer or not layers else layers.pop(0).size
        lines.append(HistoryLine(MISSING, entry.created, entry.created_by, size, entry.comment, ()))
    lines += [HistoryLine(MISSING, image.created, "", layer.size, "", ()) for layer in layers]
    if lines:
        lines[-1] = lines[-1]._replace(id=str(image.id), tags=image.references)
    return tuple(reversed(lines))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
