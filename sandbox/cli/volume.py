"""`sandbox volume`: create, list, look at and remove volumes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sandbox.cli import values
from sandbox.cli.listing import FORMAT, QUIET, listing
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.session import for_each, open_engine
from sandbox.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.cli.options import Arguments
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.volumes import Volume

_HEADINGS = {"Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS"}
_FILTERS = ("name", "label", "dangling")


def _create(arguments: Arguments, home: str) -> int:
    labels = values.labels(arguments.texts("label"), "--label")
    volumes = open_engine(home).volumes
    name = arguments.operands[0] if arguments.operands else arguments.text("name") or os.urandom(32).hex()
    say(f"{volumes.create(name, labels, anonymous=not (arguments.operands or arguments.given('name'))).name}\n")
    return 0


def _list(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    rows = [row(volume) for volume in engine.volumes.list() if _wanted(engine, volume, arguments.texts("filter"))]
    if arguments.flag("quiet"):
        say("".join(f"{found['Name']}\n" for found in rows))
    else:
        say(listing(rows, _HEADINGS, ("Driver", "Name"), arguments))
    return 0


def row(volume: Volume) -> dict[str, str]:
    """A volume in docker's fields."""
    labels = ",".join(f"{name}={value}" for name, value in volume.labels.items())
    return {"Driver": "local", "Name": volume.name, "Mountpoint": str(volume.path), "Labels": labels}


def _wanted(engine: Engine, volume: Volume, filters: tuple[str, ...]) -> bool:
    for text in filters:
        key, _, value = text.partition("=")
        if key not in _FILTERS:
            raise UsageError(f"--filter {text!r} is unknown", hint=f"one of: {', '.join(_FILTERS)}")
        if key == "name" and not values.fits(volume.name, value):
            return False
        if key == "dangling" and (not engine.uses_of_volume(volume.name)) != (value in ("true", "1")):
            return False
        if key == "label" and not values.has_label(volume.labels, value):
            return False
    return True


def _inspect(arguments: Arguments, home: str) -> int:
    volumes = open_engine(home).volumes
    found = [describe(volumes.get(name)) for name in arguments.operands]
    if arguments.given("format"):
        from sandbox.cli.template import Template  # noqa: PLC0415  (brings regular expressions)

        template = Template(arguments.text("format"))
        say("".join(f"{template.render(item)}\n" for item in found))
    else:
        say(json.dumps(found, indent=4, ensure_ascii=False) + "\n")
    return 0


def describe(volume: Volume) -> dict[str, Any]:
    """A volume in docker's shape (Engine API, Volume)."""
    from sandbox.runtime.inspect import moment  # noqa: PLC0415  (brings datetime)

    return {
        "CreatedAt": moment(volume.created),
        "Driver": "local",
        "Labels": dict(volume.labels),
        "Mountpoint": str(volume.path),
        "Name": volume.name,
        "Options": {},
        "Scope": "local",
    }


def _remove(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)

    def remove(name: str) -> str | None:
        try:
            engine.volumes.remove(name, engine.uses_of_volume)
        except NotFoundError:
            if not arguments.flag("force"):
                raise
        return None

    return for_each(arguments.operands, remove)


def _prune(arguments: Arguments, home: str) -> int:
    """Docker's: those without a name that nobody mounts; with --all those with one, too."""
    from sandbox.cli.table import size  # noqa: PLC0415

    engine = open_engine(home)
    freed = 0
    for volume in engine.volumes.list():
        if not (volume.anonymous or arguments.flag("all")) or engine.uses_of_volume(volume.name):
            continue
        if not _wanted(engine, volume, arguments.texts("filter")):
            continue
        held = used(volume.path)
        try:
            engine.volumes.remove(volume.name, engine.uses_of_volume)
        except (ConflictError, NotFoundError):  # taken or removed meanwhile
            continue
        freed += held
        say(f"{volume.name}\n")
    say(f"Total reclaimed space: {size(freed)}\n")
    return 0


def used(root: Path) -> int:
    """The bytes that the files below a directory take on the disk."""
    total = 0
    for directory, names, files in os.walk(root, followlinks=False):
        for name in (*names, *files):
            try:
                total += os.lstat(f"{directory}/{name}").st_blocks * 512
            except OSError:
                continue
    return total


_FILTER = Option(("-f", "--filter"), "only those that fit: name=…, label=…, dangling=true", "KEY=VALUE", many=True)

VERBS = {
    "volume create": Verb(
        Syntax(
            "create a volume, under a made-up name where none is given",
            "[NAME]",
            (Option(("--label",), "a label", "NAME[=VALUE]", many=True), Option(("--name",), "its name", "NAME")),
        ),
        _create,
    ),
    "volume ls": Verb(Syntax("list volumes", "", (_FILTER, FORMAT, QUIET)), _list),
    "volume inspect": Verb(
        Syntax(
            "print everything about volumes, as JSON",
            "VOLUME...",
            (Option(("-f", "--format"), "a template such as '{{.Mountpoint}}'", "FORMAT"),),
        ),
        _inspect,
    ),
    "volume rm": Verb(
        Syntax("remove volumes", "VOLUME...", (Option(("-f", "--force"), "no error if there is none"),)), _remove
    ),
    "volume prune": Verb(
        Syntax(
            "remove volumes without a name that no container mounts",
            "",
            (
                Option(("-a", "--all"), "also those with a name"),
                Option(("--filter",), "only those that fit: label=…", "KEY=VALUE", many=True),
                Option(("-f", "--force"), "for docker's sake: nothing is asked anyway"),
            ),
        ),
        _prune,
    ),
}
