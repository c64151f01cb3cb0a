"""ADD of URLs, from a server on loopback."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from sandbox.builder.downloads import Downloads, forget
from sandbox.builder.fetching import fetch, file_name
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"from afar"
TAG = '"v1"'


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """A file, a redirect to a file of the host, or nothing."""
        if self.path == "/out":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        if self.path == "/round":
            self.send_response(302)
            self.send_header("Location", "/round")
            self.end_headers()
            return
        same = self.path == "/tagged" and self.headers.get("If-None-Match") == TAG
        self.send_response(304 if same else 200 if self.path in ("/d/f.txt", "/cut", "/tagged") else 404)
        self.send_header("Last-Modified", "Thu, 01 Jan 1970 00:01:00 GMT")
        self.send_header("ETag", TAG)
        if self.path == "/cut":
            self.send_header("Content-Length", str(len(CONTENT) + 5))
        self.end_headers()
        if not same:
            self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[str]:
    """The server's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_has_its_name_time_and_mode(server: str, tmp_path: Path) -> None:
    """The URL's name, the server's time, nobody else's to read; a checksum that is right does no harm."""
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    path = fetch(f"{server}/d/f.txt", tmp_path, digest)
    status = path.stat()
    assert (path.name, path.read_bytes(), status.st_mtime, status.st_mode & 0o777) == ("f.txt", CONTENT, 60, 0o600)


@pytest.mark.parametrize(
    ("path", "checksum", "message"),
    [
        ("/d/f.txt", "sha256:" + "0" * 64, "has the digest"),
        ("/d/f.txt", "md5:0", "not a sha256 digest"),
        ("/nothing", "", "cannot fetch"),
        ("/out", "", "cannot fetch"),
        ("/cut", "", "ends 5 bytes too early"),
        ("/round", "", "would lead to an infinite loop"),
    ],
)
def test_what_is_refused(server: str, tmp_path: Path, path: str, checksum: str, message: str) -> None:
    """Another content, what is not there, and redirects to anything but http."""
    with pytest.raises(InvalidError, match=message):
        fetch(server + path, tmp_path, checksum)


def test_what_is_the_same_is_not_loaded_again(server: str, tmp_path: Path) -> None:
    """An ETag that the server knows gives the file that was kept, with its time; nothing behind a secret is kept."""
    downloads = Downloads(tmp_path / "home")
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = fetch(f"{server}/tagged", folder, "", "Bearer x" if number == 0 else "", downloads)
        assert (path.read_bytes(), path.stat().st_mtime) == (CONTENT, 60)
        assert (downloads.find(f"{server}/tagged") is None) == (number == 0)
    kept = downloads.find(f"{server}/tagged")
    assert kept is not None
    assert path.samefile(kept.path)
    kept.path.unlink()
    assert downloads.find(f"{server}/tagged") is None
    forget(tmp_path / "home")
    assert not any((tmp_path / "home" / "downloads").iterdir())


def test_names() -> None:
    """The last part of the path."""
    assert [file_name(f"http://x{path}") for path in ("/a/b%20c?d", "", "/", "/..", "/a/")] == ["b c", "", "", "", ""]
