"""`sandbox start` and `sandbox restart`: containers that were created, have ended, or are to begin anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.keys import DETACH, detach_keys
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.session import for_each, open_engine, warn

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _start(arguments: Arguments, home: str) -> int:
    names, interactive = arguments.operands, arguments.flag("interactive")
    if not (interactive or arguments.flag("attach")):
        engine = open_engine(home, starts=True)
        return for_each(names, lambda name: warn(engine.start(name).warnings))
    if len(names) > 1:
        raise UsageError(f"only one container can be attached to, not {len(names)}")
    from sandbox.cli.attached import check_terminal, hold_signals, run_container  # noqa: PLC0415

    engine = open_engine(home, starts=True)
    spec = engine.config(names[0]).spec
    check_terminal(terminal=spec.terminal, interactive=interactive)
    hold_signals()
    status = run_container(
        engine,
        names[0],
        terminal=spec.terminal,
        interactive=interactive and spec.open_stdin,
        detach=detach_keys(arguments),
    )
    return status.code if status is not None else 0


def _restart(arguments: Arguments, home: str) -> int:
    timeout = arguments.number("timeout")
    engine = open_engine(home, starts=True)

    def restart(name: str) -> None:
        engine.stop(name, timeout)
        warn(engine.start(name).warnings)
        engine.tell(name, "restart")

    return for_each(arguments.operands, restart)


VERBS = {
    "start": Verb(
        Syntax(
            "start containers that were created or have ended",
            "CONTAINER...",
            (
                DETACH,
                Option(("-a", "--attach"), "stay with it: its output and exit code are ours"),
                Option(("-i", "--interactive"), "stay with it, and pass standard input on (if it was made with -i)"),
            ),
        ),
        _start,
    ),
    "restart": Verb(
        Syntax(
            "stop containers, where they run, and start them again",
            "CONTAINER...",
            (
                Option(
                    ("-t", "--time", "--timeout"),
                    "seconds until it is killed (what --stop-timeout said, or 10)",
                    "SECONDS",
                ),
            ),
        ),
        _restart,
    ),
}
