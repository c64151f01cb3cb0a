"""How a local run ends when somebody ends it: by a signal, by two, by SIGKILL, by leaving its pipe."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ci.cli.running import left_behind, marks, steps, wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.root


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_nothing(
    background: Callable[..., subprocess.Popen[bytes]], number: signal.Signals, project: Path
) -> None:
    """Steps, services and what they started end at once; the summary says so; exit code 130."""
    (project / "mark").write_text(str(project))
    process = background(f"""
image: busybox
services:
  - {{name: db, image: busybox, commands: [sleep 1000]}}
steps:
  - name: a
    commands: ["setsid sleep {os.getpid()}1 &", echo started, sleep 1000]
  - name: b
    commands: [echo never]
""")
    wait_for(process, b"| started")
    process.send_signal(number)
    assert process.stdout is not None
    rest = process.stdout.read()
    assert process.wait(60) == 130
    assert b"ci-run: interrupted: ending the steps" in rest
    assert b"b  - skipped: interrupted" in rest
    assert b"interrupted in " in rest
    running = b" ".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert f"sleep\0{os.getpid()}1\0".encode() not in running


def test_a_second_interrupt_kills(background: Callable[..., subprocess.Popen[bytes]], project: Path) -> None:
    """The first lets a step end in its own way, which may take a while; the second does not wait."""
    (project / "mark").write_text(str(project))
    process = background(
        steps("trap 'echo ending' TERM", "echo started", "while true; do echo goes on; sleep 0.1; done")
    )
    wait_for(process, b"| started")
    process.send_signal(signal.SIGINT)
    wait_for(process, b"| ending")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    rest = process.stdout.read()
    assert process.wait(60) == 130
    assert rest.count(b"| goes on") < 40  # in the five seconds that a step has it is said fifty times


def test_a_step_can_end_in_its_own_way(background: Callable[..., subprocess.Popen[bytes]], project: Path) -> None:
    """A handler for SIGTERM has time to tidy up."""
    (project / "mark").write_text(str(project))
    process = background(steps("trap 'sleep 0.5; echo tidied; exit 9' TERM", "echo started", "sleep 1000 & wait"))
    wait_for(process, b"| started")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert b"| tidied" in process.stdout.read()
    assert process.wait(20) == 130


def test_a_killed_run_is_cleaned_up_by_the_next(
    background: Callable[..., subprocess.Popen[bytes]],
    ci_run: Callable[..., subprocess.CompletedProcess[str]],
    project: Path,
    engine_home: Path,
) -> None:
    """SIGKILL leaves a container, a network and folders, which the next start removes."""
    (project / "mark").write_text(str(project))
    process = background(steps("echo started", "sleep 1000"))
    wait_for(process, b"| started")
    process.kill()
    process.wait()
    assert any(str(project) in marks(engine_home, path.name) for path in (engine_home / "tmp").glob("run-*"))
    assert ci_run(steps("true")).returncode == 0
    left_behind(engine_home, str(project))


def test_a_reader_that_leaves_ends_the_run(background: Callable[..., subprocess.Popen[bytes]], project: Path) -> None:
    """`ci-run local | head` ends quietly, as if by SIGPIPE, and leaves nothing."""
    (project / "mark").write_text(str(project))
    process = background(steps("while true; do echo more; done"))
    wait_for(process, b"| more")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(20) == 141
