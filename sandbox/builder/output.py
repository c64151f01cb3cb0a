"""`--output`: where the files of a target go when no image is wanted of it.

`-o DIRECTORY` and `type=local,dest=DIRECTORY` write them to a folder, as the caller's own; `-o -` and
`type=tar,dest=FILE` make an archive with their owners. Source: docker's manual of `docker buildx build`, "--output".
"""

from __future__ import annotations

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

    LOCAL = "local"
    TAR = "tar"


class Output(NamedTuple):
    """A kind, and the path of a folder or file; `-` is standard output."""

    kind: OutputKind
    destination: str


def parse_output(text: str) -> Output:
    """What an option says. InvalidError for kinds that there are not."""
    if text == "-":
        return Output(OutputKind.TAR, "-")
    if "=" not in text:
        return Output(OutputKind.LOCAL, text)
    fields = dict(field.partition("=")[::2] for field in text.split(","))
    kind, destination = fields.pop("type", ""), fields.pop("dest", "")
    if kind not in tuple(OutputKind) or fields:
        raise InvalidError(
            f"--output {text!r} is not understood",
            hint="write type=local,dest=FOLDER or type=tar,dest=FILE; for the image there is sandbox save",
        )
    if not destination and kind == OutputKind.LOCAL:
        raise InvalidError(f"--output {text!r} names no folder", hint="add dest=FOLDER")
    return Output(OutputKind(kind), destination or "-")


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
