"""Calls of a forge's API."""

from __future__ import annotations

import socket

import pytest

from ci.forge.client import Client, ForgeError, api_url
from tests.ci.forge.answering import forge


def test_a_call_and_its_answer() -> None:
    """JSON goes out with the token, and comes back; no content is no error."""
    with forge() as server:
        server.answer("POST /statuses?a=b", {"id": 1}, status=201)
        server.answer("DELETE /x", b"", status=204)
        client = Client(server.url)
        assert client.call("POST", "/statuses", body={"é": 1}, query={"a": "b"}, token="t").value == {"id": 1}  # noqa: S106
        assert client.call("DELETE", "/x").value is None
        assert server.said[0].body == {"é": 1}
        assert server.said[0].headers["Authorization"] == "Bearer t"
        assert "Authorization" not in server.said[1].headers


@pytest.mark.parametrize(
    ("status", "headers", "retry", "words"),
    [
        (401, {}, False, "is the token still valid"),
        (404, {}, False, "may the token do this"),
        (403, {"x_ratelimit_remaining": "0"}, True, "rate limit exceeded"),
        (422, {}, False, "answers 422 to GET /x: rate limit exceeded"),
        (502, {}, True, "answers 502"),
        (302, {"location": "http://127.0.0.1:1/stolen"}, False, "answers 302"),
    ],
)
def test_refusals(status: int, headers: dict[str, str], retry: bool, words: str) -> None:
    """One line with the forge's own words; whether it may be tried again; a redirect is none to be followed."""
    with forge() as server:
        server.answer("GET /x", {"message": "rate limit exceeded"}, status=status, **headers)
        with pytest.raises(ForgeError) as caught:
            Client(server.url).call("GET", "/x", token="t")  # noqa: S106
        assert (caught.value.status, caught.value.retry) == (status, retry)
        assert words in str(caught.value)
        assert len(server.said) == 1


def test_nobody_answers() -> None:
    """One line that names the host; it may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ForgeError, match=rf"127\.0\.0\.1:{port} does not answer: .*refused") as caught:
        Client(f"http://127.0.0.1:{port}").call("GET", "/")
    assert caught.value.retry
    assert "object at" not in str(caught.value)


def test_an_answer_without_an_end() -> None:
    """Is not read to it."""
    with forge() as server:
        server.answer("GET /x", b"[" * (9 << 20))
        with pytest.raises(ForgeError, match="more than 8 MiB"):
            Client(server.url).call("GET", "/x")


def test_lists_come_in_pages() -> None:
    """As long as the forge says that there is another one."""
    query = "?per_page=100&limit=50&page="
    with forge() as server:
        server.answer(f"GET /l{query}1", [1, 2], Link='<x>; rel="next"')
        server.answer(f"GET /l{query}2", [3])
        assert list(Client(server.url).pages("/l")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        ("github", "https://github.com", "https://api.github.com"),
        ("github", "https://git.example/", "https://git.example/api/v3"),
        ("gitea", "https://git.example", "https://git.example/api/v1"),
        ("forgejo", "https://git.example", "https://git.example/api/v1"),
        ("gitlab", "https://git.example", "https://git.example/api/v4"),
    ],
)
def test_where_the_api_is(kind: str, url: str, expected: str) -> None:
    """By the forge's kind."""
    assert api_url(kind, url) == expected
