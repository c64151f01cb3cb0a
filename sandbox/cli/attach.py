"""`sandbox attach`: the terminal or the streams of a container that runs already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.keys import DETACH, detach_keys
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.session import open_engine
from sandbox.errors import ConflictError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.process import Process
    from sandbox.runtime.spec import Stdio


def _attach(arguments: Arguments, home: str) -> int:
    from sandbox.cli.attached import check_terminal, hold_signals, stay  # noqa: PLC0415

    keys = detach_keys(arguments)
    engine = open_engine(home)
    config = engine.config(arguments.operands[0])
    state, spec = engine.state(config.id), config.spec
    if state.paused:
        raise ConflictError(
            f"container {config.name} is paused",
            hint=f"`sandbox unpause {config.name}` lets it go on",
            reference="paused",
        )
    interactive = spec.open_stdin and not arguments.flag("no-stdin")
    check_terminal(terminal=spec.terminal, interactive=interactive)

    def begin(stdio: Stdio) -> Process:
        process = engine.watch(config.id)
        engine.attach(config.id, stdio)
        engine.tell(config.id, "attach")
        if spec.terminal:
            engine.resize(config.id, 1, 1)  # so that our own size is a change, and the program draws itself anew
        return process

    hold_signals()
    status = stay(
        engine,
        config.id,
        begin,
        terminal=spec.terminal,
        interactive=interactive,
        proxy=arguments.flag("sig-proxy", default=True),
        detach=keys,
    )
    return status.code if status is not None else 0


VERBS = {
    "attach": Verb(
        Syntax(
            "be the terminal of a running container: its output, its input, its exit code",
            "CONTAINER",
            (
                DETACH,
                Option(("--no-stdin",), "give it no input"),
                Option(("--sig-proxy",), "pass signals on to the container (true)"),
            ),
        ),
        _attach,
    )
}
