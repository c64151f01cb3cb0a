"""Containers that begin again, and are asked how they are, on real ones."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root
RUN = ("run", "-d", "--network", "none")


def inspected(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """What `inspect` says."""
    found: dict[str, Any] = json.loads(sandbox("inspect", name).stdout)[0]
    return found


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_it_begins_again_after_failures(sandbox: Sandbox, name: str) -> None:
    """on-failure:2 is three runs in all, with their files and one log; wait tells the last end."""
    sandbox(
        *RUN, "--name", name, "--restart", "on-failure:2", "busybox", "sh", "-c", "echo x >> /n; wc -l < /n; exit 4"
    )
    assert sandbox("wait", name).stdout == "4\n"
    assert sandbox("logs", name).stdout == "1\n2\n3\n"
    found = inspected(sandbox, name)
    assert (found["RestartCount"], found["State"]["Status"], found["State"]["ExitCode"]) == (2, "exited", 4)
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}


def test_output_goes_on_over_restarts(sandbox: Sandbox, name: str) -> None:
    """In the foreground every run's output is seen."""
    done = sandbox("run", "--network", "none", "--name", name, "--restart", "on-failure:1", "busybox", "sh", "-c",
                   "echo out; echo err >&2; exit 3")  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("out\nout\n", "err\nerr\n", 3)


def test_who_stops_it_means_it(sandbox: Sandbox, name: str) -> None:
    """Neither stop nor kill is followed by another run, also between two runs."""
    sandbox(*RUN, "--name", name, "--restart", "always", "busybox", "sleep", "1000")
    sandbox("kill", name)
    assert sandbox("wait", name).stdout == "137\n"
    sandbox("start", name)
    sandbox("stop", "-t", "0", name)
    assert inspected(sandbox, name)["State"]["Status"] == "exited"
    sandbox("rm", name)
    sandbox(*RUN, "--name", name, "--restart", "always", "busybox", "false")
    assert eventually(lambda: inspected(sandbox, name)["RestartCount"] > 2)
    sandbox("stop", name)
    found = inspected(sandbox, name)
    assert (found["State"]["Status"], found["State"]["ExitCode"]) == ("exited", 1)


def test_after_the_machine_s_start(sandbox: Sandbox, name: str) -> None:
    """A container that was lost begins again by `system start`, if its policy says so."""
    sandbox(*RUN, "--name", name, "--restart", "unless-stopped", "busybox", "sleep", "1000")
    pid = inspected(sandbox, name)["State"]["Pid"]
    supervisor = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(supervisor), signal.SIGKILL)
    assert eventually(lambda: inspected(sandbox, name)["State"]["Status"] == "exited")
    assert name in sandbox("system", "start").stdout.split()
    assert inspected(sandbox, name)["State"]["Status"] == "running"
    sandbox("stop", "-t", "0", name)
    assert name not in sandbox("system", "start").stdout.split()


@pytest.mark.slow
def test_health(sandbox: Sandbox, name: str) -> None:
    """Unhealthy, then healthy, in inspect, ps and events; the output of checks is kept."""
    sandbox(*RUN, "--name", name, "--health-cmd", "echo looked; test -e /ok", "--health-interval", "800ms",
            "--health-retries", "2", "busybox", "sleep", "1000")  # fmt: skip
    assert inspected(sandbox, name)["State"]["Health"]["Status"] == "starting"
    assert eventually(lambda: inspected(sandbox, name)["State"]["Health"]["Status"] == "unhealthy")
    assert sandbox("ps", "-f", f"name={name}", "-f", "health=unhealthy", "--format", "{{.Status}}").stdout.endswith(
        " (unhealthy)\n"
    )
    sandbox("exec", name, "touch", "/ok")
    assert eventually(lambda: inspected(sandbox, name)["State"]["Health"]["Status"] == "healthy")
    result = inspected(sandbox, name)["State"]["Health"]["Log"][-1]
    assert (result["ExitCode"], result["Output"]) == (0, "looked\n")
    told = sandbox("events", "--since", "1m", "--until", "0s", "-f", f"container={name}", "-f", "event=health_status",
                   "--format", "{{.Action}}").stdout  # fmt: skip
    assert told == "health_status: unhealthy\nhealth_status: healthy\n"


def test_a_check_that_hangs_is_ended(sandbox: Sandbox, name: str) -> None:
    """After its timeout; no process of it is left."""
    sandbox(*RUN, "--name", name, "--health-cmd", "exec sleep 777", "--health-interval", "100ms", "--health-timeout",
            "200ms", "--health-retries", "1", "busybox", "sleep", "1000")  # fmt: skip
    assert eventually(lambda: inspected(sandbox, name)["State"]["Health"]["Status"] == "unhealthy")
    assert "exceeded timeout (0.2s)" in inspected(sandbox, name)["State"]["Health"]["Log"][-1]["Output"]
    sandbox("update", "--pids-limit", "100", name)
    assert len([line for line in sandbox("top", name, "-o", "args").stdout.splitlines() if "777" in line]) <= 1


def test_a_check_without_its_command(sandbox: Sandbox, name: str) -> None:
    """What cannot be run is a failure that says why; --no-healthcheck is none."""
    sandbox(*RUN, "--name", name, "--health-cmd", "nosuch", "--health-interval", "100ms", "--health-retries", "1",
            "busybox", "sleep", "1000")  # fmt: skip
    assert eventually(lambda: inspected(sandbox, name)["State"]["Health"]["Status"] == "unhealthy")
    assert "nosuch: not found" in inspected(sandbox, name)["State"]["Health"]["Log"][-1]["Output"]
    wrong = sandbox("run", "--health-interval", "often", "busybox", "true")
    assert (wrong.returncode, wrong.stderr.split(" (")[0]) == (
        125, "sandbox: --health-interval 'often' is not a length of time"
    )  # fmt: skip
