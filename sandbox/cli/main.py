"""The entry point of `sandbox`: finds the verb's module, runs it, and turns errors into one line and an exit code.

Nothing is imported here that a verb may not need. Exit codes are docker's: 125 the engine could not do it (or the line
of a `run` is wrong), 126 the command is not executable, 127 it was not found, else the command's own; 2 for mistakes
on the line of other verbs, 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

from sandbox.cli.options import HelpAsked, UsageError, parse
from sandbox.cli.output import say, tell
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from sandbox.cli.options import Verb

# Which module of this package holds a verb, in the order of the help.
MODULES = {
    "bootstrap": "bootstrap",
    "build": "build",
    "pull": "pull",
    "push": "push",
    "login": "login",
    "logout": "login",
    "images": "images",
    "rmi": "images",
    "tag": "images",
    "import": "archives",
    "load": "archives",
    "save": "archives",
    "history": "images",
    "commit": "committing",
    "diff": "committing",
    "export": "committing",
    "run": "run",
    "create": "run",
    "start": "start",
    "ps": "ps",
    "logs": "logs",
    "exec": "execute",
    "inspect": "inspect",
    "stop": "ending",
    "restart": "start",
    "pause": "pausing",
    "unpause": "pausing",
    "kill": "ending",
    "wait": "ending",
    "attach": "attach",
    "cp": "copy",
    "top": "top",
    "stats": "stats",
    "events": "events",
    "rename": "changing",
    "update": "changing",
    "rm": "ending",
    "port": "publish",
    "builder prune": "build",
    "image ls": "images",
    "image inspect": "inspect",
    "image history": "images",
    "image tag": "images",
    "image pull": "pull",
    "image push": "push",
    "image import": "archives",
    "image load": "archives",
    "image save": "archives",
    "image rm": "images",
    "image prune": "images",
    "registry serve": "registry",
    "registry gc": "registry",
    "registry ls": "registry",
    "registry passwd": "registry",
    "network create": "network",
    "network ls": "network",
    "network inspect": "network",
    "network connect": "network",
    "network disconnect": "network",
    "network rm": "network",
    "network prune": "network",
    "volume create": "volume",
    "volume ls": "volume",
    "volume inspect": "volume",
    "volume rm": "volume",
    "volume prune": "volume",
    "system start": "system",
    "system reclaim": "system",
    "system reset": "system",
    "system info": "system",
    "system df": "usage",
    "system prune": "usage",
}
_INTERRUPTED = 130
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a program that the signal ended
_FAILED = 125


def main() -> NoReturn:
    """Run the command line of this process, and end it.

    A command is short: the garbage collector would take a twelfth of its start, and taking the interpreter apart at the
    end another, so it does without both. Supervisors, which live on, turn the collector on again.
    """
    gc.disable()
    _open_standard_streams()
    os._exit(command(sys.argv[1:]))


def command(words: Sequence[str]) -> int:
    """Run a command line; the exit code."""
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # which a shell's job in the background keeps
            signal.signal(signal.SIGINT, signal.default_int_handler)  # in place of the one of `entry`
        return _run(words)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _BROKEN_PIPE
    except SystemExit as left:  # by a signal that ends us, after the terminal was put right
        return left.code if isinstance(left.code, int) else _FAILED


def _open_standard_streams() -> None:
    """Where the caller closed one, /dev/null takes its place: no pipe of a container may become our standard output."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:
            os.open(os.devnull, os.O_RDWR)  # gets the least free number: this one


def load(verb: str) -> Verb:
    """The verb's grammar and function; imports its module and no other."""
    module = __import__(f"sandbox.cli.{MODULES[verb]}", fromlist=("VERBS",))
    found: Verb = module.VERBS[verb]
    return found


