"""D-Bus: a call reaches a bus that speaks the protocol, and its refusals come back as errors."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel import dbus

if TYPE_CHECKING:
    from pathlib import Path


class Bus:
    """A bus with one client: answers Hello and the next call, and keeps what it was sent."""

    def __init__(self, directory: Path, reply: bytes, accepts: bool = True) -> None:
        self.received = b""
        self._reply, self._accepts = reply, accepts
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / "bus"))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, self._listening, connection.makefile("rb") as stream:
            self.received += stream.readline()
            if not self._accepts:
                connection.sendall(b"REJECTED EXTERNAL\r\n")
                return
            connection.sendall(b"OK 0123\r\n")
            self.received += stream.readline()
            for _ in range(2):
                head = stream.read(16)
                body, _, fields = struct.unpack("<III", head[4:])
                self.received += head + stream.read((fields + 7 & ~7) + body)
            connection.sendall(self._reply)

    def join(self) -> None:
        """Wait until the client has been served."""
        self._thread.join(5)
        assert not self._thread.is_alive()


def reply(kind: int, serial: int, body: bytes = b"") -> bytes:
    """A return (2) or error (3) for the call `serial`, after an unrelated signal."""
    fields = struct.pack("<BB2sI", 5, 1, b"u\0", serial)
    if kind == 3:
        name = b"org.freedesktop.systemd1.UnitExists"
        fields += struct.pack("<BB2sI", 4, 1, b"s\0", len(name)) + name + b"\0"
        fields += bytes(-len(fields) % 8) + struct.pack("<BB2sBB", 8, 1, b"g\0", 1, ord("s")) + b"\0"
    noise = struct.pack("<4BIII", ord("l"), 4, 0, 1, 0, 9, 0)
    head = struct.pack("<4BIII", ord("l"), kind, 0, 1, len(body), 7, len(fields))
    return noise + head + fields + bytes(-len(fields) % 8) + body


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path, for a socket's may have 108 bytes."""
    return tmp_path_factory.mktemp("r")


def test_a_call_carries_identity_and_arguments(directory: Path) -> None:
    """The client claims the host's user id and sends the properties aligned as the specification wants."""
    bus = Bus(directory, reply(2, 2))
    body = dbus.Writer()
    body.text("a.scope")
    body.text("fail")
    body.properties(
        [("PIDs", "au", (5, 6)), ("Delegate", "b", True), ("MemoryMax", "t", 1 << 40), ("Slice", "s", "x.slice")]
    )
    body.properties([])
    dbus.call(str(directory), 1000, "StartTransientUnit", "ssa(sv)a(sa(sv))", body.bytes())
    bus.join()
    assert bus.received.startswith(b"AUTH EXTERNAL 31303030\r\n") or bus.received.startswith(
        b"\0AUTH EXTERNAL 31303030"
    )
    assert b"StartTransientUnit\0" in bus.received
    assert bus.received.endswith(body.bytes())
    assert read_properties(body.bytes(), len(b"....a.scope\0....fail\0") + 3) == {
        "PIDs": (5, 6),
        "Delegate": 1,
        "MemoryMax": 1 << 40,
        "Slice": "x.slice",
    }


def read_properties(data: bytes, at: int) -> dict[str, object]:
    """An a(sv) read back, by the specification and not by the writer."""
    size = struct.unpack_from("<I", data, at)[0]
    at = at + 4 + 7 & ~7
    end = at + size
    found: dict[str, object] = {}
    while at < end:
        at = at + 7 & ~7
        length = struct.unpack_from("<I", data, at)[0]
        name = data[at + 4 : at + 4 + length].decode()
        at += 5 + length
        signature = data[at + 1 : at + 1 + data[at]].decode()
        at += 2 + data[at]
        if signature == "t":
            at = at + 7 & ~7
            found[name] = struct.unpack_from("<Q", data, at)[0]
            at += 8
            continue
        at = at + 3 & ~3
        value = struct.unpack_from("<I", data, at)[0]
        at += 4
        if signature == "au":
            found[name] = struct.unpack_from(f"<{value // 4}I", data, at)
            at += value
        elif signature == "s":
            found[name] = data[at : at + value].decode()
            at += value + 1
        else:
            found[name] = value
    assert at == end
    return found


def test_a_refusal_is_an_error_with_its_words(directory: Path) -> None:
    """What systemd says against it is the error's text."""
    words = b"Unit a.scope already exists."
    bus = Bus(directory, reply(3, 2, struct.pack("<I", len(words)) + words + b"\0"))
    with pytest.raises(OSError, match="already exists"):
        dbus.call(str(directory), 1000, "StartTransientUnit", "ss", b"")
    bus.join()


def test_a_bus_that_does_not_know_the_user(directory: Path) -> None:
    """A rejected identity is a permission error that names the user."""
    bus = Bus(directory, b"", accepts=False)
    with pytest.raises(PermissionError, match="1000"):
        dbus.call(str(directory), 1000, "StartTransientUnit", "ss", b"")
    bus.join()


def test_no_bus(tmp_path: Path) -> None:
    """Without a session the error names the socket."""
    with pytest.raises(FileNotFoundError, match="bus"):
        dbus.call(str(tmp_path), 1000, "StartTransientUnit", "ss", b"")
