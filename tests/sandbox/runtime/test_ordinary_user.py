"""The engine's tests once more, by somebody who is not root: with a range of subordinate ids, and with the one id that
everybody has.

They run in a process of that user, which has become root of a user namespace of its own, as the commands do it.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges
from tests.sandbox.runtime.person import person

if TYPE_CHECKING:
    from tests.sandbox.kernel.children import Account

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

_PROGRAM = """
import os, sys
sys.path.insert(0, os.getcwd())
from sandbox.kernel.idmap import become_root
become_root()
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
_FILES = ("test_engine", "test_inside", "test_host_users", "test_neighbour")
_OTHER_IDS = ("test_users", "test_a_bind_mount_and_its_owner", "test_new_privileges")  # what those tests are about


def _run(account: Account, *selection: str, files: tuple[str, ...] = _FILES) -> str:
    """The last line of pytest, which fails where the tests do."""
    tests = [f"tests/sandbox/runtime/{name}.py" for name in files]
    with person(account) as somebody:
        options = ("-q", "-p", "no:cacheprovider", f"--basetemp={somebody.home}/t")
        done = somebody.run("-c", _PROGRAM, *options, *selection, *tests, timeout=380)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return str(done.stdout.strip().splitlines()[-1])


def test_with_a_range_of_ids() -> None:
    """Everything but networks is as for root."""
    found = re.match(r"(\d+) passed", _run(account_with_ranges()))
    assert found is not None
    assert int(found[1]) > 80


def test_with_a_single_id() -> None:
    """Everything but other users; those are refused with what to do about it."""
    if (
        os.geteuid() != 0
        and Path("/etc/subuid").exists()
        and pwd.getpwuid(os.geteuid()).pw_name in Path("/etc/subuid").read_text()
    ):
        pytest.skip("this user has subordinate ids")
    expression = " and ".join(f"not {name}" for name in _OTHER_IDS)
    found = re.match(r"(\d+) passed", _run(account_without_ranges(), "-k", expression))
    assert found is not None
    assert int(found[1]) > 80


def test_what_is_killed() -> None:
    """Nothing stays of starts that somebody killed, whichever of their processes it was, at any operation."""
    found = re.match(r"(\d+) passed", _run(account_with_ranges(), "-k", "not made", files=("test_kills",)))
    assert found is not None
    assert int(found[1]) > 15
