"""What stages stand on: layers and settings, of an image in the store or of a stage that was built, and their
history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.builder.keys import base_key
from sandbox.image.config import ImageConfig
from sandbox.image.manifest import HistoryEntry, parse_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.image.image import Image, LayerRecord
    from sandbox.image.store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A stage as far as it is built. `key` stands for its files; `created` is when its last step was done.

    `args` are the stage's arguments, which a stage on top of it has too. `architecture` is the base image's; empty for
    `scratch`, which is for every one.
    """

    layers: tuple[LayerRecord, ...]
    config: ImageConfig
    key: str
    history: tuple[HistoryEntry, ...]
    created: str
    author: str
    args: Mapping[str, str]
    inherited: int = 0  # layers that are the base image's
    architecture: str = ""

    def changed(self, config: ImageConfig, created_by: str, *, author: str = "") -> Result:
        """With other settings, and a line of history for that."""
        author = author or self.author
        entry = HistoryEntry(created=self.created, created_by=created_by, comment=COMMENT, empty_layer=True)
        return replace(self, config=config, history=(*self.history, entry), author=author)

    def stacked(self, layer: LayerRecord | None, key: str, created_by: str, created: str) -> Result:
        """With one more layer, or with a step that changed nothing."""
        entry = HistoryEntry(created=created, created_by=created_by, comment=COMMENT, empty_layer=layer is None)
        layers = (*self.layers, layer) if layer is not None else self.layers
        return replace(self, layers=layers, key=key, history=(*self.history, entry), created=created)


COMMENT = "hako.dockerfile"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def scratch(created: str) -> Result:
    """The empty image. It has a PATH, as BuildKit's."""
    config = ImageConfig(environment={"PATH": _PATH})
    return Result(layers=(), config=config, key=base_key(()), history=(), created=created, author="", args={})


def of_image(store: ImageStore, image: Image) -> Result:
    """An image's. What it says of ONBUILD is for the caller."""
    document = parse_document(store.content.read(image.id))
    environment = {"PATH": _PATH, **image.config.environment}
    return Result(
        layers=image.layers,
        config=image.config._replace(environment=environment),
        key=base_key([layer.diff_id for layer in image.layers]),
        history=document.history,
        created=image.created,
        author=str(document.unknown.get("author", "")),
        args={},
        inherited=len(image.layers),
        architecture=image.architecture,
    )
