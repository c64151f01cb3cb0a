"""`sandbox start`: containers that were created, or have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.session import for_each, open_engine, warn

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _start(arguments: Arguments, home: str) -> int:
    names, interactive = arguments.operands, arguments.flag("interactive")
    if not (interactive or arguments.flag("attach")):
        engine = open_engine(home)
        return for_each(names, lambda name: warn(engine.start(name).warnings))
    if len(names) > 1:
        raise UsageError(f"only one container can be attached to, not {len(names)}")
    from sandbox.cli.attached import check_terminal, hold_signals, run_container  # noqa: PLC0415

    engine = open_engine(home)
    spec = engine.config(names[0]).spec
    check_terminal(terminal=spec.terminal, interactive=interactive)
    hold_signals()
    status = run_container(engine, names[0], terminal=spec.terminal, interactive=interactive and spec.open_stdin)
    return status.code if status is not None else 0


VERBS = {
    "start": Verb(
        Syntax(
            "start containers that were created or have ended",
            "CONTAINER...",
            (
                Option(("-a", "--attach"), "stay with it: its output and exit code are ours"),
                Option(("-i", "--interactive"), "stay with it, and pass standard input on (if it was made with -i)"),
            ),
        ),
        _start,
    )
}
