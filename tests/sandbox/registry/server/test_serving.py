"""The server on real sockets: bodies of both kinds, slow and rude clients, several processes, TLS, its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from sandbox.registry.server.application import Registry
from sandbox.registry.server.htpasswd import FileAccounts, entry
from sandbox.registry.server.tokens import TokenGate
from tests.sandbox.registry.server.pushes import digest_of
from tests.sandbox.registry.server.running import PATIENCE, Served, request, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "team/app"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for this module."""
    with served(tmp_path_factory.mktemp("served") / "registry") as running:
        yield running


def begin(server: Served, name: str = NAME) -> str:
    """Begin an upload: its location."""
    status, headers, _ = request(server, "POST", f"/v2/{name}/blobs/uploads/")
    assert status == 202
    return headers["Location"]


def raw(server: Served) -> socket.socket:
    """A connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def answer(connection: socket.socket) -> bytes:
    """The header of an answer."""
    found = b""
    while b"\r\n\r\n" not in found:
        data = connection.recv(4096)
        assert data, found
        found += data
    return found


def test_content_of_known_and_unknown_length(server: Served) -> None:
    """A PUT with Content-Length and a PATCH in chunks bring the same blob, larger than any buffer."""
    data = os.urandom(3_000_001)
    digest = digest_of(data)
    assert request(server, "PUT", f"{begin(server)}?digest={digest}", data)[0] == 201
    location = begin(server, "other")
    blocks = (data[at : at + 70_000] for at in range(0, len(data), 70_000))
    assert request(server, "PATCH", location, blocks)[0] == 202
    assert request(server, "PUT", f"{location}?digest={digest}")[0] == 201
    for name in (NAME, "other"):
        status, headers, found = request(server, "GET", f"/v2/{name}/blobs/{digest}")
        assert (status, headers["Content-Length"], found == data) == (200, str(len(data)), True)
    assert (
        request(server, "GET", f"/v2/{NAME}/blobs/{digest}", Range="bytes=1000000-2000000")[2] == data[1000000:2000001]
    )
    assert request(server, "HEAD", f"/v2/{NAME}/blobs/{digest}")[2] == b""


def test_a_client_that_waits_to_be_asked(server: Served) -> None:
    """`Expect: 100-continue`: the server asks for the content, and takes it."""
    location = begin(server)
    with raw(server) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert answer(connection).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert answer(connection).startswith(b"HTTP/1.1 202 ")


def test_one_connection_for_everything(server: Served) -> None:
    """Connections are kept open, also after an error and after a refusal whose content nobody read."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    sock = None
    for method, path, body, status in (
        ("GET", "/v2/", None, 200),
        ("PUT", f"/v2/{NAME}/blobs/uploads/nonsense?digest=x", b"x" * 10_000_000, 404),
        ("GET", f"/v2/{NAME}/manifests/unknown", None, 404),
        ("GET", "/v2/_catalog", None, 200),
    ):
        connection.request(method, path, body)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert sock in (None, connection.sock)
        sock = connection.sock
    connection.close()


@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_a_client_that_leaves_comes_back(server: Served, kind: str) -> None:
    """What came before a connection broke is there (but for a last block), and the upload goes on from there."""
    data = os.urandom(3_000_000)
    location = begin(server)
    framing = "Content-Length: 3000000" if kind == "length" else "Transfer-Encoding: chunked"
    with raw(server) as connection:
        connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        part = data[:2_000_000]
        connection.sendall(part if kind == "length" else b"%x\r\n%s\r\n" % (len(part), part))
    end, status = time.monotonic() + PATIENCE, 0
    while status != 202:  # the server takes note at its own pace
        assert time.monotonic() < end
        size = int(request(server, "GET", location)[1]["Range"].partition("-")[2]) + 1
        if size > 1_000_000:
            status, _, _ = request(server, "PATCH", location, data[size:], Content_Range=f"{size}-{len(data) - 1}")
            assert status in (202, 409, 416)
    assert request(server, "PUT", f"{location}?digest={digest_of(data)}")[0] == 201


@pytest.mark.slow
def test_slow_clients_hold_up_nobody(server: Served) -> None:
    """Sixty connections that say nothing, half a header, half a body, or read nothing: others are answered at once."""
    data = os.urandom(8_000_000)
    digest = digest_of(data)
    assert request(server, "POST", f"/v2/big/blobs/uploads/?digest={digest}", data)[0] == 201
    beginnings = (
        b"",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n",
        f"PATCH {begin(server)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode(),
        f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    )
    connections = [raw(server) for _ in range(60)]
    try:
        for number, connection in enumerate(connections):
            connection.sendall(beginnings[number % len(beginnings)])
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda _: request(server, "GET", f"/v2/big/blobs/{digest}")[2] == data, range(12))
            assert all(found)
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PATCH /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http(server: Served, head: bytes) -> None:
    """Garbled requests, and those that are read differently by a proxy in front (request smuggling), are refused."""
    with raw(server) as connection:
        connection.sendall(head)
        found = connection.recv(4096)
        assert found == b"" or found.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert request(server, "GET", "/v2/")[0] == 200


