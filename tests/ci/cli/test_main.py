"""The `ci-run` command itself: verbs, help, errors as one line."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from ci.cli.main import MODULES, explain, load
from ci.errors import CiError
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from pathlib import Path


def ci_run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "ci.cli.main", *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_lists_the_commands() -> None:
    """On standard output with --help and help, on standard error and as a mistake without a command."""
    for arguments in (["--help"], ["-h"], ["help"]):
        done = ci_run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(f"  {verb} " in done.stdout for verb in MODULES)
    done = ci_run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ci-run COMMAND")


@pytest.mark.parametrize("verb", MODULES)
def test_every_command_has_help(verb: str) -> None:
    """`--help` and `help COMMAND` say the same."""
    done = ci_run(verb, "--help")
    assert done.returncode == 0
    assert load(verb).HELP in done.stdout
    assert ci_run("help", verb).stdout == done.stdout


def test_the_version_is_the_packages() -> None:
    """As installed."""
    assert ci_run("--version").stdout == f"ci-run {version('hako')}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["locl"], "ci-run: no command is called 'locl' (did you mean `ci-run local`?)\n"),
        (["zzz"], f"ci-run: no command is called 'zzz' (there are: {', '.join(MODULES)})\n"),
        (["local", "--zzz"], "ci-run: unrecognized arguments: --zzz (`ci-run local --help` shows the options)\n"),
        (
            ["local", "--jobs", "x"],
            "ci-run: argument --jobs/-j: invalid int value: 'x' (`ci-run local --help` shows the options)\n",
        ),
        (
            ["help", "zzz"],
            f"ci-run: no command is called 'zzz' (there are: {', '.join(MODULES)})\n",
        ),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], line: str) -> None:
    """With exit code 2 and what to do."""
    done = ci_run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_verb_imports_no_other() -> None:
    """Starting is cheap: neither engine nor YAML is loaded for the help of nothing."""
    code = (
        "import sys; from ci.cli.main import main; main(['--version']); "
        "sys.exit(str([m for m in sys.modules if m.startswith(('sandbox.runtime', 'yaml', 'pygit2', 'runners'))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"


def test_errors_are_explained() -> None:
    """Ours with their hint, the system's with their path; always one line."""
    assert explain(CiError("no step", hint="add one")) == "no step (add one)"
    assert explain(SandboxError("no space\nleft")) == "no space left"
    assert (
        explain(FileNotFoundError(2, "No such file or directory", b"/x\xff")) == "/x\udcff: no such file or directory"
    )
    assert explain(OSError(28, "No space left on device")) == "no space left on device"


def test_debugging_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    """HAKO_DEBUG=1 is for those who look into the program."""
    assert "Traceback" not in ci_run("local", str(tmp_path)).stderr
    assert "Traceback" in ci_run("local", str(tmp_path), HAKO_DEBUG="1").stderr
