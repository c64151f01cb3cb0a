"""`sandbox` as somebody who is not root and has no login session: with a range of subordinate ids, and without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges
from tests.sandbox.runtime.person import Person, person

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(params=[account_with_ranges, account_without_ranges], ids=["range", "single"])
def somebody(request: pytest.FixtureRequest) -> Iterator[Person]:
    """An ordinary user."""
    with person(request.param()) as found:
        yield found


def test_a_container_s_life(somebody: Person) -> None:
    """Root inside, the user's own id outside; everything up to removal works, and the data needs no root to go."""
    made = somebody.sandbox("bootstrap", "busybox")
    assert made.returncode == 0, made.stderr
    assert (somebody.home / ".local/share/hako/images").is_dir()
    shared = somebody.home / "shared"
    shared.mkdir()
    os.chown(shared, somebody.account.uid, somebody.account.gid)
    script = "id -u; touch /shared/file; mkdir /made; chmod 700 /made"
    words = ("run", "--network", "none", "--name", "one", "-v", f"{shared}:/shared", "busybox", "sh", "-c", script)
    run = somebody.sandbox(*words)
    assert (run.returncode, run.stdout, run.stderr) == (0, "0\n", "")
    status = (shared / "file").stat()
    assert (status.st_uid, status.st_gid) == somebody.account
    assert (
        somebody.sandbox("run", "-d", "--network", "none", "--name", "two", "busybox", "sleep", "600").returncode == 0
    )
    assert somebody.sandbox("exec", "two", "hostname").returncode == 0
    assert [line.split()[-1] for line in somebody.sandbox("ps").stdout.splitlines()] == ["NAMES", "two"]
    refused = somebody.sandbox("system", "reset")
    assert "2 containers (1 running)" in refused.stderr
    assert refused.returncode == 125
    assert somebody.sandbox("stop", "-t", "0", "two").returncode == 0
    assert somebody.sandbox("rm", "two").returncode == 0
    assert somebody.sandbox("system", "reset", "--force").returncode == 0
    assert list((somebody.home / ".local/share/hako").iterdir()) == []


def test_limits_without_a_session(somebody: Person) -> None:
    """What was asked for and cannot be had is one warning that says why; the container runs."""
    if os.geteuid() != 0:
        pytest.skip("this user may have a session")
    assert somebody.sandbox("bootstrap", "busybox").returncode == 0
    limits = ("--memory", "64m", "--cpus", "0.5", "--pids-limit", "50")
    run = somebody.sandbox("run", "--rm", "--network", "none", *limits, "busybox", "echo", "here")
    assert (run.returncode, run.stdout) == (0, "here\n")
    assert run.stderr.startswith("sandbox: warning: ")
    assert "not enforced" in run.stderr
    assert run.stderr.count("\n") == 1
    unlimited = somebody.sandbox("run", "--rm", "--network", "none", "busybox", "true")
    assert unlimited.stderr == ""
