"""`--output`: what is made of a target, and where it goes.

`-o DIRECTORY` and `type=local,dest=DIRECTORY` write its files to a folder, as the caller's own; `-o -` and
`type=tar,dest=FILE` make an archive with their owners. Images go into the store (`image`, `docker`), into an archive
for `docker load` (`docker,dest=FILE`) or an OCI layout (`oci,dest=FILE`, with `tar=false` a folder).
Source: docker's manual of `docker buildx build`, "--output".
"""

from __future__ import annotations

import csv
import os
from enum import StrEnum
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.image.extract import Extractor, Host
from sandbox.image.limits import Limits
from sandbox.image.lower import LowerLayers
from sandbox.image.tarformat import Kind
from sandbox.image.tarwriter import TarWriter
from sandbox.image.unpack import in_user_namespace
from sandbox.kernel.paths import Root
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.image.tree import Entries


class OutputKind(StrEnum):
    """What is made."""

    LOCAL = "local"  # files in a folder
    TAR = "tar"  # files in an archive
    OCI = "oci"  # an OCI layout, in an archive or a folder
    DOCKER = "docker"  # an archive for docker load, or the store
    IMAGE = "image"  # the store


class Output(NamedTuple):
    """A kind, and the path of a folder or file; `-` is standard output, empty the store.

    With `folder` a layout is not put into an archive. `names` are further names of the image. `rewrite_times` is
    `rewrite-timestamp`.
    """

    kind: OutputKind
    destination: str
    folder: bool = False
    rewrite_times: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_files(self) -> bool:
        """Whether no image is wanted."""
        return self.kind in (OutputKind.LOCAL, OutputKind.TAR)


def parse_output(text: str) -> Output:
    """What an option says. InvalidError for kinds that there are not."""
    if text == "-":
        return Output(OutputKind.TAR, "-")
    if "=" not in text:
        return Output(OutputKind.LOCAL, text)
    fields = dict(field.partition("=")[::2] for field in next(csv.reader([text])))
    kind, destination = fields.pop("type", ""), fields.pop("dest", "")
    names = tuple(name for name in fields.pop("name", "").split(",") if name)
    archive = fields.pop("tar", "true").lower()
    rewrite = fields.pop("rewrite-timestamp", "false").lower()
    if kind not in tuple(OutputKind) or fields or not {archive, rewrite} <= {"true", "false"}:
        raise InvalidError(
            f"--output {text!r} is not understood",
            hint=f"write type=KIND,dest=PATH with one of the kinds {', '.join(OutputKind)}",
        )
    output = Output(OutputKind(kind), destination, archive == "false", rewrite == "true", names)
    if output.folder and output.kind is not OutputKind.OCI:
        raise InvalidError(f"--output {text!r}: tar=false is for type=oci")
    if not destination and (output.kind is OutputKind.LOCAL or output.folder):
        raise InvalidError(f"--output {text!r} names no folder", hint="add dest=FOLDER")
    if destination and output.kind is OutputKind.IMAGE:
        raise InvalidError(f"--output {text!r}: an image in the store has no dest", hint="type=docker has one")
    if not destination and output.kind in (OutputKind.TAR, OutputKind.OCI):
        output = output._replace(destination="-")
    return output


def write_folder(entries: Entries, folder: Path, *, keep_owners: bool = False) -> None:
    """Put the files into a folder, which is made where missing, beside what is in it.

    They belong to the caller unless they are to keep their owners.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = Host(user_namespace=in_user_namespace(), uid=os.geteuid(), gid=os.getegid())
    with (
        LowerLayers((), "") as nothing,
        Root(folder) as root,
        Extractor(root, nothing, host, most=Limits().entries) as extractor,
    ):
        for entry, data in entries:
            if entry.kind not in (Kind.CHARACTER, Kind.BLOCK):
                extractor.add(entry if keep_owners else entry._replace(uid=host.uid, gid=host.gid), data)
        extractor.finish()


def write_archive(entries: Entries, write: Callable[[bytes | memoryview], object]) -> None:
    """Write the files as a tar."""
    writer = TarWriter(write)
    for entry, data in entries:
        writer.add(entry, data())
    writer.close()
