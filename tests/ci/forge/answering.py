"""A forge's API of the tests' own: a real HTTP server at loopback that answers as it is told, and remembers."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass
class Said:
    """A request: its path with the query, its body's JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Forge:
    """`answers` are (status, JSON or bytes, headers) by "METHOD /path?query"."""

    url: str
    answers: dict[str, tuple[int, Any, dict[str, str]]] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)

    def answer(self, request: str, value: Any, *, status: int = 200, **headers: str) -> None:
        """Answer a request so from now on."""
        self.answers[request] = (status, value, headers)


@contextmanager
def forge() -> Iterator[Forge]:
    """A forge that runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # who has read enough hangs up
                super().handle()

        def _serve(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            found.said.append(Said(self.command, self.path, dict(self.headers), body))
            status, value, headers = found.answers.get(
                f"{self.command} {self.path}", (404, {"message": "Not Found"}, {})
            )
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Forge(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
