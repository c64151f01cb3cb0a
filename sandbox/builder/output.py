"""`--output`: what is made of a target, and where it goes. Pure.

`-o DIRECTORY` and `type=local,dest=DIRECTORY` write its files to a folder, as the caller's own; `-o -` and
`type=tar,dest=FILE` make an archive with their owners. Images go into the store (`image`, `docker`), to registries
(`image,push=true`, `registry`), into an archive for `docker load` (`docker,dest=FILE`) or an OCI layout
(`oci,dest=FILE`, with `tar=false` a folder). Source: docker's manual of `docker buildx build`, "--output"; BuildKit's
README, "Image/Registry".
"""

from __future__ import annotations

import csv
from enum import StrEnum
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.records import NamedTuple
from sandbox.registry.client.compression import Packed, parse_form

if TYPE_CHECKING:
    from collections.abc import Mapping

_REGISTRY = "registry"  # another word for an image that is pushed
_SO_ANYWAY = ("oci-mediatypes", "name-canonical", "unpack", "store")  # what may be asked for, and is so
_ANNOTATION = ("annotation.", "annotation-manifest.")


class OutputKind(StrEnum):
    """What is made."""

    LOCAL = "local"  # files in a folder
    TAR = "tar"  # files in an archive
    OCI = "oci"  # an OCI layout, in an archive or a folder
    DOCKER = "docker"  # an archive for docker load, or the store
    IMAGE = "image"  # the store, or registries


class Publication(NamedTuple):
    """How an image is pushed: its layers, whether certificates are looked at, and whether it gets no tag."""

    packed: Packed = Packed()
    verify: bool = True
    by_digest: bool = False


class Output(NamedTuple):
    """A kind, and the path of a folder or file; `-` is standard output, empty the store or a registry.

    With `folder` a layout is not put into an archive. `names` are further names of the image. `rewrite_times` is
    `rewrite-timestamp`. Without a `publication` nothing is pushed.
    """

    kind: OutputKind
    destination: str
    folder: bool = False
    rewrite_times: bool = False
    names: tuple[str, ...] = ()
    publication: Publication | None = None
    annotations: Mapping[str, str] = {}

    @property
    def is_files(self) -> bool:
        """Whether no image is wanted."""
        return self.kind in (OutputKind.LOCAL, OutputKind.TAR)

    @property
    def takes_index(self) -> bool:
        """Whether an image may be for several platforms, and have attestations."""
        return self.kind is OutputKind.OCI or self.publication is not None


def parse_output(text: str) -> Output:
    """What an option says. InvalidError for kinds that there are not, and for what does not go together."""
    if text == "-":
        return Output(OutputKind.TAR, "-")
    if "=" not in text:
        return Output(OutputKind.LOCAL, text)
    fields = _Fields(text)
    kind, destination = fields.take("type"), fields.take("dest")
    pushed = fields.flag("push") or kind == _REGISTRY
    kind = OutputKind.IMAGE if kind == _REGISTRY else kind
    if kind not in tuple(OutputKind):
        raise fields.misunderstood()
    output = Output(
        OutputKind(kind),
        destination,
        folder=not fields.flag("tar", default=True),
        rewrite_times=fields.flag("rewrite-timestamp"),
        names=tuple(name for name in fields.take("name").split(",") if name),
        annotations=fields.annotations(),
    )
    if output.kind is OutputKind.IMAGE:
        publication = fields.publication()
        output = output._replace(publication=publication if pushed else None)
    fields.end()
    if pushed and output.kind is not OutputKind.IMAGE:
        raise InvalidError(f"--output {text!r}: only images are pushed", hint="write type=image,push=true")
    if output.folder and output.kind is not OutputKind.OCI:
        raise InvalidError(f"--output {text!r}: tar=false is for type=oci")
    if not destination and (output.kind is OutputKind.LOCAL or output.folder):
        raise InvalidError(f"--output {text!r} names no folder", hint="add dest=FOLDER")
    if destination and output.kind is OutputKind.IMAGE:
        raise InvalidError(f"--output {text!r}: an image in the store has no dest", hint="type=docker has one")
    if not destination and output.kind in (OutputKind.TAR, OutputKind.OCI):
        output = output._replace(destination="-")
    return output


class _Fields:
    """The fields of an option, each taken once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._fields = dict(field.partition("=")[::2] for field in next(csv.reader([text])))

    def take(self, name: str, default: str = "") -> str:
        """A field's value."""
        return self._fields.pop(name, default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A field that is true or false."""
        value = self.take(name, str(default)).lower()
        if value not in ("true", "false"):
            raise self.misunderstood()
        return value == "true"

    def annotations(self) -> dict[str, str]:
        """Those of the manifest."""
        names = [name for name in self._fields if name.startswith(_ANNOTATION)]
        return {name.partition(".")[2]: self._fields.pop(name) for name in names}

    def publication(self) -> Publication:
        """What is said of a push."""
        for name in _SO_ANYWAY:
            if not self.flag(name, default=True):
                raise InvalidError(f"--output {self._text!r}: {name} is always so here", hint="leave it out")
        form = parse_form(self.take("compression", "gzip"), self.take("compression-level"))
        packed = Packed(form, always=self.flag("force-compression"))
        return Publication(packed, not self.flag("registry.insecure"), self.flag("push-by-digest"))

    def end(self) -> None:
        """There may be no more. InvalidError."""
        if self._fields:
            raise self.misunderstood()

    def misunderstood(self) -> InvalidError:
        """What to say of the option."""
        return InvalidError(
            f"--output {self._text!r} is not understood",
            hint=f"write type=KIND,dest=PATH with one of the kinds {', '.join((*OutputKind, _REGISTRY))}",
        )
