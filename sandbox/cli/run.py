"""`sandbox run` and `sandbox create`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.cli.attached import check_terminal, hold_signals, run_container
from sandbox.cli.container_options import OPTIONS, attached, container_spec, pull
from sandbox.cli.keys import DETACH, detach_keys
from sandbox.cli.making import When, ensure
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine, reclaim, reclaim_others, state_directory, warn
from sandbox.errors import ConflictError, SandboxError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.spec import ContainerSpec

_RUN_OPTIONS = (
    DETACH,
    Option(("-d", "--detach"), "let it run in the background and print its id"),
    Option(("--plan",), "print what would be done, operation by operation, and do nothing"),
    Option(("--sig-proxy",), "pass signals on to the container (true)"),
)


def _run(arguments: Arguments, home: str) -> int:
    spec = container_spec(arguments, os.environ, os.path.abspath)
    streams = attached(arguments)
    _check_identifier_file(arguments)
    if arguments.flag("plan"):
        engine = _engine(arguments, spec, home)
        say("".join(f"{line}\n" for line in engine.plan(spec).lines()))
        return 0
    if arguments.flag("detach"):
        engine = _engine(arguments, spec, home)
        identifier = _add(engine, spec, arguments)
        warn(engine.start(identifier).warnings)
        reclaim_others(engine, identifier)
        say(f"{identifier}\n")
        return 0
    detach_keys(arguments)  # a mistake in them is to be said before anything is made
    check_terminal(terminal=spec.terminal, interactive=spec.open_stdin)
    engine = _engine(arguments, spec, home)
    _leave_out(streams)
    hold_signals()
    identifier = _add(engine, spec, arguments)
    try:
        status = run_container(
            engine,
            identifier,
            terminal=spec.terminal,
            interactive=spec.open_stdin and "stdin" in streams,
            proxy=arguments.flag("sig-proxy", default=True),
            detach=detach_keys(arguments),
        )
    except BrokenPipeError:
        if spec.auto_remove:  # nobody reads what it prints, and nobody could look at it later
            with suppress(SandboxError):
                engine.remove(identifier, force=True)
        raise
    return status.code if status is not None else 0


def _leave_out(streams: frozenset[str]) -> None:
    """What of our output is not the container's is nobody's."""
    for descriptor, stream in ((1, "stdout"), (2, "stderr")):
        if stream not in streams:
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, descriptor)
            os.close(null)


def _create(arguments: Arguments, home: str) -> int:
    spec = container_spec(arguments, os.environ, os.path.abspath)
    _check_identifier_file(arguments)
    say(f"{_add(_engine(arguments, spec, home), spec, arguments)}\n")
    return 0


def _add(engine: Engine, spec: ContainerSpec, arguments: Arguments) -> str:
    """Create the container; a name whose container was killed is free again."""
    if arguments.given("volumes-from"):
        from sandbox.cli.neighbours import borrow  # noqa: PLC0415  (few lines have any)

        spec = borrow(engine, spec, arguments.texts("volumes-from"))
    if arguments.given("link"):
        from sandbox.cli.neighbours import link  # noqa: PLC0415  (few lines have any)

        spec = link(engine, spec, arguments.texts("link"))
    try:
        identifier = engine.create(spec)
    except ConflictError:
        reclaim(engine)
        identifier = engine.create(spec)
    if arguments.given("cidfile"):
        from sandbox.cli.neighbours import write_identifier  # noqa: PLC0415  (few lines have any)

        write_identifier(arguments.text("cidfile"), identifier)
    return identifier


def _check_identifier_file(arguments: Arguments) -> None:
    if arguments.given("cidfile"):
        from sandbox.cli.neighbours import check_identifier_file  # noqa: PLC0415  (few lines have any)

        check_identifier_file(arguments.text("cidfile"))


def _notice_labels(arguments: Arguments) -> None:
    """Profiles of Linux security modules that a line brings along from docker are not put in force here."""
    for option in arguments.texts("security-opt"):
        name, _, value = option.partition("=" if "=" in option else ":")
        if name in ("apparmor", "label") and value not in ("unconfined", "disable"):
            warn([f"--security-opt {option} has no effect: containers here are confined without that module"])


def _engine(arguments: Arguments, spec: ContainerSpec, home: str) -> Engine:
    _notice_labels(arguments)
    ensure(spec.image, state_directory(home), when=When(pull(arguments)))
    return open_engine(home, starts=True)


VERBS = {
    "run": Verb(
        Syntax(
            "create a container of an image and run a command in it",
            "IMAGE [COMMAND] [ARGUMENT...]",
            tuple(sorted((*OPTIONS, *_RUN_OPTIONS), key=lambda option: option.key)),
            command=True,
            usage_code=125,
        ),
        _run,
    ),
    "create": Verb(
        Syntax(
            "create a container without starting it",
            "IMAGE [COMMAND] [ARGUMENT...]",
            tuple(sorted(OPTIONS, key=lambda option: option.key)),
            command=True,
            usage_code=125,
        ),
        _create,
    ),
}
