"""`ci-run user`: accounts of the server on this host."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ci.access import passwords
from ci.store import sessions, users
from ci.store.database import Database

if TYPE_CHECKING:
    from pathlib import Path


def ci_run(home: Path, *words: str, said: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the verb."""
    result = subprocess.run(
        [sys.executable, "-m", "ci.cli.main", "user", *words],
        env={**os.environ, "HAKO_HOME": str(home)},
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == code, result.stderr
    return result


@pytest.mark.slow
def test_accounts(tmp_path: Path) -> None:
    """Are added, listed, locked, and given another password, which ends their sessions."""
    ci_run(tmp_path, "add", "--admin", "ada", said="correct horse\n")
    ci_run(tmp_path, "add", "bob", said="battery staple\n")
    database = Database(f"sqlite:///{tmp_path}/server/server.db")
    with database.write() as connection:
        ada = users.find(connection, "ada")
        session = sessions.begin(connection, ada.id, 1.0)
    assert ada.admin
    assert passwords.check("correct horse", ada.password)
    ci_run(tmp_path, "password", "ada", said="another one\n")
    ci_run(tmp_path, "demote", "ada")
    ci_run(tmp_path, "lock", "bob")
    with database.read() as connection:
        assert sessions.user(connection, session.text, 2.0) is None
        assert passwords.check("another one", users.find(connection, "ada").password)
    database.close()
    assert ci_run(tmp_path, "ls").stdout.splitlines() == [
        "NAME  OF           IS",
        "ada   this server",
        "bob   this server  locked",
    ]


@pytest.mark.parametrize(
    ("words", "said", "complaint"),
    [
        (("add", "ada"), "short\n", "a password has 8 to 1024 characters"),
        (("add", "../x"), "correct horse\n", "is no name of an account"),
        (("lock", "nobody"), "", "no account nobody"),
        (("promote",), "", "the following arguments are required: NAME"),
    ],
)
def test_mistakes(tmp_path: Path, words: tuple[str, ...], said: str, complaint: str) -> None:
    """One line each."""
    result = ci_run(tmp_path, *words, said=said, code=2)
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
