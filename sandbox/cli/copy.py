"""`sandbox cp`: files between a container and the host, by docker's rules for what goes where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import tell, write
from sandbox.cli.session import open_engine
from sandbox.cli.table import size
from sandbox.errors import ConflictError, NotFoundError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.cli.options import Arguments
    from sandbox.runtime.inside import Files
    from sandbox.runtime.packing import Found

_CHUNK = 1 << 18


class Place(NamedTuple):
    """A directory, and the name that what is copied gets in it; empty: the contents of a directory, without itself."""

    directory: str
    name: str


def place(source: str, kind: str, destination: str, found: Callable[[str], Found]) -> Place:
    """Where `source`, of that kind, goes for a destination; `found` tells what is at a path.

    The table is docker's, `docker cp` in its manual. Raises SandboxError.
    """
    name = os.path.basename(source.rstrip("/"))  # noqa: PTH119  (a path of the container's)
    contents = kind == "directory" and name in ("", ".")
    there = found(destination).kind
    if there == "directory":
        return Place(destination, "" if contents else name)
    if there != "missing" and kind == "directory":
        raise ConflictError(f"cannot copy a directory to {destination}, which is none", reference="in-the-way")
    if there == "missing" and destination.endswith("/") and kind != "directory":
        raise NotFoundError(f"no such directory: {destination}", hint="make it first", reference="no-such-path")
    if destination.endswith("/.") and there != "directory":
        raise NotFoundError(f"no such directory: {destination}", hint="make it first", reference="no-such-path")
    parent, _, last = destination.rstrip("/").rpartition("/")
    directory = (parent or "/") if "/" in destination.rstrip("/") else "."
    if found(directory).kind != "directory":
        raise NotFoundError(f"no such directory: {directory}", hint="make it first", reference="no-such-path")
    return Place(directory, last)


def _copy(arguments: Arguments, home: str) -> int:
    source, destination = (_side(text) for text in arguments.operands)
    if bool(source[0]) == bool(destination[0]):
        where = "both are in containers" if source[0] else "none is in a container"
        raise UsageError(f"cannot copy {arguments.operands[0]} to {arguments.operands[1]}: {where}",
                         hint="write one of them as CONTAINER:PATH")  # fmt: skip
    engine = open_engine(home)
    container = source[0] or destination[0]
    engine.config(container)
    with engine.files(container) as files:
        if source[0]:
            _out(files, source[1] or "/", destination[1], arguments)
            engine.tell(container, "archive-path")
        else:
            _in(files, source[1], destination[1] or "/", arguments)
            engine.tell(container, "extract-to-dir")
    return 0


def _side(text: str) -> tuple[str, str]:
    """(container, path); no container for a path of the host, which may have a colon after a slash or a dot."""
    container, colon, path = text.partition(":")
    if not colon or "/" in container or container.startswith(".") or not container:
        return "", text
    return container, path


def _out(files: Files, source: str, destination: str, arguments: Arguments) -> None:
    follow = arguments.flag("follow-link") or source.endswith("/")
    found = files.look(source, follow=follow)
    if found.kind == "missing":
        raise NotFoundError(f"no such file or directory in the container: {source}", reference="no-such-path")
    if destination == "-":
        if os.isatty(1):
            raise UsageError("an archive is not for a terminal", hint="redirect the output to a file")
        name = os.path.basename(source.rstrip("/"))  # noqa: PTH119
        files.pack(source, "" if name in (".", "..") else name, follow=follow, take=_to_output)
        return
    from sandbox.kernel.paths import Root  # noqa: PLC0415
    from sandbox.runtime import packing, unpacking  # noqa: PLC0415
    from sandbox.runtime.inside import Stream  # noqa: PLC0415

    with Root("/") as host:
        target = place(source, found.kind, _local(destination),
                       lambda path: packing.look(host, path, follow=True))  # fmt: skip
        directory = host.open(target.directory, os.O_RDONLY | os.O_DIRECTORY)
        count = 0

        def take(descriptor: int) -> None:
            nonlocal count
            archive = arguments.flag("archive")
            count = unpacking.unpack(Stream(descriptor), directory, owners=archive, set_id=archive)

        try:
            files.pack(source, target.name, follow=follow, take=take)
        finally:
            os.close(directory)
    _told(arguments, count, destination)


def _in(files: Files, source: str, destination: str, arguments: Arguments) -> None:
    owners = arguments.flag("archive")
    if source == "-":
        if files.look(destination, follow=True).kind != "directory":
            raise NotFoundError(f"no such directory in the container: {destination}", reference="no-such-path")
        _told(arguments, files.unpack(destination, owners=owners, give=_from_input), destination)
        return
    from sandbox.kernel.paths import Root  # noqa: PLC0415
    from sandbox.runtime import packing  # noqa: PLC0415

    follow = arguments.flag("follow-link") or source.endswith("/")
    path = _local(source)
    with Root("/") as host:
        found = packing.look(host, path, follow=follow)
        if found.kind == "missing":
            raise NotFoundError(f"no such file or directory: {source}", reference="no-such-path")
        target = place(path, found.kind, destination, lambda name: files.look(name, follow=True))

        def give(descriptor: int) -> None:
            packing.pack(host, path, target.name, lambda data: write(descriptor, bytes(data)), follow=follow)

        count = files.unpack(target.directory, owners=owners, give=give)
    _told(arguments, count, destination)


def _local(path: str) -> str:
    """An absolute path of the host that keeps a slash or dot at its end."""
    end = next((end for end in ("/.", "/") if path.endswith(end) and path != "/"), "")
    if path == ".":
        end = "/."
    return str(Path(path).absolute()) + end if path != "/" else "/"


def _to_output(descriptor: int) -> None:
    while data := os.read(descriptor, _CHUNK):
        write(1, data)


def _from_input(descriptor: int) -> None:
    from sandbox.image.decompress import open_stream  # noqa: PLC0415
    from sandbox.runtime.inside import Stream  # noqa: PLC0415

    stream = open_stream(Stream(0))
    while data := stream.read(_CHUNK):
        write(descriptor, data)


def _told(arguments: Arguments, count: int, destination: str) -> None:
    if os.isatty(2) and not arguments.flag("quiet"):
        tell(f"copied {size(count)} to {destination}")


VERBS = {
    "cp": Verb(
        Syntax(
            "copy files between a container and the host; - is an archive on standard input or output",
            "CONTAINER:PATH|PATH|- CONTAINER:PATH|PATH|-",
            (
                Option(("-a", "--archive"), "keep owners and set-user-id bits"),
                Option(("-L", "--follow-link"), "copy what a link leads to, not the link"),
                Option(("-q", "--quiet"), "say nothing about it"),
            ),
        ),
        _copy,
    )
}
