"""Registries for tests: Debian's own as a process, and a small one of ours that can be made to do anything."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.registry import media

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

DEBIANS = shutil.which("docker-registry")
USER, PASSWORD = "tester", "open sesame"
# bcrypt of PASSWORD, which is the one form that Debian's registry takes
HTPASSWD = "tester:$2y$05$nZs/sl9GhnoDJXByBVQVDetYODg7asAWLLiI2Z5MgV6HY1KMFfdxC\n"
_PATIENCE = 30.0  # seconds for a process to listen


@contextmanager
def debians(folder: Path, http: Mapping[str, Any] | None = None, **sections: Any) -> Iterator[str]:
    """Debian's docker-registry on loopback: `127.0.0.1:port`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "secret": "x", **(http or {})},
        **sections,
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=output, stderr=output, cwd=folder
        )
    try:
        yield _address(process, log)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
        if found:
            return found.group(1)
        time.sleep(0.02)
    raise AssertionError(f"docker-registry does not listen: {log.read_text()[-500:]}")


class Request(NamedTuple):
    """What a server was asked."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Reply(NamedTuple):
    """An answer. `length` is what Content-Length says where that is not the truth; `cut`: bytes after which the
    connection breaks.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    length: int | None = None
    cut: int | None = None


def digest_of(data: bytes) -> str:
    """`sha256:…`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Hostile:
    """A registry that has what it is given, and does what it is told: `answers` maps paths (without query) to what
    makes a Reply of a Request, or None for the usual.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}  # by tag and by digest: type, bytes
        self.answers: dict[str, Callable[[Request], Reply | None]] = {}
        self.requests: list[Request] = []
        self.ranges = True
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        """Have a blob; its descriptor."""
        self.blobs[digest_of(data)] = data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def manifest(self, document: Mapping[str, Any] | bytes, *tags: str, kind: str = media.MANIFEST) -> dict[str, Any]:
        """Have a manifest under tags and its digest; its descriptor."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (*tags, digest_of(data)):
            self.manifests[name] = (kind, data)
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    def image(
        self,
        *layers: tuple[bytes, bytes],
        tag: str = "latest",
        layer_type: str = media.LAYER_GZIP,
        platform: Mapping[str, str] | None = None,
        change: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Have an image of layers (uncompressed, as they lie there); `change` may spoil the manifest."""
        configuration = {
            "architecture": "amd64",
            "os": "linux",
            **(platform or {}),
            "config": {"Cmd": ["/a"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(plain) for plain, _ in layers]},
        }
        document = {
            "schemaVersion": 2,
            "mediaType": media.MANIFEST,
            "config": self.blob(json.dumps(configuration).encode(), media.CONFIG),
            "layers": [self.blob(packed, layer_type) for _, packed in layers],
        }
        change(document)
        return self.manifest(document, tag)

    def asked(self, kind: str) -> list[Request]:
        """What was asked for below /blobs/, /manifests/ or the like."""
        return [request for request in self.requests if f"/{kind}/" in request.path]

    def reply(self, request: Request) -> Reply:
        """See the class."""
        self.requests.append(request)
        path = request.path.partition("?")[0]
        told = self.answers.get(path) or self.answers.get("*")
        made = told(request) if told else None
        return made if made is not None else self._usual(request, path)

    def _usual(self, request: Request, path: str) -> Reply:
        kind, name = path.split("/")[-2:]
        if path == "/v2/":
            return Reply(body=b"{}")
        if kind == "manifests" and name in self.manifests:
            media_type, data = self.manifests[name]
            return Reply(body=data, headers={"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)})
        if kind == "blobs" and name in self.blobs:
            data = self.blobs[name]
            start = re.match(r"bytes=(\d+)-", request.headers.get("range", ""))
            if start and self.ranges:
                first = int(start.group(1))
                headers = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
                return Reply(206, data[first:], headers)
            return Reply(body=data)
        return Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


def _handler(registry: Hostile) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = registry.reply(Request(self.command, self.path, headers, self._body()))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            size = len(reply.body) if reply.length is None else reply.length
            if "Transfer-Encoding" not in reply.headers:
                self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
            if reply.cut is not None or size != len(reply.body):
                self.wfile.flush()
                self.close_connection = True

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
