"""`sandbox images`, `rmi`, `tag`, `history` and `image prune`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.cli.listing import FORMAT, QUIET, WHOLE, listing
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import for_each, open_engine
from sandbox.cli.table import ago, shortened, size
from sandbox.image import selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox.cli.options import Arguments
    from sandbox.image.image import Image
    from sandbox.image.store import Removed
    from sandbox.runtime.engine import Engine

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
_WITH_DIGESTS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
_HISTORY_HEADINGS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_HISTORY_COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
_NONE = "<none>"
_HUMAN = Option(("-H", "--human"), "sizes and times for people (default true)")


def _images(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    now = time.time()
    wanted = selection.parse(
        arguments.texts("filter"),
        known=selection.LISTING,
        now=now,
        created=lambda name: engine.images.get(name).created,
    )
    if arguments.operands:
        wanted = wanted._replace(references=(*wanted.references, arguments.operands[0]))
    everyone = engine.images.list()
    if not arguments.flag("quiet") and arguments.text("format", "table") == "table":
        columns = _WITH_DIGESTS if arguments.flag("digests") else _COLUMNS
    else:
        columns = _COLUMNS
    rows = [
        row
        for image in everyone
        if wanted.fits(image)
        for row in rows_of(image, now, whole=arguments.flag("no-trunc"), names=wanted.names(image))
    ]
    if arguments.flag("quiet"):
        rows = list({row["ID"]: row for row in rows}.values())
    say(listing(rows, _HEADINGS, columns, arguments))
    return 0


def rows_of(image: Image, now: float, *, whole: bool, names: Iterable[str]) -> Iterator[dict[str, str]]:
    """One row for each of `names`, or one without a name, in docker's fields."""
    created = selection.moment(image.created)
    for name in tuple(names) or ("",):
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


def _split(name: str) -> tuple[str, str]:
    """Repository and tag of a familiar reference; one with a digest has no tag."""
    if not name:
        return _NONE, _NONE
    if "@" in name:
        return name.partition("@")[0], _NONE
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, tag


def _remove(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    force = arguments.flag("force")

    def remove(name: str) -> str:
        removed = engine.images.remove(name, force=force, in_use=engine.uses_of_image)
        return "\n".join(_said(removed))

    return for_each(arguments.operands, remove)


def _tag(arguments: Arguments, home: str) -> int:
    name, reference = arguments.operands
    open_engine(home).images.tag(name, reference)
    return 0


def _history(arguments: Arguments, home: str) -> int:
    from sandbox.image.description import history  # noqa: PLC0415

    images = open_engine(home).images
    now = time.time()
    whole, human = arguments.flag("no-trunc"), arguments.flag("human", default=True)
    rows = []
    for line in history(images, images.get(arguments.operands[0])):
        created = selection.moment(line.created)
        age = ago(created, now) if created is not None else "N/A"
        rows.append(
            {
                "ID": line.id if whole else line.id.removeprefix("sha256:")[:12],
                "CreatedSince": age if human else line.created,
                "CreatedAt": line.created,
                "CreatedBy": _one_line(line.created_by, whole=whole),
                "Size": size(line.size) if human else str(line.size),
                "Comment": _one_line(line.comment, whole=True),
            }
        )
    say(listing(rows, _HISTORY_HEADINGS, _HISTORY_COLUMNS, arguments))
    return 0


def _one_line(text: str, *, whole: bool) -> str:
    text = " ".join(text.split())
    return text if whole else shortened(text, 45)


def _prune(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    freed, lines = prune(engine, arguments.texts("filter"), everything=arguments.flag("all"))
    if lines:
        say("Deleted Images:\n" + "".join(f"{line}\n" for line in lines) + "\n")
    say(f"Total reclaimed space: {size(freed)}\n")
    return 0


def prune(engine: Engine, filters: Iterable[str], *, everything: bool) -> tuple[int, list[str]]:
    """Delete the images without a name, or with `everything` all that no container uses; bytes, and lines to print."""
    wanted = selection.parse(filters, known=selection.PRUNING, now=time.time(), created=lambda _: None)
    if wanted.dangling is None:
        wanted = wanted._replace(dangling=None if everything else True)
    elif not wanted.dangling:  # docker's `dangling=false` means all
        wanted = wanted._replace(dangling=None)
    removed = engine.images.prune(wanted.fits, in_use=engine.uses_of_image)
    return removed.freed, _said(removed)


def _said(removed: Removed) -> list[str]:
    return [f"Untagged: {text}" for text in removed.untagged] + [f"Deleted: {text}" for text in removed.deleted]


VERBS = {
    "images": Verb(
        Syntax(
            "list images",
            "[REPOSITORY[:TAG]]",
            (
                Option(("-a", "--all"), "all of them, as without it"),
                Option(("--digests",), "with the digests of their manifests"),
                Option(
                    ("-f", "--filter"),
                    "only those that fit: dangling=true, label=…, reference=…",
                    "KEY=VALUE",
                    many=True,
                ),
                FORMAT,
                WHOLE,
                QUIET,
            ),
        ),
        _images,
    ),
    "rmi": Verb(
        Syntax(
            "remove images",
            "IMAGE...",
            (
                Option(("-f", "--force"), "all its names, even while containers use it"),
                Option(("--no-prune",), "for docker's sake: there are no parents that nobody named"),
            ),
        ),
        _remove,
    ),
    "history": Verb(
        Syntax("show how an image was made", "IMAGE", (FORMAT, _HUMAN, WHOLE, QUIET)),
        _history,
    ),
    "image prune": Verb(
        Syntax(
            "remove images without a name that no container uses",
            "",
            (
                Option(("-a", "--all"), "also those with a name"),
                Option(("--filter",), "only those that fit: until=24h, label=…, label!=…", "KEY=VALUE", many=True),
                Option(("-f", "--force"), "for docker's sake: nothing is asked anyway"),
            ),
        ),
        _prune,
    ),
    "tag": Verb(Syntax("give an image a further name", "IMAGE NAME[:TAG]"), _tag),
}
# docker's longer words for the same
VERBS |= {"image ls": VERBS["images"], "image rm": VERBS["rmi"], "image tag": VERBS["tag"]}
VERBS["image history"] = VERBS["history"]
