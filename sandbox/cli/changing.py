"""`sandbox rename` and `update`: another name, other limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.limits import OPTIONS, limits, restart
from sandbox.cli.options import Syntax, UsageError, Verb
from sandbox.cli.session import for_each, open_engine, warn

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _rename(arguments: Arguments, home: str) -> int:
    container, name = arguments.operands
    open_engine(home).rename(container, name.removeprefix("/"))
    return 0


def _update(arguments: Arguments, home: str) -> int:
    resources, policy = limits(arguments), restart(arguments)
    if not resources and policy is None:
        raise UsageError("nothing to change", hint="such as --memory 64m; `sandbox update --help` lists the options")
    engine = open_engine(home)
    return for_each(arguments.operands, lambda name: warn(engine.update(name, resources, policy)))


VERBS = {
    "rename": Verb(Syntax("give a container another name", "CONTAINER NAME"), _rename),
    "update": Verb(
        Syntax(
            "change the limits or the restart policy of containers, also of running ones",
            "CONTAINER...",
            tuple(sorted(OPTIONS, key=lambda option: option.key)),
        ),
        _update,
    ),
}
