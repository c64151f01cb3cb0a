"""How a supervisor is spoken to: JSON messages over a SEQPACKET socket in the container's folder.

Only the owner of `$HAKO_HOME` can reach the socket, by its folder's mode. One message is one packet; descriptors (for
attach and exec) travel beside it (SCM_RIGHTS). A socket's path may be 108 bytes at most, so it is reached through a
descriptor of its folder.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SOCKET_NAME = "control.sock"
_MESSAGE_LIMIT = 1 << 20
_DESCRIPTOR_LIMIT = 253  # SCM_MAX_FD


def listen(folder: Path) -> socket.socket:
    """The supervisor's end."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    with _Directory(folder) as path:
        server.bind(path)
    server.listen(64)
    return server


def connect(folder: Path) -> socket.socket:
    """A caller's end; ConflictError (`not-running`) where no supervisor listens."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE_LIMIT)
    try:
        with _Directory(folder) as path:
            client.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        client.close()
        raise ConflictError(
            f"container {folder.name[:12]} is not running",
            hint="`sandbox ps -a` shows its state",
            reference="not-running",
        ) from None
    return client


def send(connection: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message; raises OSError (EPIPE, ECONNRESET, EMSGSIZE) as the kernel says."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    connection.sendmsg([json.dumps(message).encode()], ancillary, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """One message and its descriptors (close-on-exec); None at the end of the connection."""
    space = socket.CMSG_SPACE(_DESCRIPTOR_LIMIT * 4)
    try:
        data, ancillary, _, _ = connection.recvmsg(_MESSAGE_LIMIT, space, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        # The other end closed without reading everything. That is said once, ahead of what it had sent before.
        try:
            data, ancillary, _, _ = connection.recvmsg(_MESSAGE_LIMIT, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received = array.array("i")
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
            descriptors.extend(received)
    if not data:
        for descriptor in descriptors:
            os.close(descriptor)
        return None
    return json.loads(data), descriptors


def error_message(error: BaseException) -> dict[str, Any]:
    """An error as a message that `raise_error` on the other end makes an exception again."""
    if isinstance(error, SandboxError):
        fields = {
            "message": error.message,
            "hint": error.hint,
            "reference": error.reference,
            "exit_code": error.exit_code,
        }
    elif isinstance(error, OSError):
        place = f" {error.filename!r}" if error.filename else ""
        fields = {
            "message": f"{(error.strerror or str(error)).lower()}{place}",
            "hint": "",
            "reference": "kernel",
            "exit_code": 125,
        }
    else:
        fields = {"message": f"{type(error).__name__}: {error}", "hint": "", "reference": "internal", "exit_code": 125}
    return {"event": "error", **fields}


def raise_error(message: dict[str, Any]) -> None:
    """Raise what `error_message` packed; nothing for any other message."""
    if message.get("event") == "error":
        raise SandboxError(
            message["message"], hint=message["hint"], reference=message["reference"], exit_code=message["exit_code"]
        )


class _Directory:
    """A folder's socket path, short whatever the folder's path is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> str:
        self._descriptor = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{SOCKET_NAME}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
