"""The script of a step: what it prints, what it runs, and that nothing in it is taken for something else."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.errors import CiError
from ci.pipeline.script import quote, script, script_arguments

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = ["/bin/sh", "bash", "busybox"]


def run(commands: list[str], shell: str, directory: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run commands the way a runner does: from a file."""
    file = directory / "script"
    file.write_text(script(commands, shell))
    arguments = script_arguments(shell, str(file))
    return subprocess.run(arguments, input=stdin, capture_output=True, text=True, cwd=directory, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_echo_then_run(shell: str, tmp_path: Path) -> None:
    """Each command is printed, exactly, before its output."""
    result = run(["echo one", "echo two"], shell, tmp_path)
    assert result.stdout == "+ echo one\none\n+ echo two\ntwo\n"
    assert (result.stderr, result.returncode) == ("", 0)


@pytest.mark.parametrize("shell", SHELLS)
def test_first_failure_ends(shell: str, tmp_path: Path) -> None:
    """A command that fails ends the script with its exit code."""
    result = run(["echo one", "(exit 7)", "echo two"], shell, tmp_path)
    assert result.stdout == "+ echo one\none\n+ (exit 7)\n"
    assert result.returncode == 7


@pytest.mark.parametrize("shell", SHELLS)
def test_command_that_reads_stdin(shell: str, tmp_path: Path) -> None:
    """A command that reads its input does not eat the commands after it (drone and Woodpecker lose them)."""
    result = run(["cat", "read line || echo nothing to read", "echo after"], shell, tmp_path, stdin="input\n")
    assert result.stdout == (
        "+ cat\ninput\n+ read line || echo nothing to read\nnothing to read\n+ echo after\nafter\n"
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_every_line_is_printed(shell: str, tmp_path: Path) -> None:
    """A command of several lines is printed whole, a `+ ` before each line, and runs as one."""
    result = run(["for n in 1 2\ndo\n  echo $n\ndone\n", "cat <<END\na here document\nEND"], shell, tmp_path)
    assert result.stdout == (
        "+ for n in 1 2\n+ do\n+   echo $n\n+ done\n1\n2\n+ cat <<END\n+ a here document\n+ END\na here document\n"
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_backslash_at_the_end(shell: str, tmp_path: Path) -> None:
    """A command that ends in a backslash does not swallow what follows."""
    result = run(["echo one \\", "echo two"], shell, tmp_path)
    assert result.stdout == "+ echo one \\\none\n+ echo two\ntwo\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "text",
    [
        "echo '$HOME' \"$(id -u)\"",
        ": `touch owned`",
        ": %s %d \\n \\033[31m",
        ": -n",
        ": '\"'\"'",
        ": \u00e9\u6f22",
        ": \t\x07",
    ],
)
def test_hostile_text_stays_text(shell: str, text: str, tmp_path: Path) -> None:
    """What is printed is what is written in the file, whatever a shell or printf would make of it."""
    result = run([f"true || {{\n{text}\n}}"], shell, tmp_path)
    assert result.stdout == f"+ true || {{\n+ {text}\n+ }}\n"
    assert not (tmp_path / "owned").exists()


def test_variables_are_the_shells(tmp_path: Path) -> None:
    """`$NAME` and `$$` in a command belong to the shell."""
    result = run(["X=$((6 * 7))", 'echo "${X}" $X', '[ "$$" -gt 1 ] && echo a process'], "/bin/sh", tmp_path)
    assert result.stdout.splitlines()[2] == "42 42"
    assert result.stdout.endswith("a process\n")


def test_no_commands() -> None:
    """Without commands the script does nothing, and is still one."""
    assert script([]) == "set -e\n"


def test_refusals() -> None:
    """A shell of another language and a NUL are refused by name."""
    with pytest.raises(CiError, match="tclsh"):
        script(["print()"], "/usr/bin/tclsh")
    with pytest.raises(CiError, match="NUL"):
        script(["echo \0"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), max_size=60))
def test_quote_is_one_word(text: str, tmp_path: Path) -> None:
    """Any text, quoted, is one word that is the text."""
    file = tmp_path / "script"
    file.write_bytes(f"printf %s {quote(text)}".encode())
    assert subprocess.run(["/bin/sh", file], capture_output=True, check=True).stdout == text.encode()


@pytest.mark.parametrize(
    ("shell", "commands"),
    [
        (sys.executable, ["import sys", "for n in (1, 2):\n  print(n)", "sys.exit(3)"]),
        ("perl", ['for (1, 2) { print "$_\\n"; }', "exit 3;"]),
    ],
)
def test_another_language(shell: str, commands: list[str], tmp_path: Path) -> None:
    """The commands are one program of an interpreter, which says nothing of its own."""
    result = run(commands, shell, tmp_path)
    assert (result.stdout, result.stderr, result.returncode) == ("1\n2\n", "", 3)


def test_interpreters() -> None:
    """Python may have a version; its output is not kept until the end."""
    assert script_arguments("/usr/bin/python3.11", "x") == ("/usr/bin/python3.11", "-u", "x")
    assert script_arguments("node", "x") == ("node", "x")
    with pytest.raises(CiError, match="no script can be written"):
        script(["x"], "pythonic")
