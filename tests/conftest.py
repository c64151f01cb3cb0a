"""Rules and fixtures for every test.

Markers: `root` is skipped with the reason for an ordinary user, `network` where HAKO_TEST_OFFLINE is set. `hako_home`
is a throw-away state directory of one test; `engine_home` is one for the whole run, shared by all processes of
pytest-xdist, with the image `busybox` in it.

A run leaves nothing behind: `leaks.py` compares mounts, interfaces, control groups and processes of before and after.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.project import leaks

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "HAKO_TEST_RUN"  # in the environment of every process that a run starts
_before = pytest.StashKey[leaks.Snapshot]()
_found = pytest.StashKey[tuple[str, ...]]()
REPOSITORY = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this run cannot do, with the reason."""
    reasons = {}
    if os.geteuid() != 0:
        reasons["root"] = "needs root"
    if os.environ.get("HAKO_TEST_OFFLINE"):
        reasons["network"] = "needs the package mirrors, and HAKO_TEST_OFFLINE is set"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _is_controller(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Note what the host has before anything runs; only the process that starts the others does."""
    if _is_controller(config):
        os.environ[MARK] = uuid.uuid4().hex
        config.stash[_before] = leaks.Snapshot.take()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for what the run left; with HAKO_LEAKS=fail (as `make test` has it) anything found fails the run."""
    config = session.config
    if not _is_controller(config) or session.testscollected == 0:
        return
    found = leaks.left_behind(config.stash[_before], mark=f"{MARK}={os.environ[MARK]}", patience=5.0)
    config.stash[_found] = found
    if found and os.environ.get("HAKO_LEAKS") == "fail" and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left."""
    found = terminalreporter.config.stash.get(_found, ())
    if found:
        terminalreporter.section("left behind by this run (or made meanwhile by somebody else)")
        for line in found:
            terminalreporter.line(line)


@pytest.fixture
def hako_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of this test alone, also in the environment of the commands that it starts."""
    home = tmp_path / "hako"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HAKO_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def engine_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Path]:
    """One state directory of the whole run, with the image `busybox`; all processes of pytest-xdist share it.

    The image is made by the `sandbox` command under a lock, by whoever comes first.
    """
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent
    home = base / "engine-home"
    with (base / "engine-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / ".ready").exists():
            home.mkdir(mode=0o700, exist_ok=True)
            started = time.monotonic()
            made = subprocess.run(
                [sys.executable, "-m", "sandbox.cli.main", "bootstrap", "busybox"],
                env={**os.environ, "HAKO_HOME": str(home)},
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )
            if made.returncode != 0:
                pytest.fail(f"`sandbox bootstrap busybox` failed: {made.stderr}", pytrace=False)
            (home / ".ready").write_text(f"{time.monotonic() - started:.3f} s\n")
    yield home


@pytest.fixture
def repository() -> Path:
    """The checkout that the tests are part of."""
    return REPOSITORY
