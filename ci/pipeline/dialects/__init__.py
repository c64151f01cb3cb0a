"""The front ends: each reads the nodes of one kind of pipeline file into Documents.

A dialect knows its keys and their shapes; what they mean together (`lint`, `compile`) is the same for all, and where it
differs, a value of the Document's `rules`. Which dialect a file has is told by its name: `.drone.yml`,
`.woodpecker.yml` and the files in `.woodpecker`, and everything else is our own, `.ci.yml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import Document
    from ci.pipeline.nodes import Node


class Dialect(NamedTuple):
    """A front end: `read` makes Documents of nodes; `whole_file` is that of its rules."""

    name: str
    read: Callable[[Sequence[Node], Report, str], tuple[Document, ...]]
    whole_file: bool
    includes: bool = False  # its lists of steps may name templates


def of(filename: str) -> Dialect:
    """The dialect of a file of this name."""
    folder, _, name = filename.replace("\\", "/").rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if dot and extension in {"yml", "yaml"}:
        if stem == ".drone":
            from ci.pipeline.dialects import drone  # noqa: PLC0415  (one front end is enough for one file)

            return Dialect("drone", lambda nodes, report, _: drone.read(nodes, report), whole_file=True)
        if stem == ".woodpecker" or folder.rpartition("/")[2] == ".woodpecker":
            from ci.pipeline.dialects import woodpecker  # noqa: PLC0415

            return Dialect("woodpecker", woodpecker.read, whole_file=True)
    from ci.pipeline.dialects import hako  # noqa: PLC0415

    return Dialect("hako", lambda nodes, report, _: hako.read(nodes, report), whole_file=False, includes=True)
