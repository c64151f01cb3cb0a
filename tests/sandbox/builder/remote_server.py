"""A server on loopback for what builds fetch: files of a folder, redirects, and the git repositories below it."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "T"), ("EMAIL", "t@example.com"), ("DATE", "2001-02-03T04:05:06Z"))
}
_ENVIRONMENT = {**os.environ, **_AUTHOR, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(folder: Path, *words: str, stdin: bytes = b"") -> str:
    """What git prints."""
    done = subprocess.run(["git", *words], cwd=folder, env=_ENVIRONMENT, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def repository(folder: Path, files: Mapping[str, str]) -> str:
    """Make a repository, or a further commit in one; the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
        git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "commit")
    return git(folder, "rev-parse", "HEAD")


class Handler(BaseHTTPRequestHandler):
    """Serves `root`; `/NAME.git/…` is the repository NAME, `redirects` go elsewhere, `token` is wanted if set."""

    root: ClassVar[Path]
    redirects: ClassVar[dict[str, str]]
    token: ClassVar[str]
    seen: ClassVar[list[tuple[str, str]]]  # path, and the header Authorization

    def do_GET(self) -> None:
        """A file, a redirect, a repository, or nothing."""
        path = unquote(urlsplit(self.path).path)
        authorization = self.headers.get("Authorization", "")
        self.seen.append((path, authorization))
        if path in self.redirects:
            self.send_response(302)
            self.send_header("Location", self.redirects[path])
            self.end_headers()
        elif self.token and self.token not in authorization:
            self.send_error(401)
        elif ".git/" in path:
            self._backend(path)
        elif (file := self.root / path.lstrip("/")).is_file():
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Last-Modified", "Thu, 01 Jan 1970 00:01:00 GMT")
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_error(404)

    do_POST = do_GET

    def _backend(self, path: str) -> None:
        name, _, rest = path.lstrip("/").partition(".git/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{name}/.git/{rest}",
            "QUERY_STRING": urlsplit(self.path).query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "",
        }
        done = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


class Server:
    """A running server: its address, and the settings of its handler."""

    def __init__(self, address: str, handler: type[Handler]) -> None:
        self.address = address
        self.handler = handler
        self.root = handler.root


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    """Serve a folder as long as the block."""
    handler = type("_Handler", (Handler,), {"root": root, "redirects": {}, "token": "", "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_address[1]}", handler)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
