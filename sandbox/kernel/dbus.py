"""A D-Bus method call, as much of it as asking systemd for something takes.

Used by `cgroups_systemd` only. Written out because the ways around it cost more: `busctl` is a process of 15 ms and
missing in minimal images, libraries are far larger than the four types needed here. One connection per call, blocking,
with a time limit. Source: https://dbus.freedesktop.org/doc/dbus-specification.html (message protocol, SASL EXTERNAL).
"""

from __future__ import annotations

import _socket  # the standard library's `socket` without its 3 ms of imports; plain blocking use needs nothing of them
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Value: TypeAlias = str | int | bool | Sequence[int]
    Property: TypeAlias = tuple[str, str, Value]  # name, signature (s, t, u, b, au), value

_CALL, _RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_LARGEST_MESSAGE = 1 << 20
_TIMEOUT = 5.0  # seconds for each wait


class Writer:
    """Marshals values, each aligned to its size from the start of the message or body."""

    def __init__(self) -> None:
        self._data = bytearray()

    def bytes(self) -> bytes:
        """What has been written."""
        return bytes(self._data)

    def align(self, size: int) -> None:
        """Pad with zeros to a multiple of `size`."""
        self._data += bytes(-len(self._data) % size)

    def number(self, kind: str, value: int) -> None:
        """`kind` is a struct code of standard size (B, I, Q)."""
        self.align(struct.calcsize("<" + kind))
        self._data += struct.pack("<" + kind, value)

    def text(self, value: str) -> None:
        """A string or object path."""
        encoded = value.encode()
        self.number("I", len(encoded))
        self._data += encoded + b"\0"

    def signature(self, value: str) -> None:
        """A signature: its length is one byte."""
        self._data += bytes([len(value)]) + value.encode() + b"\0"

    def variant(self, signature: str, value: Value) -> None:
        """A value with its type before it."""
        self.signature(signature)
        if signature in ("s", "o"):
            self.text(str(value))
        elif signature == "g":
            self.signature(str(value))
        elif signature == "au" and not isinstance(value, str | int):
            self.number("I", 4 * len(value))
            for item in value:
                self.number("I", item)
        elif signature in ("b", "u", "t") and isinstance(value, int):
            self.number("Q" if signature == "t" else "I", int(value))
        else:
            raise ValueError(f"cannot write {value!r} as {signature}")

    def properties(self, properties: Sequence[Property]) -> None:
        """An array a(sv)."""
        body = Writer()
        for name, signature, value in properties:
            body.align(8)
            body.text(name)
            body.variant(signature, value)
        # The length leaves out the padding before the first element; both writers start it at a multiple of 8
        self.number("I", len(body._data))
        self.align(8)
        self._data += body._data


def message(serial: int, fields: Sequence[tuple[int, str, str]], body: bytes) -> bytes:
    """A method call with the header `fields` (code, signature, value)."""
    head = Writer()
    head._data += struct.pack("<4BII", ord("l"), _CALL, 0, 1, len(body), serial)
    listed = Writer()
    for code, signature, value in fields:
        listed.align(8)
        listed.number("B", code)
        listed.variant(signature, value)
    head.number("I", len(listed._data))
    head._data += listed._data
    head.align(8)
    return head.bytes() + body


def call(runtime_directory: str, uid: int, member: str, signature: str, body: bytes) -> None:
    """Call `member` of systemd's manager in the session of user `uid` (as the host sees it) and wait for the answer.

    Raises `OSError`: no session bus, a refusal (with systemd's words), no answer in time.
    """
    destination = "org.freedesktop.systemd1"
    fields = [
        (_PATH, "o", "/org/freedesktop/systemd1"),
        (_INTERFACE, "s", f"{destination}.Manager"),
        (_MEMBER, "s", member),
        (_DESTINATION, "s", destination),
        (_SIGNATURE, "g", signature),
    ]
    hello = [
        (_PATH, "o", "/org/freedesktop/DBus"),
        (_INTERFACE, "s", "org.freedesktop.DBus"),
        (_MEMBER, "s", "Hello"),
        (_DESTINATION, "s", "org.freedesktop.DBus"),
    ]
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(_TIMEOUT)
        path = f"{runtime_directory}/bus"
        try:
            connection.connect(path)
        except OSError as error:
            error.filename = path
            raise
        # The bus compares the claimed id with what the kernel says; from inside a user namespace it must be the host's
        identity = str(uid).encode().hex()
        connection.sendall(b"\0AUTH EXTERNAL " + identity.encode() + b"\r\n")
        line = b""
        while not line.endswith(b"\r\n"):
            line += _receive(connection, 1)
        if not line.startswith(b"OK "):
            raise PermissionError(
                1, f"the session bus refuses user {uid}: {line.decode('utf-8', 'replace').strip()}", path
            )
        connection.sendall(b"BEGIN\r\n" + message(1, hello, b"") + message(2, fields, body))
        while True:
            kind, serial, words = _next(connection)
            if serial == 2 and kind == _RETURN:
                return
            if kind == _ERROR:
                raise OSError(71, words or "no reason given", path)  # EPROTO
    finally:
        connection.close()


def _receive(connection: _socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError(os.strerror(104))
        data += part
    return data


def _next(connection: _socket.socket) -> tuple[int, int, str]:
    """The next message: its type, the serial it answers, and the text of an error."""
    head = _receive(connection, 16)
    order = "<" if head[:1] == b"l" else ">"
    kind = head[1]
    body_size, _, fields_size = struct.unpack(order + "III", head[4:])
    padded = (fields_size + 7) & ~7
    if padded + body_size > _LARGEST_MESSAGE:
        raise ConnectionError(f"a D-Bus message of {padded + body_size} bytes")
    fields = _receive(connection, padded)[:fields_size]
    body = _receive(connection, body_size)
    serial, name, at = 0, "", 0
    while at < len(fields):
        at = (at + 7) & ~7
        code, length = fields[at], fields[at + 1]
        signature = fields[at + 2 : at + 2 + length]
        at += 3 + length
        if signature == b"g":
            at += 2 + fields[at]
            continue
        at = (at + 3) & ~3
        value = struct.unpack_from(order + "I", fields, at)[0]
        at += 4
        if signature != b"u":
            if code == _ERROR_NAME:
                name = fields[at : at + value].decode("utf-8", "replace")
            at += value + 1
        elif code == _REPLY_SERIAL:
            serial = value
    words = ""
    if kind == _ERROR:
        size = struct.unpack_from(order + "I", body)[0] if len(body) >= 4 else 0
        words = body[4 : 4 + size].decode("utf-8", "replace") or name
    return kind, serial, words