def _run(words: Sequence[str]) -> int:
    verb, home, usage_code = "", "", UsageError.exit_code
    try:
        home, words = _before_the_verb(words)
        if not words or words[0] in ("-h", "--help", "help", "--version"):
            return _about(words)
        verb, words = _verb(words)
        found = load(verb)
        usage_code = found.syntax.usage_code
        return found.run(parse(found.syntax, words), home)
    except HelpAsked:
        return _about(["help", *verb.split()])
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("HAKO_DEBUG"):
            import traceback  # noqa: PLC0415  (seldom)

            traceback.print_exc()
        text, code = _explained(error, verb, home, usage_code)
        tell(f"sandbox: {text}")
        return code


def _explained(error: Exception, verb: str, home: str, usage_code: int) -> tuple[str, int]:
    """One line and the exit code."""
    if isinstance(error, UsageError):
        where = f"sandbox {verb} --help" if verb else "sandbox --help"
        return f"{error.message} ({error.hint or f'see `{where}`'})", usage_code
    if isinstance(error, SandboxError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return describe(error, home), _FAILED
    # A mistake of ours, which nobody wants to see whole unless they look for it.
    return f"internal error: {type(error).__name__}: {error} (HAKO_DEBUG=1 shows where)", _FAILED


def _before_the_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """The state directory where `--home` gives one, and the words from the verb on."""
    home, rest = "", list(words)
    while rest and rest[0].startswith("--home"):
        name, equals, value = rest.pop(0).partition("=")
        if name != "--home":
            raise UsageError(f"unknown option {name}", hint="did you mean --home?")
        if not equals:
            if not rest:
                raise UsageError("--home needs a value")
            value = rest.pop(0)
        if not value:
            raise UsageError("--home is empty")
        home = value
    if rest and rest[0].startswith("-") and rest[0] not in ("-h", "--help", "--version"):
        raise UsageError(f"unknown option {rest[0]}")
    return home, rest


def _verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb, of one word or of two such as `network ls`, and the words after it."""
    first = words[0]
    if first in MODULES:
        return first, words[1:]
    seconds = [verb.partition(" ")[2] for verb in MODULES if verb.startswith(f"{first} ")]
    if seconds:
        if len(words) > 1 and words[1] in seconds:
            return f"{first} {words[1]}", words[2:]
        wrong = f"'{first} {words[1]}' is no command" if len(words) > 1 else f"'{first}' needs a second word"
        raise UsageError(f"{wrong}: one of {', '.join(seconds)}")
    from sandbox.cli.options import did_you_mean  # noqa: PLC0415  (only for a mistake)

    question = did_you_mean(first, [verb.partition(" ")[0] for verb in MODULES])
    if question:
        raise SandboxError(f"{first!r} is no command; {question}", reference="usage", exit_code=UsageError.exit_code)
    raise UsageError(f"{first!r} is no command")


def _about(words: Sequence[str]) -> int:
    """The version, or help: of everything, or of the verb after `help`."""
    if words[:1] == ["--version"]:
        from importlib.metadata import version  # noqa: PLC0415  (slow and seldom)

        say(f"sandbox {version('hako')}\n")
        return 0
    from sandbox.cli import help as texts  # noqa: PLC0415  (seldom)

    if len(words) > 1:
        verb, _ = _verb(list(words[1:]))
        say(texts.verb(verb, load(verb).syntax))
        return 0
    text = texts.overview({verb: load(verb).syntax for verb in MODULES})
    if words:
        say(text)
        return 0
    tell(text.rstrip())
    return UsageError.exit_code


def describe(error: OSError, home: str) -> str:
    """What the kernel refused, in one line; `home` is the state directory that was asked for, empty for the default."""
    reason = (error.strerror or str(error)).lower()
    path = error.filename if isinstance(error.filename, str) else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = path or home or os.environ.get("HAKO_HOME") or "the state directory"
        return f"the disk of {place} is full (free some space, perhaps with `sandbox rm` and `sandbox rmi`)"
    if error.errno == errno.EMFILE:
        return f"{reason} (raise the limit of this shell: `ulimit -n 1024`)"
    return f"{reason}: {path}" if path else reason


if __name__ == "__main__":
    main()
