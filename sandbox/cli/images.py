"""`sandbox images`, `rmi` and `tag`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.cli.listing import FORMAT, QUIET, WHOLE, listing
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import for_each, open_engine
from sandbox.cli.table import ago, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cli.options import Arguments
    from sandbox.image.image import Image

_HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Digest": "DIGEST",
    "Size": "SIZE",
}
_COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
_NONE = "<none>"


def _images(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    now = time.time()
    rows = [
        row
        for image in engine.images.list()
        for row in rows_of(image, now, whole=arguments.flag("no-trunc"))
        if not arguments.operands or _matches(row, arguments.operands[0])
    ]
    say(listing(rows, _HEADINGS, _COLUMNS, arguments))
    return 0


def rows_of(image: Image, now: float, *, whole: bool) -> Iterator[dict[str, str]]:
    """One row for each name of an image, in docker's fields."""
    created = moment(image.created)
    for name in image.references or ("",):
        repository, tag = _split(name)
        yield {
            "ID": str(image.id) if whole else image.id.short,
            "Repository": repository,
            "Tag": tag,
            "Digest": str(image.manifest_digest),
            "CreatedSince": ago(created, now) if created is not None else "N/A",
            "CreatedAt": image.created,
            "Size": size(image.size),
        }


def moment(text: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 text."""
    from datetime import datetime  # noqa: PLC0415  (only lists of images need it)

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _split(name: str) -> tuple[str, str]:
    """Repository and tag of a familiar reference; one with a digest has no tag."""
    if not name:
        return _NONE, _NONE
    if "@" in name:
        return name.partition("@")[0], _NONE
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, tag


def _matches(row: dict[str, str], wanted: str) -> bool:
    repository, tag = _split(wanted)
    return row["Repository"] == repository and tag in ("", row["Tag"])


def _remove(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    force = arguments.flag("force")

    def remove(name: str) -> str:
        removed = engine.images.remove(name, force=force, in_use=engine.uses_of_image)
        lines = [f"Untagged: {text}" for text in removed.untagged] + [f"Deleted: {text}" for text in removed.deleted]
        return "\n".join(lines)

    return for_each(arguments.operands, remove)


def _tag(arguments: Arguments, home: str) -> int:
    name, reference = arguments.operands
    open_engine(home).images.tag(name, reference)
    return 0


VERBS = {
    "images": Verb(
        Syntax(
            "list images",
            "[REPOSITORY[:TAG]]",
            (Option(("-a", "--all"), "all of them, as without it"), FORMAT, WHOLE, QUIET),
        ),
        _images,
    ),
    "rmi": Verb(
        Syntax(
            "remove images",
            "IMAGE...",
            (Option(("-f", "--force"), "take its names even while containers use it"),),
        ),
        _remove,
    ),
    "tag": Verb(Syntax("give an image a further name", "IMAGE NAME[:TAG]"), _tag),
}
