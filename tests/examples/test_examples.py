"""Every example does what its README says, in containers on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.network import uplink
from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges
from tests.sandbox.network.isolation import MISSING
from tests.sandbox.runtime.person import person

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.kernel.children import Account

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
pytestmark = pytest.mark.root


def _build(name: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ci.cli.main", "local", str(EXAMPLES / name / ".ci.yml")],
        env={**os.environ, "HAKO_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_every_example_is_tested() -> None:
    """No folder is left out here."""
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {"hello", "matrix", "failing", "service", "python", "c", "artifacts", "steps"}


def test_hello(engine_home: Path) -> None:
    """One step says hello."""
    built = _build("hello", engine_home)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "hello | hello from hello" in built.stdout


def test_matrix(engine_home: Path) -> None:
    """Four cells, each with its own numbers."""
    built = _build("matrix", engine_home)
    assert built.returncode == 0, built.stdout + built.stderr
    assert built.stdout.count("the sum is 6") == 2
    assert built.stdout.count("the sum is 15") == 2
    assert "4 of 4 stages passed" in built.stdout


def test_failing(engine_home: Path) -> None:
    """The failed step and its exit code are named, what follows is skipped, and the one for failures runs."""
    built = _build("failing", engine_home)
    assert built.returncode == 1, built.stdout + built.stderr
    assert "failed with exit code 3" in built.stdout
    assert "never reached" not in built.stdout
    assert "this is where somebody would be told" in built.stdout


def test_artifacts(engine_home: Path) -> None:
    """The second stage has the file of the first, and the step that failed has passed in its second attempt."""
    built = _build("artifacts", engine_home)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "download: failed with exit code 1; trying again (1 of 2)" in built.stdout
    assert "test/unpack    | README.md" in built.stdout


def test_steps(engine_home: Path) -> None:
    """Each word of the list is a stage; the tool is there from the cache the second time."""
    for again in (False, True):
        built = _build("steps", engine_home)
        assert built.returncode == 0, built.stdout + built.stderr
        assert "test: 2 cells from plan/list.words: hello, konnichiwa" in built.stdout
        assert built.stdout.count("2 tests passed") == 4  # where the step ends, and in the table
        assert built.stdout.count(" is back (") == (2 if again else 0)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")
@pytest.mark.skipif(not uplink.find(), reason="slirp4netns is not installed, or /dev/net/tun not usable")
@pytest.mark.parametrize("account", [account_with_ranges, account_without_ranges], ids=["range", "single"])
def test_as_an_ordinary_user(account: Callable[[], Account]) -> None:
    """The same without root: with a range of ids, and with none but one's own."""
    expected = {
        "hello": (0, "hello | hello from hello"),
        "matrix": (0, "4 of 4 stages passed"),
        "failing": (1, "failed with exit code 3"),
        "artifacts": (0, "test/unpack    | README.md"),
        "steps": (0, "test: 2 cells from plan/list.words: hello, konnichiwa"),
    }
    with person(account()) as somebody:
        assert somebody.sandbox("bootstrap", "busybox").returncode == 0
        for name, (code, words) in expected.items():
            project = somebody.home / name
            shutil.copytree(EXAMPLES / name, project)
            for path in (project, *project.rglob("*")):
                os.chown(path, somebody.account.uid, somebody.account.gid)
            done = somebody.run("-m", "ci.cli.main", "local", str(project / ".ci.yml"))
            assert done.returncode == code, done.stdout + done.stderr
            assert words in done.stdout


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(700)
@pytest.mark.xdist_group("debian-images")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("service", "hello from the first step"),
        ("python", 'tests="11"'),
        ("c", "ok: the same as wc on wordcount.c"),
    ],
)
def test_on_debian(engine_home: Path, name: str, words: str) -> None:
    """A real Redis, a Python project and a C project, in images made from Debian's packages."""
    built = _build(name, engine_home)
    assert built.returncode == 0, built.stdout + built.stderr
    assert words in built.stdout
