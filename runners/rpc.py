"""What a runner says to its server: JSON over HTTP, with the runner's token; one method for each call.

Every call may be repeated, and is: where nobody answers, or the server is being restarted (502, 503, 504), it is made
again, ever less often, for as long as the caller has patience. What the server refuses is an `RpcError`. One client
belongs to one process and, but for its connections, has no state. Called by `pulse`, `courier` and `worker`.
"""

from __future__ import annotations

import json
import os
import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import urllib3

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import IO

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0  # seconds between two attempts
_CONNECT, _READ = 5.0, 60.0  # seconds
_RESTARTING = frozenset({502, 503, 504})
_MOST_FAILURES = 5  # times that a call is made again which the server fails at (500)
_ANSWER_LIMIT = 64 << 20  # bytes of a JSON answer: an Assignment has a compiled Stage in it
_SAID = 300  # characters that are shown of an answer that is none of ours
PATIENCE = 12 * 3600.0  # seconds that what a build has left is kept for a server that is away


class RpcError(CiError):
    """The server has refused a call; `status` is HTTP's, `answer` the whole of what it said."""

    reference = "rpc"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", reference: str, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__(message, hint=hint, reference=reference)
        self.status = status
        self.answer = answer

    @property
    def not_ours(self) -> bool:
        """Whether the Stage is another's by now, or nobody's, or we are nobody any more: it is to be ended."""
        return self.status in (401, 404, 410)


class AwayError(CiError):
    """Nobody answers, and patience is over."""

    reference = "server-away"
    exit_code = 1


