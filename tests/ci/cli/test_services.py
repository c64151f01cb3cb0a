"""Services of `ci-run local` that say when they are ready, on the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.root


def test_a_healthcheck_is_waited_for(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The step begins when the check has passed in the service, whose files it looks at."""
    done = ci_run("""
services:
  - name: db
    image: busybox
    commands: [sleep 0.3, echo yes > /ready, touch made, sleep 600]
    healthcheck: {command: "grep -q yes /ready", interval: 100ms}
steps:
  - name: look
    image: busybox
    commands: [test -e made]
""")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "look = passed" in done.stdout


@pytest.mark.slow
def test_a_service_that_is_never_ready(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """What was missing and what the check said, the service's last lines, and no step."""
    done = ci_run("""
services:
  - name: db
    image: busybox
    commands: [echo the disk is broken, sleep 600]
    healthcheck: {command: "echo no answer; exit 1", interval: 100ms}
    wait: 4s
steps:
  - name: look
    image: busybox
    commands: ["true"]
""")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    at = lines.index("db   | its last lines:")
    assert "db   |   the disk is broken" in lines[at:]
    assert any(
        line.startswith("db   ! failed in ")
        and line.endswith(": not ready: its healthcheck did not pass (no answer) within 4 s")
        for line in lines
    )
    assert "look - skipped: db failed" in lines
