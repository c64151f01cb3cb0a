"""The verbs that talk to a server: login, repo, build, secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ci.cli import api
from ci.errors import CiError
from ci.pipeline.event import Event
from ci.store import builds, repositories
from ci.store.database import Database
from ci.store.records import Stage, Step
from tests.ci.cli.serving import ci_run, server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path) -> None:
    """An account and its token are made on the host; who has logged in with it adds a repository, looks at its builds
    and gives it a secret.
    """
    with server() as running:
        host = {"HAKO_HOME": str(running.home)}
        ci_run(["user", "add", "--admin", "ada"], host, said="correct horse\n")
        token = ci_run(["user", "token", "ada"], host).stdout
        mine = {"XDG_CONFIG_HOME": str(tmp_path), "HAKO_SERVER_URL": "", "HAKO_TOKEN": ""}
        assert "as ada" in ci_run(["login", running.url, "--token-stdin"], mine, said=token).stdout
        assert (tmp_path / "hako/server.json").stat().st_mode & 0o777 == 0o600

        ci_run(["repo", "add", "octo/hello", "--clone-url", "https://example.org/octo/hello.git", "--public"], mine)
        ci_run(["repo", "set", "octo/hello", "approval=all", 'trusted_senders=["5"]', "--trusted", "yes"], mine)
        listed = ci_run(["repo", "ls", "HELLO"], mine).stdout
        assert [line.split() for line in listed.splitlines()] == [
            ["NAME", "FORGE", "ROLE", "IS"],
            ["octo/hello", "git", "admin", "trusted"],
        ]
        shown = json.loads(ci_run(["repo", "show", "octo/hello", "--json"], mine).stdout)
        assert shown["settings"] == {"approval": "all", "trusted_senders": ["5"]}

        database = Database(f"sqlite:///{running.home}/server/server.db")
        with database.write() as connection:
            repository = repositories.find(connection, "octo/hello")
            planned = (Stage(number=1, name="test", matrix={"go": "1"}, steps=(Step(number=1, name="go test"),)),)
            event = Event(branch="main", commit="c" * 40, message="Fix \x1b[31mit", author_login="mona")
            builds.create(connection, repository.id, event, planned, 1.0)
        database.close()
        table = ci_run(["build", "ls", "octo/hello", "--branch", "main"], mine).stdout
        assert "cccccccc" in table
        assert "Fix \\x1b[31mit" in table
        found = ci_run(["build", "show", "octo/hello", "1"], mine).stdout
        assert "test go=1" in found
        assert "  go test" in found

        ci_run(["secret", "set", "octo/hello", "token", "--event", "tag", "--branch", "v*"], mine, said="hunter2\n")
        assert "token  tag     v*" in ci_run(["secret", "ls", "octo/hello"], mine).stdout
        ci_run(["secret", "rm", "octo/hello", "token"], mine)
        missing = ci_run(["secret", "rm", "octo/hello", "token"], mine, code=1)
        assert missing.stderr == "ci-run: octo/hello has no secret token\n"

        stranger = {**mine, "HAKO_TOKEN": "hako_invented"}
        assert "`ci-run login URL`" in ci_run(["repo", "ls"], stranger, code=1).stderr


def test_a_token_is_for_its_server(tmp_path: Path) -> None:
    """It does not go to another that the environment names."""
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    api.keep(environment, api.Login(url="https://a.example", token="quiet"))  # noqa: S106
    assert api.login(environment).token == "quiet"  # noqa: S105
    assert api.login({**environment, "HAKO_SERVER_URL": "https://b.example/"}).token == ""
    assert "quiet" not in repr(api.login(environment))


def test_no_server(tmp_path: Path) -> None:
    """A line that says how to name one; a damaged file is told of."""
    environment = {"HOME": str(tmp_path)}
    with pytest.raises(CiError, match="no server is known"):
        api.login(environment)
    path = api.file(environment)
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    with pytest.raises(CiError, match="is damaged"):
        api.login(environment)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["login", "ci.example.org"], "is not the URL of a server"),
        (["repo", "set", "octo/hello"], "nothing is to be changed"),
        (["repo", "set", "octo/hello", "nonsense"], "'nonsense' is not KEY=VALUE"),
        (["build", "show", "octo/hello", "x"], "invalid int value"),
        (["secret"], "the following arguments are required: ACTION"),
    ],
)
def test_mistakes(tmp_path: Path, words: list[str], complaint: str) -> None:
    """One line each, without a server."""
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "HAKO_SERVER_URL": "http://127.0.0.1:9"}
    result = ci_run(words, environment, code=2)
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
