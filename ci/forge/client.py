"""Calls of a forge's API: JSON over HTTP, with limits on time and size, and one error for all that can go wrong.

The one place of the server that speaks to forges beside git. A redirect is not followed: a token must not go where
somebody else sends it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import urllib3

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TIMEOUT = urllib3.Timeout(connect=5, read=15)
_LIMIT = 8 << 20  # bytes of an answer
_SAID = 300  # characters of what a forge says of a refusal
_PAGES = 100  # of a list, of a hundred elements each
_GITHUB = "https://github.com"
_TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})


class ForgeError(CiError):
    """A forge did not do it. `status` is HTTP's, 0 where there was no answer; `retry`: whether it may do it later;
    `said` is the JSON of its answer.
    """

    reference = "forge"
    exit_code = 1

    def __init__(self, message: str, *, status: int = 0, retry: bool = False, hint: str = "", said: Any = None) -> None:
        super().__init__(message, hint=hint)
        self.said = said
        self.status = status
        self.retry = retry


class Answer(NamedTuple):
    """A JSON value, and the headers that came with it (lower-case names)."""

    value: Any
    headers: Mapping[str, str]


class Client:
    """Calls below a base URL. Thread-safe; connections are kept."""

    def __init__(self, base: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._base = base.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "hako", **(headers or {})}
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        token: str = "",
    ) -> Answer:
        """The JSON that the forge answers. Raises ForgeError."""
        url = f"{self._base}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = dict(self._headers)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            with self._pool.request(
                method, url, body=content, headers=headers, preload_content=False, redirect=False
            ) as response:
                data = response.read(_LIMIT + 1)
                status = response.status
                found = {name.lower(): value for name, value in response.headers.items()}
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ForgeError(f"{self._host} does not answer: {_reason(error)}", retry=True) from None
        if len(data) > _LIMIT:
            raise ForgeError(f"{self._host} answers with more than {_LIMIT >> 20} MiB", status=status)
        if not 200 <= status < 300:
            raise self._refusal(method, path, status, found, data)
        return Answer(_json(data) if data.strip() else None, found)

    def pages(self, path: str, *, token: str = "", query: Mapping[str, str] | None = None) -> Iterator[Any]:
        """The elements of a list that comes in pages, as GitHub, Gitea and GitLab count them."""
        for number in range(1, _PAGES + 1):
            wanted = {**(query or {}), "per_page": "100", "limit": "50", "page": str(number)}
            answer = self.call("GET", path, query=wanted, token=token)
            if not isinstance(answer.value, list) or not answer.value:
                return
            yield from answer.value
            if 'rel="next"' not in answer.headers.get("link", ""):
                return

    @property
    def _host(self) -> str:
        return urlsplit(self._base).netloc

    def _refusal(self, method: str, path: str, status: int, headers: Mapping[str, str], data: bytes) -> ForgeError:
        exhausted = status == 403 and headers.get("x-ratelimit-remaining") == "0"
        said = _json(data)
        text = said.get("message", "") if isinstance(said, dict) else ""
        reason = f": {text[:_SAID]}" if isinstance(text, str) and text else ""
        hint = ""
        if status == 401:
            hint = "is the token still valid?"
        elif status in (403, 404) and not exhausted:
            hint = "may the token do this, and is the name right?"
        return ForgeError(
            f"{self._host} answers {status} to {method} {path}{reason}",
            status=status,
            retry=exhausted or status in _TEMPORARY,
            hint=hint,
            said=said,
        )


def api_url(kind: str, forge_url: str) -> str:
    """Where a forge's API is. GitHub Enterprise has it below its own name, GitHub at another one."""
    base = forge_url.rstrip("/")
    if kind == "github":
        return "https://api.github.com" if base == _GITHUB else f"{base}/api/v3"
    return f"{base}/api/v4" if kind == "gitlab" else f"{base}/api/v1"


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _reason(error: BaseException) -> str:
    """Without the name of urllib3's object that begins some of its messages."""
    return str(error).rpartition("HTTPConnection(")[2].partition(": ")[2] or str(error)
