"""`sandbox exec`: a further process in a running container."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.cli import values
from sandbox.cli.keys import DETACH, detach_keys
from sandbox.cli.option_files import entries
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import tell
from sandbox.cli.relay import Detached
from sandbox.cli.session import open_engine
from sandbox.kernel.pty import set_size
from sandbox.runtime.spec import ExecSpec

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.process import Process
    from sandbox.runtime.spec import Stdio


def exec_spec(arguments: Arguments, ours: dict[str, str]) -> ExecSpec:
    """The process of a line."""
    return ExecSpec(
        command=arguments.operands[1:],
        environment=values.environment(entries(arguments, "env-file"), "--env-file", ours)
        | values.environment(arguments.texts("env"), "--env", ours),
        working_dir=arguments.text("workdir"),
        user=arguments.text("user"),
        terminal=arguments.flag("tty"),
        open_stdin=arguments.flag("interactive"),
        privileged=arguments.flag("privileged"),
    )


def _exec(arguments: Arguments, home: str) -> int:
    container, spec = arguments.operands[0], exec_spec(arguments, dict(os.environ))
    if arguments.flag("detach"):
        open_engine(home).execute(container, spec).close()
        return 0
    from sandbox.cli import attached  # noqa: PLC0415

    attached.check_terminal(terminal=spec.terminal, interactive=spec.open_stdin)
    engine = open_engine(home)

    def begin(stdio: Stdio) -> Process:
        return engine.execute(container, spec, stdio)

    def resize(process: Process, rows: int, columns: int) -> None:
        if process.terminal is not None:
            set_size(process.terminal, rows, columns)

    if spec.terminal:
        keys = detach_keys(arguments)
        try:
            status = attached.on_terminal(
                lambda: attached.exec_terminal(
                    engine.execute(container, spec), interactive=spec.open_stdin, detach=keys
                ),
                resize,
                _forward,
            )
        except Detached:
            tell("read escape sequence")
            return 0
    else:
        status = attached.piped(begin, _forward, interactive=spec.open_stdin, to_the_end=False)
    return status.code


def _forward(process: Process, number: int) -> None:
    """Its supervisor is its parent, and says so to us when it has reaped it: until then the pid is its own."""
    with suppress(ProcessLookupError, PermissionError):
        descriptor = os.pidfd_open(process.pid)
        try:
            signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


VERBS = {
    "exec": Verb(
        Syntax(
            "run a further process in a running container",
            "CONTAINER COMMAND [ARGUMENT...]",
            (
                Option(("-d", "--detach"), "let it run in the background"),
                DETACH,
                Option(("--env-file",), "a file of such variables, one a line", "FILE", many=True),
                Option(
                    ("-e", "--env"),
                    "set an environment variable; a NAME alone takes it from here",
                    "NAME[=VALUE]",
                    many=True,
                ),
                Option(("-i", "--interactive"), "keep standard input open"),
                Option(("--privileged",), "all capabilities and no seccomp filter"),
                Option(("-t", "--tty"), "give it a terminal"),
                Option(("-u", "--user"), "user, and group, by name or number", "USER[:GROUP]"),
                Option(("-w", "--workdir"), "working directory in the container", "PATH"),
            ),
            command=True,
        ),
        _exec,
    )
}
