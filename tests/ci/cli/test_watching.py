"""--watch: what starts another build, and what does not."""

from __future__ import annotations

import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from ci.cli.watching import Watched
from tests.ci.cli.running import steps, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def watched(project: Path) -> Iterator[Watched]:
    """A repository with an ignored folder, being watched."""
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    (project / ".gitignore").write_text("build/\n*.o\n")
    (project / "build").mkdir()
    (project / "src").mkdir()
    made = Watched(project)
    yield made
    made.close()


def test_what_git_ignores_starts_nothing(watched: Watched, project: Path) -> None:
    """Nor does the repository itself; a change in a new folder does."""

    def change() -> None:
        (project / "build/out").write_text("x")
        (project / "main.o").write_text("x")
        (project / ".git/index.lock").write_text("x")
        (project / "src/new").mkdir()

    change()
    assert watched.wait() == "src/new"
    timer = threading.Timer(0.1, (project / "src/new/file").write_text, ("x",))
    timer.start()
    assert watched.wait() == "src/new/file"
    timer.join()


@pytest.mark.root
@pytest.mark.slow
def test_it_builds_again(background: Callable[..., subprocess.Popen[bytes]], project: Path) -> None:
    """After a change, until it is interrupted; nothing is left."""
    (project / "word").write_text("first")
    process = background(steps("cat word", "echo"), "--watch")
    assert b"| first" in wait_for(process, b"waiting for a change")
    (project / "word").write_text("second")
    seen = wait_for(process, b"waiting for a change")
    assert b"ci-run: word changed" in seen
    assert b"| second" in seen
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


def test_a_folder_outside_of_git_is_watched_whole(project: Path) -> None:
    """There is nothing that ignores anything."""
    made = Watched(project)
    try:
        (project / "main.o").write_text("x")
        assert made.wait() == "main.o"
        (project / "main.o").rename(project / "other")
        assert made.wait() in {"main.o", "other"}
    finally:
        made.close()
