"""A small server that speaks the runners' RPC, over real HTTP, and remembers what it was told; it can be away or
refuse.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "runner-token"  # noqa: S105


@dataclass
class Told:
    """What was said of one Stage."""

    assignment: dict[str, Any]
    attempts: int = 0
    running: bool = False
    logs: dict[int, bytearray] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    steps: list[tuple[int, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    tests: dict[int, Any] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    result: dict[str, Any] | None = None


class Server:
    """`with Server() as server:` listens at `url`. `stop` and `start` are a restart: what it knows stays."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.stages: dict[int, Told] = {}
        self.hellos: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.cancelled: set[int] = set()
        self.lost: list[int] = []
        self.refuse: dict[str, int] = {}  # the status for paths that end so
        self.failures = 0  # so many requests are answered with 503
        self.requests = 0
        self.interval = 0.3
        self.lock = threading.Lock()
        self._address = (host, 0)
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self._address[0]}:{self._address[1]}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, at the same port as the last time."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                status, answer = outer.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(self._address, Handler)
        self._server.daemon_threads = True
        self._address = (self._address[0], self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more; connections that are open are answered with 503."""
        if self._server is not None:
            self.failures += 1 << 30
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self.failures = 0

    def add(self, assignment: dict[str, Any]) -> int:
        """A Stage that waits for a runner."""
        identifier: int = assignment["stage"]["id"]
        self.stages[identifier] = Told(assignment)
        return identifier

    def answer(self, method: str, target: str, token: str, body: bytes) -> tuple[int, Any]:
        """The answer to a request."""
        with self.lock:
            self.requests += 1
            path = urlsplit(target).path.removeprefix("/rpc/v1")
            query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
            if self.failures > 0 or self._server is None:
                self.failures -= 1
                return 503, {"error": {"reference": "starting", "message": "starts"}}
            for end, status in self.refuse.items():
                if path.endswith(end):
                    return status, {"error": {"reference": "refused", "message": "no"}}
            if token != f"Bearer {TOKEN}":
                return 401, {"error": {"reference": "unauthorized", "message": "who?"}}
            return self._route(method, path.strip("/").split("/"), query, body)

    def _route(self, method: str, path: list[str], query: dict[str, str], body: bytes) -> tuple[int, Any]:
        if path == ["hello"]:
            said = json.loads(body)
            self.hellos.append(said)
            for identifier, stage in self.stages.items():
                if stage.running and identifier not in said["resumed"]:
                    stage.running = False
                    self.lost.append(identifier)
            return 200, {"runner": "r", "heartbeat": self.interval, "lost_after": 5}
        if path == ["heartbeat"]:
            said = json.loads(body)
            self.heartbeats.append(said)
            mine = {identifier for identifier, stage in self.stages.items() if stage.running}
            return 200, {"cancel": sorted(mine & self.cancelled), "gone": [i for i in said["stages"] if i not in mine]}
        if int(path[1]) not in self.stages:
            return 404, {"error": {"reference": "no-such-stage", "message": "none"}}
        return self._stage(self.stages[int(path[1])], method, path[2:], query, body)

    def _stage(  # noqa: PLR0911  (a table of calls)
        self, stage: Told, method: str, path: list[str], query: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        if path == ["accept"]:
            if stage.result is not None:
                return 409, {"error": {"reference": "over", "message": "over"}}
            if not stage.running:
                stage.attempts += 1
                stage.running = True
                stage.logs.clear()
                stage.ended.clear()
                stage.steps.clear()
            document = json.loads(json.dumps(stage.assignment))
            document["stage"]["attempt"] = stage.attempts
            return 200, document
        if method == "GET":
            if path == ["artifacts"]:
                return 200, [{"path": name, "size": len(data)} for name, data in stage.artifacts.items()]
            return 200, stage.artifacts["/".join(unquote(one) for one in path[1:])]
        document = (
            json.loads(body) if path[-1] in ("finish", "tests") or (len(path) == 2 and path[0] == "steps") else {}
        )
        attempt = int(query.get("attempt", document.get("attempt", 0) if isinstance(document, dict) else 0))
        if not stage.running or attempt != stage.attempts:
            return 410, {"error": {"reference": "not-yours", "message": "not yours"}}
        if path == ["finish"]:
            stage.result, stage.running = document, False
            return 200, {}
        if path[0] == "artifacts":
            stage.artifacts["/".join(unquote(one) for one in path[1:])] = body
            return 200, {}
        number = int(path[1])
        if path[2:] == ["tests"]:
            stage.tests[number] = document
        elif path[2:] == ["log"]:
            return self._log(stage, number, query, body)
        else:
            stage.steps.append((number, document["state"]))
            stage.bodies.append(document | {"step": number})
        return 200, {}

    def _log(self, stage: Told, number: int, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        known, offset = stage.logs.setdefault(number, bytearray()), int(query["offset"])
        if offset > len(known):
            return 409, {"error": {"reference": "gap", "message": "gap"}, "next": len(known)}
        known += body[len(known) - offset :]
        if "end" in query:
            stage.ended.add(number)
        return 200, {"next": len(known)}
