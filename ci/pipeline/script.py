"""The script that runs a step's commands.

`script` is pure; a runner writes its result to a file and starts the step's shell with that file as its argument. A
file, and not the shell's standard input: there, the first command that reads its own input (`ssh`, `cat`, `read`) would
eat the commands after it, as it does in drone and in Woodpecker.

The shell stops at the first command that fails (`set -e`). Before each command its text is printed, every line with `+
` before it, by a `printf` whose argument is quoted so that nothing in it means anything to the shell. Written for POSIX
shells (POSIX.1-2017, XCU 2).

The interpreter of another language gets the commands as they are, one after the other, as one program: how it prints
what it does, and when it stops, is its own matter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Iterable

# The shells that understand the script, by the last part of their path.
SHELLS = ("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox")
# Other interpreters, which take a file as their argument; python may have a version.
INTERPRETERS = ("python", "perl", "ruby", "node", "php", "lua")
_PYTHON = re.compile(r"python[0-9.]*", re.ASCII)


def script(commands: Iterable[str], shell: str = "/bin/sh", *, before: str = "") -> str:
    """The text of the script, ending in a line break. `before` is what a shell does first, without a word.

    Raises CiError for a shell of another language and for a NUL in a command.
    """
    if not runs_scripts(shell):
        known = ", ".join((*SHELLS, *INTERPRETERS))
        raise CiError(f"no script can be written for the shell {shell!r}", hint=f"one of: {known}")
    commands = tuple(commands)
    for command in commands:
        if "\0" in command:
            raise CiError(f"a command holds a NUL character: {command!r}")
    if _name(shell) not in SHELLS:
        return "".join(command.rstrip("\n") + "\n" for command in commands)
    parts = [before, "set -e\n"]
    for command in commands:
        text = command.rstrip("\n")
        shown = "".join(f" {quote('+ ' + line)}" for line in text.split("\n"))
        # The empty line between keeps a command that ends in a backslash from joining the next printf to itself.
        parts.append(f"\nprintf '%s\\n'{shown}\n{text}\n")
    return "".join(parts)


def runs_scripts(shell: str) -> bool:
    """Whether a shell or interpreter, by its name or path, is one that scripts can be written for."""
    name = _name(shell)
    return name in SHELLS or name in INTERPRETERS or _PYTHON.fullmatch(name) is not None


def _name(shell: str) -> str:
    return shell.rpartition("/")[2]


def quote(text: str) -> str:
    """The text as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def script_arguments(shell: str, path: str) -> tuple[str, ...]:
    """The words that run the script at `path`."""
    name = _name(shell)
    if name == "busybox":
        return (shell, "sh", path)
    # Without -u python keeps its output until it ends, and the log stands still.
    return (shell, "-u", path) if _PYTHON.fullmatch(name) else (shell, path)
