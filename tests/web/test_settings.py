"""What the server is told by its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.access.oauth import Application
from ci.errors import CiError
from web import settings

HOME = Path("/var/lib/hako")


def test_nothing_has_to_be_set() -> None:
    """Everything is below the home; the server is reached where it listens."""
    found = settings.read({}, HOME)
    assert (found.host, found.port, found.server_url) == ("127.0.0.1", 8080, "http://127.0.0.1:8080")
    assert found.database_url == "sqlite:////var/lib/hako/server/server.db"
    assert found.redis_url == ""
    assert found.folder == HOME / "server"
    assert found.logins == ()
    assert not found.secure
    assert settings.at_port(settings.read({"HAKO_LISTEN": "[::1]:0"}, HOME), 81).server_url == "http://[::1]:81"


def test_what_is_set_counts() -> None:
    """An address of version 6 is in brackets; a URL has no slash at its end."""
    found = settings.read(
        {
            "HAKO_LISTEN": "[::1]:80",
            "HAKO_SERVER_URL": "https://ci.example.org/",
            "HAKO_GITHUB_URL": "https://git.example.org/",
            "HAKO_GITHUB_CLIENT_ID": "id",
            "HAKO_GITHUB_CLIENT_SECRET": "quiet",
            "HAKO_FILE_REPOSITORIES": "yes",
            "HAKO_PROXIES": "1",
        },
        HOME,
    )
    assert (found.host, found.port, found.server_url) == ("::1", 80, "https://ci.example.org")
    assert found.secure
    assert found.files
    assert found.proxies == 1
    expected = Application(forge="github", forge_url="https://git.example.org", client_id="id", client_secret="quiet")  # noqa: S106
    assert found.logins == (expected,)
    assert "quiet" not in repr(found)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("HAKO_LISTEN", "8080", "write HOST:PORT"),
        ("HAKO_LISTEN", "host:70000", "write HOST:PORT"),
        ("HAKO_SERVER_URL", "ci.example.org", "write http://HOST"),
        ("HAKO_THREADS", "0", "write a number from 4 on"),
        ("HAKO_PROCESSES", "two", "write a number from 1 on"),
        ("HAKO_FILE_REPOSITORIES", "perhaps", "write 1 or 0"),
        ("HAKO_GITHUB_CLIENT_ID", "id", "without HAKO_GITHUB_CLIENT_SECRET"),
    ],
)
def test_what_makes_no_sense(name: str, text: str, words: str) -> None:
    """One line that names the variable."""
    with pytest.raises(CiError, match=words) as caught:
        settings.read({name: text}, HOME)
    assert name in str(caught.value)
