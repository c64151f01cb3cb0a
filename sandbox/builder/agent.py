"""Forwards an ssh agent into a RUN: a socket of the build's own, served by a small process beside it.

The agent itself cannot be shown to a container: it talks to its own user alone, and would let the container add and
remove keys. The process passes on requests to list keys and to sign, and refuses all others. It ends with its standard
input, so with the build. `key_agent` is an agent for key files. Sources: draft-ietf-sshm-ssh-agent; what BuildKit
forwards.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FAILURE = b"\x00\x00\x00\x01\x05"  # SSH_AGENT_FAILURE
_ALLOWED = frozenset((11, 13))  # SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST
_MESSAGE_LIMIT = 256 << 10  # bytes, OpenSSH's
_CONNECTIONS = 64
_NAME = "agent"
_UNTIL_END = 'cat > /dev/null; kill "$SSH_AGENT_PID"'  # until this process is gone, however
_PATIENCE = 10.0  # seconds


@contextmanager
def forwarded(agent: str, folder: Path, *, uid: int, gid: int, mode: int) -> Iterator[Path]:
    """A socket in an empty folder of the build's through which the agent answers, as long as the block.

    It belongs to uid and gid. NotFoundError where no agent listens at the path `agent`.
    """
    if not _listens(agent):
        raise NotFoundError(f"no ssh agent listens at {agent!r}", hint="start one, or name a key: --ssh default=FILE")
    path = folder / _NAME
    with socket.socket(socket.AF_UNIX) as listening:
        _bind(listening, folder)
        path.chmod(mode)
        os.chown(path, uid, gid)
        listening.listen(_CONNECTIONS)
        root = str(Path(__file__).resolve().parents[2])
        program = f"import sys; sys.path.insert(0, {root!r}); import {__name__} as m; m.serve(sys.argv[1], sys.argv[2])"
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", program, agent, str(listening.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=(listening.fileno(),),
            start_new_session=True,  # Ctrl-C is the build's
        )
    try:
        yield path
    finally:
        process.communicate()


@contextmanager
def key_agent(keys: Sequence[str], folder: Path) -> Iterator[str]:
    """The socket of an agent that has the keys of these files, as long as the block.

    InvalidError for a file that is no key or wants a passphrase.
    """
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # However long the folder's path is: a socket's may have 107 bytes.
    path = f"/proc/{os.getpid()}/fd/{fd}/{_NAME}"
    process = None
    try:
        process = subprocess.Popen(
            ["ssh-agent", "-a", path, "sh", "-c", _UNTIL_END],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the build's
        )
        _wait(path, process)
        for key in keys:
            done = subprocess.run(
                ["ssh-add", "-q", key],
                env={**os.environ, "SSH_AUTH_SOCK": path, "SSH_ASKPASS_REQUIRE": "never", "DISPLAY": ""},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                start_new_session=True,  # no terminal to ask a passphrase at
            )
            if done.returncode:
                reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it has a passphrase"]
                raise InvalidError(f"cannot use the ssh key {key!r}: {reason[0].lower()}")
        yield path
    except FileNotFoundError:
        raise NotFoundError("ssh-agent is not installed", hint="keys of --ssh need it (openssh-client)") from None
    finally:
        if process is not None:
            process.communicate()
        os.close(fd)


def serve(agent: str, fileno: str) -> None:
    """Pass messages between the listening socket and the agent, until standard input ends."""
    listening = socket.socket(fileno=int(fileno))
    threading.Thread(target=_accept, args=(listening, agent), daemon=True).start()
    while os.read(0, 1):
        pass


def _accept(listening: socket.socket, agent: str) -> None:
    slots = threading.BoundedSemaphore(_CONNECTIONS)
    while True:
        client, _ = listening.accept()
        slots.acquire()
        threading.Thread(target=_converse, args=(client, agent, slots), daemon=True).start()


def _converse(client: socket.socket, agent: str, slots: threading.BoundedSemaphore) -> None:
    with client, socket.socket(socket.AF_UNIX) as upstream, suppress(OSError, EOFError):
        upstream.connect(agent)
        while True:
            message = _message(client)
            if message[0] in _ALLOWED:
                upstream.sendall(len(message).to_bytes(4, "big") + message)
                answer = _message(upstream)
                client.sendall(len(answer).to_bytes(4, "big") + answer)
            else:
                client.sendall(_FAILURE)
    slots.release()


def _message(connection: socket.socket) -> bytes:
    """The next message without its length; EOFError at the end, or for one that is none."""
    length = int.from_bytes(_exactly(connection, 4), "big")
    if not 0 < length <= _MESSAGE_LIMIT:
        raise EOFError
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _listens(agent: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(agent)
    except (OSError, ValueError):
        return False
    return True


def _bind(listening: socket.socket, folder: Path) -> None:
    """Bind to the name in a folder, however long its path is: a socket's may have 107 bytes."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listening.bind(f"/proc/self/fd/{fd}/{_NAME}")
    finally:
        os.close(fd)


def _wait(path: str, process: subprocess.Popen[bytes]) -> None:
    """Until the agent listens."""
    end = time.monotonic() + _PATIENCE
    while not _listens(path):
        if process.poll() is not None or time.monotonic() > end:
            raise InvalidError("ssh-agent does not start")
        time.sleep(0.01)
