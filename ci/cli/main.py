"""The entry point of `ci-run`: finds the verb's module, runs it, and turns errors into one line and an exit code.

Only the module of the verb that was asked for is imported. A verb's module has `HELP`, `configure(parser)` and
`run(arguments) -> int`. Exit codes: the verb's own, 2 for what a person has to correct, 130 after Ctrl-C. With
HAKO_DEBUG=1 an error shows where it came from.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from ci.errors import CiError
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from types import ModuleType

# Which module of this package holds a verb, in the order of the help.
MODULES = {
    "local": "local",
    "lint": "lint",
    "convert": "convert",
    "schema": "schema",
    "shell": "shell",
    "cache": "cache",
    "server": "server",
    "runner": "runner",
    "user": "user",
    "worker": "worker",
    "node": "node",
    "push": "push",
    "login": "login",
    "repo": "repo",
    "build": "build",
    "secret": "secret",
}
_USAGE = 2
_INTERRUPTED = 130
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a program that the signal ended


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process; returns the exit code."""
    try:
        if words is None and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # in place of the one of `entry`
        code = _run(list(sys.argv[1:] if words is None else words))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = _BROKEN_PIPE
    except (CiError, SandboxError, OSError, RecursionError, MemoryError) as error:
        if os.environ.get("HAKO_DEBUG"):
            raise
        _complain(explain(error))
        code = error.exit_code if isinstance(error, CiError) else _USAGE
    return code


def explain(error: BaseException) -> str:
    """One line: what, and in parentheses what to do."""
    if isinstance(error, CiError | SandboxError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror[:1].lower() + error.strerror[1:]
        text = f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        return _help(words)
    if words[0] == "--version":
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"ci-run {version('hako')}\n")
        return 0
    verb = words[0]
    if verb not in MODULES:
        raise CiError(f"no command is called {verb!r}", hint=_suggestion(verb), reference="unknown-command")
    module = load(verb)
    parser = _parser(verb, module)
    try:
        arguments = parser.parse_args(words[1:])
    except SystemExit as exit_:  # argparse has said what is wrong, or shown the help
        return exit_.code if isinstance(exit_.code, int) else _USAGE
    return int(module.run(arguments))


def load(verb: str) -> ModuleType:
    """The verb's module."""
    from importlib import import_module  # noqa: PLC0415

    return import_module(f"ci.cli.{MODULES[verb]}")


def _parser(verb: str, module: ModuleType) -> ArgumentParser:
    from argparse import ArgumentParser  # noqa: PLC0415

    class Parser(ArgumentParser):
        """Mistakes are one line, as everywhere else."""

        def error(self, message: str) -> None:  # type: ignore[override]
            raise CiError(message, hint=f"`ci-run {verb} --help` shows the options", reference="usage")

    parser = Parser(prog=f"ci-run {verb}", description=module.HELP, allow_abbrev=False)
    module.configure(parser)
    return parser


def _help(words: list[str]) -> int:
    if len(words) > 1 and words[0] == "help":
        return _run([words[1], "--help"])
    lines = ["usage: ci-run COMMAND [OPTIONS]", "", "commands:"]
    lines += [f"  {verb:<10} {load(verb).HELP}" for verb in MODULES]
    lines += ["", "`ci-run COMMAND --help` shows a command's options."]
    (sys.stdout if words else sys.stderr).write("\n".join(lines) + "\n")
    return 0 if words else _USAGE


def _suggestion(verb: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415

    near = get_close_matches(verb, MODULES, n=1)
    return f"did you mean `ci-run {near[0]}`?" if near else f"there are: {', '.join(MODULES)}"


def _complain(text: str) -> None:
    line = f"ci-run: {text}\n"
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
