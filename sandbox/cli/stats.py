"""`sandbox stats`: what containers use, as it goes on."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.cli.listing import WHOLE
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine
from sandbox.cli.table import size, table
from sandbox.errors import ConflictError, NotFoundError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.cli.options import Arguments
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.usage import Counts, Usage

_HEADINGS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
    "Container": "CONTAINER",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_PAUSE = 1.0  # seconds between two lists
_FIRST = 0.25  # seconds until the first: shares need two looks
_CLEAR = "\033[2J\033[H"


def _stats(arguments: Arguments, home: str) -> int:
    from sandbox.runtime import usage  # noqa: PLC0415

    engine = open_engine(home)
    names, whole = arguments.operands, arguments.flag("no-trunc")
    for name in names:
        engine.config(name)  # one that is not there is an error, one that has ended shows nothing
    show = _Writer(arguments)
    live = os.isatty(1) and not arguments.flag("no-stream")
    before = _look(engine, names, everyone=arguments.flag("all"))
    time.sleep(_FIRST)
    while True:
        now = _look(engine, names, everyone=arguments.flag("all"))
        rows = []
        for identifier, (config, counts) in now.items():
            _, earlier = before.get(identifier, (config, None))
            used = usage.between(earlier, counts) if earlier and counts else None
            rows.append(row(config, used, whole=whole))
        say((_CLEAR if live else "") + show(rows))
        if arguments.flag("no-stream") or not (now or live):
            return 0
        before = now
        time.sleep(_PAUSE)


def _look(engine: Engine, names: Sequence[str], *, everyone: bool) -> dict[str, tuple[ContainerConfig, Counts | None]]:
    """The counts of each container; None for one that does not run."""
    from sandbox.runtime import usage  # noqa: PLC0415

    found: dict[str, tuple[ContainerConfig, Counts | None]] = {}
    wanted = set(names)
    listed = engine.containers(all=everyone or bool(names))
    if wanted:
        ids = set()
        for name in wanted:
            with suppress(NotFoundError):
                ids.add(engine.config(name).id)
        listed = [(config, state) for config, state in listed if config.id in ids]
    for config, state in listed:
        counts = None
        with suppress(ConflictError, NotFoundError, SandboxError):
            counts = usage.look(engine.statistics(config.id), state.pid)
        found[config.id] = (config, counts)
    return found


def row(config: ContainerConfig, used: Usage | None, *, whole: bool) -> dict[str, str]:
    """One container in docker's fields; what does not run uses nothing."""
    identifier = config.id if whole else config.id[:12]
    start = {"ID": identifier, "Container": identifier, "Name": config.name}
    if used is None:
        nothing = dict.fromkeys(("CPUPerc", "MemPerc", "PIDs"), "--")
        return start | nothing | dict.fromkeys(("MemUsage", "NetIO", "BlockIO"), "-- / --")
    return start | {
        "CPUPerc": f"{used.processor:.2f}%",
        "MemUsage": f"{binary(used.memory)} / {binary(used.memory_limit)}",
        "MemPerc": f"{used.memory_share:.2f}%",
        "NetIO": f"{size(used.received)} / {size(used.sent)}",
        "BlockIO": f"{size(used.read)} / {size(used.written)}",
        "PIDs": str(used.tasks),
    }


def binary(count: float) -> str:
    """Bytes with a binary unit and four figures, as docker: `1.945MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.4g}{unit}"


class _Writer:
    """Turns rows into text, by --format."""

    def __init__(self, arguments: Arguments) -> None:
        self._form = arguments.text("format", "table")
        self._template = None
        if self._form not in ("table", "json"):
            from sandbox.cli.template import Template  # noqa: PLC0415  (brings regular expressions)

            self._template = Template(self._form.removeprefix("table "))

    def __call__(self, rows: Sequence[Mapping[str, str]]) -> str:
        if self._form == "json":
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if self._template is None:
            return table([_HEADINGS[key] for key in _COLUMNS], [[row[key] for key in _COLUMNS] for row in rows])
        lines = [self._template.render(row) for row in rows]
        if not self._form.startswith("table "):
            return "".join(f"{line}\n" for line in lines)
        return table(self._template.render(_HEADINGS).split("\t"), [line.split("\t") for line in lines])


VERBS = {
    "stats": Verb(
        Syntax(
            "print what containers use, every second",
            "[CONTAINER...]",
            (
                Option(("-a", "--all"), "also those that do not run"),
                Option(("--format",), "table, json, or a template such as '{{.Name}} {{.CPUPerc}}'", "FORMAT"),
                Option(("--no-stream",), "once, then end"),
                WHOLE,
            ),
        ),
        _stats,
    )
}
