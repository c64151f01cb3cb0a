"""`sandbox top`: the processes of a container."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.cli.options import Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine
from sandbox.cli.table import printable, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox.cli.options import Arguments
    from sandbox.runtime.processes import Running

_FULL = ("uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd")  # of `ps -ef`, docker's default
_HEADINGS = {"cmd": "CMD", "args": "COMMAND", "comm": "COMMAND", "ppid": "PPID", "etime": "ELAPSED", "pcpu": "%CPU"}


def _top(arguments: Arguments, home: str) -> int:
    from sandbox.runtime import processes  # noqa: PLC0415

    container, *words = arguments.operands
    columns = _columns(words)
    engine = open_engine(home)
    found = processes.look(engine.processes(container), processes.boot_time())
    now = time.time()
    headings = [_HEADINGS.get(name, name.upper()) for name in columns]
    say(table(headings, [[_COLUMNS[name](one, now) for name in columns] for one in found]))
    return 0


def _columns(words: Sequence[str]) -> tuple[str, ...]:
    """`-o pid,cmd`, or one of ps's usual sets of options, which all show the same here."""
    chosen: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-o", "-eo", "--format", "o"):
            if not rest:
                raise UsageError(f"{word} needs a list of columns", hint="such as -o pid,cmd")
            word = f"-o{rest.pop(0)}"
        if word.startswith("-o"):
            chosen += word.removeprefix("-o").lower().split(",")
        elif word.strip("-aefuxwl") != "":
            raise UsageError(f"{word!r} is not understood", hint="-o with a list of columns: -o pid,uid,cmd")
    unknown = [name for name in chosen if name not in _COLUMNS]
    if unknown:
        raise UsageError(f"no column {unknown[0]!r}", hint=f"there are: {', '.join(_COLUMNS)}")
    return tuple(chosen) or _FULL


def _used(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def _began(started: float, now: float) -> str:
    """`15:04`, and before today `Jan02`, as ps has it."""
    here = time.localtime(started)
    same = time.localtime(now)[:3] == here[:3]
    return time.strftime("%H:%M" if same else "%b%d", here)


def _share(one: Running, now: float) -> float:
    return 100 * one.used / max(now - one.started, 1.0)


_COLUMNS: dict[str, Callable[[Running, float], str]] = {
    "uid": lambda one, _: str(one.uid),
    "user": lambda one, _: str(one.uid),
    "pid": lambda one, _: str(one.pid),
    "ppid": lambda one, _: str(one.parent),
    "c": lambda one, now: str(int(_share(one, now))),
    "pcpu": lambda one, now: f"{_share(one, now):.1f}",
    "stime": lambda one, now: _began(one.started, now),
    "etime": lambda one, now: _used(now - one.started),
    "tty": lambda one, _: one.terminal,
    "time": lambda one, _: _used(one.used),
    "comm": lambda one, _: printable(one.command.partition(" ")[0].rpartition("/")[2]),
    "args": lambda one, _: printable(one.command),
    "cmd": lambda one, _: printable(one.command),
}

VERBS = {
    "top": Verb(
        Syntax(
            "print the processes of a container, by the host's numbers",
            "CONTAINER [-o] [COLUMNS...]",
            command=True,
        ),
        _top,
    )
}
