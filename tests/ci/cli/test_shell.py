"""Shells in what failed steps left."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ci.cli.keeping import Keeper, Kept
from ci.cli.shelling import command
from ci.errors import CiError
from tests.ci.cli.running import COMMAND, steps, wait_for_terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT = Kept(  # noqa: S604  (a record, no call of a shell)
    step="test",
    stage="default",
    image="hako-kept/run-1-0-test",
    workspace="/w",
    target="/src",
    working_dir="/src/sub",
    user="1000",
    shell="/bin/bash",
    environment={"A": "1"},
    secrets=("TOKEN",),
    mounts=("/x:/y:ro",),
)


def test_the_words_hold_no_values() -> None:
    """Others can read a command line; variables are named, and their values in the environment."""
    words = command(KEPT, {"A": "1", "TOKEN": "hunter22"}, terminal=False, network="net")
    assert "hunter22" not in " ".join(words)
    assert " ".join(words) == (
        "run --rm --interactive --volume /w:/src --workdir /src/sub --volume /x:/y:ro --env A --env TOKEN "
        "--user 1000 --network net --entrypoint /bin/bash hako-kept/run-1-0-test"
    )


def test_records_are_found_by_step(tmp_path: Path) -> None:
    """By its name, or with the Stage's; what is not there is said with what is."""
    keeper = Keeper(tmp_path)
    with pytest.raises(CiError, match=r"no step is kept .*--keep"):
        keeper.find("")
    keeper.add(KEPT)
    assert keeper.find("") == keeper.find("test") == keeper.find("default/test") == KEPT
    with pytest.raises(CiError, match=r"no step 'x' is kept .there are: test"):
        keeper.find("x")


@pytest.mark.root
def test_a_failed_step_can_be_entered_afterwards(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path, hako_home: Path
) -> None:
    """Its files, its workspace, its variables; secrets only when given; `--remove` leaves nothing."""
    pipeline = steps("echo made > /made; echo work > work; exit 3").replace(
        "    commands:", "    environment: {COLOUR: red}\n    secrets: [token]\n    commands:"
    )
    done = ci_run(pipeline, "--keep", "--secret", "token=hunter22", HAKO_HOME=str(hako_home))
    assert "kept for `ci-run shell`: one; `ci-run shell --remove` removes it" in done.stderr

    def shell(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ci.cli.main", "shell", *words],
            env=os.environ | {"HAKO_HOME": str(hako_home)},
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    entered = shell("one", text="cat /made work; echo $COLOUR $CI $TOKEN; pwd; exit 5")
    assert (entered.returncode, entered.stdout) == (5, "made\nwork\nred hako\n/hako/src\n"), entered.stderr
    assert "without --secret these are not set: TOKEN" in entered.stderr
    assert shell("--secret", "TOKEN=x", text="echo $TOKEN").stdout == "x\n"
    images = "".join(path.read_text() for path in (hako_home / "images/blobs/sha256").glob("*"))
    assert "hunter22" not in images + "".join(path.read_text() for path in (hako_home / "kept").glob("*.json"))
    assert "default/one" in shell("--list").stdout
    assert shell("--remove").returncode == 0
    assert not (hako_home / "kept").exists()
    assert shell("one").returncode == 2


@pytest.mark.root
def test_a_shell_opens_when_a_step_fails(project: Path, hako_home: Path) -> None:
    """On the terminal, in the Stage's network; then the run goes on, and nothing is left."""
    (project / ".ci.yml").write_text(steps("echo made > /made; exit 3"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--shell-on-failure", "--no-color"],
        cwd=project,
        env=os.environ | {"HAKO_HOME": str(hako_home)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    wait_for_terminal(ours, b"a shell in its container")
    os.write(ours, b"cat /made; echo en''d; exit\n")
    seen = wait_for_terminal(ours, b"failed in")
    assert process.wait(20) == 1
    os.close(ours)
    assert b"made\r\nend\r\n" in seen
    assert not (hako_home / "kept").exists()
