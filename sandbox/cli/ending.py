"""`sandbox stop`, `kill`, `wait` and `rm`: how containers end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import tell
from sandbox.cli.session import for_each, open_engine, reclaim
from sandbox.errors import NotFoundError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _stop(arguments: Arguments, home: str) -> int:
    timeout = arguments.number("timeout")
    signal = arguments.text("signal")
    engine = open_engine(home)
    names = arguments.operands
    if len(names) == 1:
        return for_each(names, lambda name: engine.stop(name, timeout, signal))
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (so that several share the ten seconds)

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        stopping = {name: pool.submit(engine.stop, name, timeout, signal) for name in names}
        return for_each(names, lambda name: stopping[name].result())


def _kill(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    signal = arguments.text("signal", "KILL")
    return for_each(arguments.operands, lambda name: engine.kill(name, signal))


def _wait(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)

    def wait(name: str) -> str:
        status = engine.wait(name)
        return str(status.code) if status is not None else ""

    return for_each(arguments.operands, wait)


def _remove(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    reclaim(engine)
    force, volumes = arguments.flag("force"), arguments.flag("volumes")

    def remove(name: str) -> str | None:
        try:
            engine.remove(name, force=force, volumes=volumes)
        except NotFoundError as error:
            if not force:
                raise
            tell(f"sandbox: {error.message}")  # told, but no failure, as with docker
            return ""
        return None

    return for_each(arguments.operands, remove)


VERBS = {
    "stop": Verb(
        Syntax(
            "ask containers to end, and kill those that do not",
            "CONTAINER...",
            (
                Option(("-s", "--signal"), "the signal to ask with (what --stop-signal or the image said)", "SIGNAL"),
                Option(
                    ("-t", "--time", "--timeout"),
                    "seconds until it is killed (what --stop-timeout said, or 10)",
                    "SECONDS",
                ),
            ),
        ),
        _stop,
    ),
    "kill": Verb(
        Syntax(
            "send a signal to containers",
            "CONTAINER...",
            (Option(("-s", "--signal"), "name or number of the signal (KILL)", "SIGNAL"),),
        ),
        _kill,
    ),
    "wait": Verb(Syntax("wait until containers have ended and print their exit codes", "CONTAINER..."), _wait),
    "rm": Verb(
        Syntax(
            "remove containers",
            "CONTAINER...",
            (
                Option(("-f", "--force"), "end it first if it runs; no error if there is none"),
                Option(("-v", "--volumes"), "also its volumes without a name"),
            ),
        ),
        _remove,
    ),
}