@pytest.mark.slow
def test_many_clients_push_at_once_to_several_processes(tmp_path: Path) -> None:
    """Two processes on one directory: the requests of an upload come to either, and everything arrives whole."""
    with served(tmp_path / "registry", "--processes", "2") as server:

        def push(number: int) -> None:
            data = os.urandom(500_000) if number % 2 else b"the same for many" * 10_000
            location = begin(server, f"team/{number % 3}")
            for at in range(0, len(data), 100_000):
                assert request(server, "PATCH", location, data[at : at + 100_000])[0] == 202
            assert request(server, "PUT", f"{location}?digest={digest_of(data)}")[0] == 201
            assert request(server, "GET", f"/v2/team/{number % 3}/blobs/{digest_of(data)}")[2] == data

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(push, range(24)))


@pytest.mark.slow
def test_memory_does_not_grow_with_blobs(server: Served) -> None:
    """Blobs of 100 MB pass in both directions, and no process of the server grows by a fifth of that."""
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(server.process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()

    def resident() -> int:
        with open(f"/proc/{children[0]}/status", encoding="ascii") as status:  # noqa: PTH123
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

    block = os.urandom(1 << 20)
    data = block * 100
    before = resident()
    location = begin(server, "big")
    assert request(server, "PATCH", location, (block for _ in range(100)))[0] == 202
    assert request(server, "PUT", f"{location}?digest={digest_of(data)}")[0] == 201
    assert request(server, "GET", f"/v2/big/blobs/{digest_of(data)}")[2] == data
    assert resident() - before < 20 << 20


@pytest.mark.slow
def test_tls(tmp_path: Path) -> None:
    """With a certificate the registry speaks https, and a client that trusts it is served."""
    certificate = tmp_path / "tls.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *subject],
        check=True,
        capture_output=True,
    )
    data = os.urandom(2_000_000)
    with served(
        tmp_path / "registry", "--tls-cert", str(certificate), "--tls-key", str(tmp_path / "key.pem")
    ) as server:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=PATIENCE)
        connection.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(data)}", data)
        response = connection.getresponse()
        assert (response.status, response.read()) == (201, b"")
        connection.request("GET", f"/v2/a/blobs/{digest_of(data)}")
        assert connection.getresponse().read() == data
        connection.close()


def test_the_server_ends_when_it_is_told(tmp_path: Path) -> None:
    """SIGTERM ends it with code 0; a request that goes on is answered first."""
    with served(tmp_path / "registry") as server:
        location = begin(server)
        with raw(server) as connection:
            head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n"
            connection.sendall(head.encode() + bytes(1_000_000))
            while request(server, "GET", location)[1]["Range"] == "0-0":
                pass
            late = threading.Timer(0.3, connection.sendall, (b"0",))
            server.process.send_signal(signal.SIGTERM)
            late.start()
            assert answer(connection).startswith(b"HTTP/1.1 202 ")
            late.join()
        assert server.process.wait(PATIENCE) == 0


def test_errors_are_json_on_the_wire(server: Served) -> None:
    """The specification's form, whatever the client accepts."""
    status, headers, body = request(server, "GET", "/v2/Upper/tags/list", Accept="text/html")
    assert (status, headers["Content-Type"]) == (400, "application/json")
    assert json.loads(body)["errors"][0]["code"] == "NAME_INVALID"


@pytest.mark.slow
def test_connections_that_stand_still_are_closed(tmp_path: Path) -> None:
    """Half a header, half a body, and content that is not read: each is closed, and what came of an upload stays."""
    with served(tmp_path / "registry", "--stalled-timeout", "1s", "--threads", "3") as server:
        data = os.urandom(30_000_000)
        digest = digest_of(data)
        assert request(server, "POST", f"/v2/big/blobs/uploads/?digest={digest}", data)[0] == 201
        location = begin(server)
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n".encode()
        beginnings = (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n", head + bytes(1_000_000))
        for beginning in (*beginnings, f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode()):
            with raw(server) as connection:  # all three threads are held, one after the other, if none is let go
                connection.sendall(beginning)
                if not beginning.startswith(b"GET /v2/big"):
                    while connection.recv(1 << 16):
                        pass
        stalled = [raw(server) for _ in range(3)]
        for connection in stalled:
            connection.sendall(f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert request(server, "GET", location)[1]["Range"] != "0-0"
        for connection in stalled:
            connection.close()


def test_a_registry_below_a_prefix(tmp_path: Path) -> None:
    """Mounted in another application, its locations and the address of its tokens have the prefix."""
    (tmp_path / "accounts").write_text(entry("alice", "secret") + "\n")
    accounts = FileAccounts(tmp_path / "accounts")
    mounted = DispatcherMiddleware(NotFound(), {"/images": Registry(tmp_path / "registry")})
    guarded = DispatcherMiddleware(
        NotFound(), {"/images": Registry(tmp_path / "registry", gate=TokenGate(accounts, b"k" * 32))}
    )
    response = Client(mounted).post(f"/images/v2/{NAME}/blobs/uploads/")
    assert response.headers["Location"].startswith(f"/images/v2/{NAME}/blobs/uploads/")
    assert Client(mounted).put(response.headers["Location"], query_string={"digest": digest_of(b"")}).status_code == 201
    assert 'realm="http://localhost/images/v2/_token"' in Client(guarded).get("/images/v2/").headers["WWW-Authenticate"]