class Rpc:
    """The server at `url`. `pause` waits some seconds; it may raise to give a call up."""

    def __init__(
        self, url: str, token: str, *, patience: float = PATIENCE, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = f"{url.rstrip('/')}/rpc/v1"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._patience = patience
        self._pause = pause
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.clear()

    def hello(self, about: Mapping[str, Any], resumed: Sequence[int], *, patience: float) -> Mapping[str, Any]:
        """A runner begins, or has lost a Stage: those it still has. → {runner, heartbeat: s, lost_after: s}."""
        body = _json({**about, "resumed": list(resumed)})
        return self._call("POST", "/hello", body=body, patience=patience)  # type: ignore[no-any-return]

    def heartbeat(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """→ {cancel: [id…], gone: [id…]}. Made once: the next one is soon."""
        return self._call("POST", "/heartbeat", body=_json(state), patience=0.0)  # type: ignore[no-any-return]

    def accept(self, stage: int) -> Mapping[str, Any]:
        """The Stage is this runner's now. → Assignment. Raises RpcError: taken, over, not-ready."""
        return self._post(f"/stages/{stage}/accept", {})  # type: ignore[no-any-return]

    def step(self, stage: int, step: int, state: Mapping[str, Any]) -> None:
        """How a step stands: {attempt, state, exit_code, error, started, finished}."""
        self._post(f"/stages/{stage}/steps/{step}", state)

    def log(self, stage: int, step: int, *, attempt: int, offset: int, data: bytes, end: bool, now: float) -> int:
        """Bytes of a step's log, which begin at `offset`; → where the next ones do. Raises RpcError: gap."""
        query = {"attempt": attempt, "offset": offset} | ({"end": 1} if end else {})
        headers = {"Hako-Time": f"{now:.3f}", "Content-Type": "application/octet-stream"}
        path = f"/stages/{stage}/steps/{step}/log?{urlencode(query)}"
        return int(self._call("POST", path, body=data, headers=headers)["next"])

    def tests(self, stage: int, step: int, attempt: int, tally: Mapping[str, Any]) -> None:
        """What a step's reports of tests say."""
        self._call("PUT", f"/stages/{stage}/steps/{step}/tests?attempt={attempt}", body=_json(tally))

    def finish(self, stage: int, result: Mapping[str, Any]) -> None:
        """A Stage is over: {attempt, state, error, started, finished, outputs}."""
        self._post(f"/stages/{stage}/finish", result)

    def put_artifact(self, stage: int, attempt: int, path: str, file: IO[bytes], size: int) -> None:
        """Bring a file, `path` in the workspace; it is read from its beginning each time that this is tried."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        self._call(
            "PUT", f"/stages/{stage}/artifacts/{quote(os.fsencode(path))}?attempt={attempt}", body=file, headers=headers
        )

    def artifacts(self, stage: int) -> list[dict[str, Any]]:
        """What a Stage has left: [{path, size}…]."""
        return list(self._call("GET", f"/stages/{stage}/artifacts"))

    def get_artifact(self, stage: int, path: str, target: IO[bytes]) -> None:
        """Fetch a file into an empty one; a transfer that breaks off begins again."""

        def write(answer: urllib3.BaseHTTPResponse) -> None:
            target.seek(0)
            target.truncate()
            for chunk in answer.stream(1 << 18, decode_content=True):
                target.write(chunk)

        self._call("GET", f"/stages/{stage}/artifacts/{quote(os.fsencode(path))}", read=write)

    def _post(self, path: str, document: Mapping[str, Any]) -> Any:
        return self._call("POST", path, body=_json(document))

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
        read: Callable[[urllib3.BaseHTTPResponse], None] | None = None,
    ) -> Any:
        began, pause, failures = time.monotonic(), _FIRST_PAUSE, 0
        limit = self._patience if patience is None else patience
        kind = {"Content-Type": "application/json"} if body is not None else {}
        while True:
            try:
                return self._once(method, path, body, {**self._headers, **kind, **(headers or {})}, read)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                why = _reason(error)
            except _Restarting as error:
                why = str(error)
            except RpcError as error:
                failures += 1
                if error.status != 500 or failures > _MOST_FAILURES:
                    raise
                why = str(error)
            if time.monotonic() - began + pause > limit:
                raise AwayError(f"{self._url} does not answer: {why}", hint="is the server running?")
            self._pause(pause * (0.5 + random.random()))  # noqa: S311  (so that not all runners come back at once)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None,
        headers: Mapping[str, str],
        read: Callable[[urllib3.BaseHTTPResponse], None] | None,
    ) -> Any:
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
        timeout = urllib3.Timeout(connect=_CONNECT, read=_READ)
        answer = self._pool.request(
            method, self._url + path, body=body, headers=headers, timeout=timeout, preload_content=False, redirect=False
        )
        try:
            if answer.status in _RESTARTING:
                raise _Restarting(f"it says {answer.status}")
            if read is not None and answer.status == 200:
                read(answer)
                return None
            data = answer.read(_ANSWER_LIMIT)
        finally:
            answer.drain_conn()
            answer.release_conn()
        return _answer(answer.status, data)


class _Restarting(Exception):
    """A proxy says that nobody is behind it, or the server that it is not ready."""


def _answer(status: int, data: bytes) -> Any:
    try:
        found = json.loads(data) if data else {}
    except ValueError:
        found = None
    if not isinstance(found, dict | list):
        text = " ".join(data[:_SAID].decode("utf-8", "replace").split())
        raise RpcError(
            f"this is no answer of a server: {text!r}",
            hint="does HAKO_SERVER_URL lead to it?",
            reference="bad-answer",
            status=status,
            answer={},
        )
    if status == 200:
        return found
    said = found.get("error") if isinstance(found, dict) else None
    error: Mapping[str, Any] = said if isinstance(said, dict) else {}
    raise RpcError(
        str(error.get("message") or f"the server answers with {status}"),
        hint=str(error.get("hint") or ""),
        reference=str(error.get("reference") or "refused"),
        status=status,
        answer=(found if isinstance(found, dict) else {}) | dict(error),
    )


def _json(document: Mapping[str, Any] | Iterable[Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _reason(error: Exception) -> str:
    """The last cause of urllib3's, without its objects' names."""
    return str(error).rpartition(": ")[2] or type(error).__name__
