"""Rules and fixtures for every test.

Markers: `root` is skipped with the reason for an ordinary user, `network` where HAKO_TEST_OFFLINE is set. `hako_home`
is a throw-away state directory of one test; `engine_home` is one for the whole run, shared by all processes of
pytest-xdist, with the image `busybox` in it.

A run leaves nothing behind: `project/leaks.py` compares mounts, interfaces, control groups and processes of before and
after.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.project import leaks
from tests.sandbox.command import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "HAKO_TEST_RUN"  # in the environment of every process that a run starts
SHARED = "HAKO_TEST_SHARED"  # the folder of what the processes of a run share
_before = pytest.StashKey[leaks.Snapshot]()
_found = pytest.StashKey[tuple[str, ...]]()
REPOSITORY = Path(__file__).parent.parent
# Each of their tests sets up real networks, servers or repositories: as a whole too long for `make check`.
WHOLE = ("tests/sandbox/network", "tests/sandbox/registry", "tests/ci/mirror", "tests/ci/trigger", "tests/ci/store")
# A busy machine makes single examples slow; what is too slow as a whole, the timeout of the test finds.
hypothesis.settings.register_profile("hako", deadline=None)
hypothesis.settings.load_profile("hako")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this run cannot do, with the reason."""
    reasons = {}
    if os.geteuid() != 0:
        reasons["root"] = "needs root"
    if os.environ.get("HAKO_TEST_OFFLINE"):
        reasons["network"] = "needs the package mirrors, and HAKO_TEST_OFFLINE is set"
    for item in items:
        if item.path.is_relative_to(REPOSITORY / "tests") and str(item.path.relative_to(REPOSITORY)).startswith(WHOLE):
            item.add_marker(pytest.mark.slow)
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _is_controller(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Note what the host has before anything runs; only the process that starts the others does."""
    # Started by nohup it is ignored, and by all that is started from here: commands of a terminal know it otherwise.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if _is_controller(config):
        os.environ[MARK] = uuid.uuid4().hex
        os.environ["HAKO_CERTS"] = str(REPOSITORY / "tests/certs.d")
        os.environ[SHARED] = tempfile.mkdtemp(prefix="hako-tests-")
        config.stash[_before] = leaks.Snapshot.take()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for what the run left; with HAKO_LEAKS=fail (as `make test` has it) anything found fails the run."""
    config = session.config
    if not _is_controller(config):
        return
    take_down(Path(os.environ[SHARED]) / "home")
    shutil.rmtree(os.environ[SHARED], ignore_errors=True)
    if session.testscollected == 0:
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


def take_down(home: Path) -> None:
    """Remove a state directory and what it has in the kernel.

    An ordinary user's holds files of the ids that belong to its containers: they are removed the way they were made, in
    a user namespace that has those ids.
    """
    if not home.exists():
        return
    if os.geteuid() == 0:
        from sandbox.network.networks import Networks  # noqa: PLC0415  (collecting must not need the engine)

        if (home / "networks").exists():
            Networks(home / "networks").tear_down()
        shutil.rmtree(home, ignore_errors=True)
        return
    program = (
        "import shutil, sys; from sandbox.kernel.idmap import become_root; become_root(); shutil.rmtree(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], cwd=REPOSITORY, capture_output=True, check=False)


@pytest.fixture
def hako_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of this test alone, also in the environment of the commands that it starts."""
    home = tmp_path / "hako"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HAKO_HOME", str(home))
    yield home
    take_down(home)


@pytest.fixture(scope="session")
def engine_home() -> Path:
    """One state directory of the whole run, with the image `busybox`; all processes of pytest-xdist share it.

    The image is made by the `sandbox` command under a lock, by whoever comes first.
    """
    shared = Path(os.environ[SHARED])
    home = shared / "home"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "ready").exists():
            home.mkdir(mode=0o700, exist_ok=True)
            made = subprocess.run(
                [sys.executable, "-m", "sandbox.cli.main", "bootstrap", "busybox"],
                cwd=REPOSITORY,
                env={**os.environ, "HAKO_HOME": str(home)},
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )
            if made.returncode != 0:
                pytest.fail(f"`sandbox bootstrap busybox` failed: {made.stderr}", pytrace=False)
            (shared / "ready").touch()
    return home


@pytest.fixture
def repository() -> Path:
    """The checkout that the tests are part of."""
    return REPOSITORY


@pytest.fixture
def sandbox(engine_home: Path, repository: Path) -> Sandbox:
    """The command on the shared state directory."""
    return Sandbox(engine_home, repository)


@pytest.fixture
def tag(sandbox: Sandbox) -> Iterator[str]:
    """A name for an image, which is removed at the end."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    sandbox("rmi", "-f", name)
