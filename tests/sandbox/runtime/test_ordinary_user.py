"""The engine's tests once more, by somebody who is not root: with a range of subordinate ids, and with the one id that
everybody has.

They run in a process of that user, which has become root of a user namespace of its own, as the commands do it.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.sandbox.kernel.children import Account, account_with_ranges, account_without_ranges

pytestmark = pytest.mark.slow

_PROGRAM = """
import os, sys
sys.path.insert(0, os.getcwd())
from sandbox.kernel.idmap import become_root
become_root()
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
_OTHER_IDS = ("test_users", "test_a_bind_mount_and_its_owner", "test_new_privileges")  # what those tests are about


def _run(account: Account, repository: Path, *selection: str) -> str:
    """The last line of pytest, which fails where the tests do."""
    if os.geteuid() == 0 and not all(path.stat().st_mode & 0o001 for path in repository.parents):
        pytest.skip(f"others cannot reach {repository}")
    folder = Path(tempfile.mkdtemp(prefix="hako-user-"))
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HAKO_", "XDG_", "PYTEST_"))
    }
    environment |= {"HOME": str(folder), "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "examples")}
    try:
        os.chown(folder, account.uid, account.gid)
        tests = [f"tests/sandbox/runtime/{name}.py" for name in ("test_engine", "test_inside")]
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _PROGRAM,
                "-q",
                "-p",
                "no:cacheprovider",
                f"--basetemp={folder}/t",
                *selection,
                *tests,
            ],
            cwd=repository,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            **identity,  # type: ignore[call-overload]
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return str(done.stdout.strip().splitlines()[-1])


def test_with_a_range_of_ids(repository: Path) -> None:
    """Everything but networks is as for root."""
    found = re.match(r"(\d+) passed", _run(account_with_ranges(), repository))
    assert found is not None
    assert int(found[1]) > 80


def test_with_a_single_id(repository: Path) -> None:
    """Everything but other users; those are refused with what to do about it."""
    if (
        os.geteuid() != 0
        and Path("/etc/subuid").exists()
        and pwd.getpwuid(os.geteuid()).pw_name in Path("/etc/subuid").read_text()
    ):
        pytest.skip("this user has subordinate ids")
    expression = " and ".join(f"not {name}" for name in _OTHER_IDS)
    found = re.match(r"(\d+) passed", _run(account_without_ranges(), repository, "-k", expression))
    assert found is not None
    assert int(found[1]) > 80
