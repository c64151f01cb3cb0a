"""A runner's pulse: a process that tells the server that the runner lives, and Stages when somebody has cancelled them.

Every few seconds a heartbeat says which Stages the runner has, and hears which of them are to end; Redis says it at
once, on a channel. Either way the Stage's process gets a signal. It is a process of its own because a server that does
not answer must keep nobody waiting, and because the one that forks Stages must have no threads. Forked by `agent`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import redis

from ci.errors import CiError
from runners import stagefolder
from runners.stagefolder import StageFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from runners.host import Host

CHANNEL = "hako:cancel"
_PAUSE = 1.0  # seconds until Redis is tried again, and between looks at the parent


class Pulse:
    """Of the runner on this host; `connect` makes a Redis client of this process's own."""

    def __init__(self, host: Host, connect: Callable[[], redis.Redis], *, interval: float) -> None:
        self._host = host
        self._connect = connect
        self._interval = interval
        self._parent = os.getppid()

    def run(self) -> None:
        """Until the runner's process has ended and no Stage is left."""
        threading.Thread(target=self._listen, daemon=True).start()
        rpc, said = self._host.rpc(), ""
        while os.getppid() == self._parent:
            try:
                answer = rpc.heartbeat(state(self._host))
                for identifier in (*answer.get("cancel", ()), *answer.get("gone", ())):
                    self._end(int(identifier))
                said = ""
            except (CiError, ValueError, TypeError) as error:
                if said != (said := str(error)):  # once, however long it lasts
                    sys.stderr.write(f"ci-run: heartbeat: {said}\n")
            until = time.monotonic() + self._interval
            while time.monotonic() < until and os.getppid() == self._parent:
                time.sleep(min(_PAUSE, max(0.0, until - time.monotonic())))

    def _listen(self) -> None:
        """The channel of Redis, through restarts of it."""
        while True:
            with suppress(redis.RedisError, OSError), self._connect() as connection:
                channel = connection.pubsub(ignore_subscribe_messages=True)
                channel.subscribe(CHANNEL)
                for message in channel.listen():
                    if message["data"].isdigit():
                        self._end(int(message["data"]))
            time.sleep(_PAUSE)

    def _end(self, stage: int) -> None:
        StageFolder(self._host.identity.root, stage).signal(signal.SIGTERM)


def state(host: Host) -> dict[str, Any]:
    """What a heartbeat says."""
    root = host.identity.root
    return {
        "stages": [folder.stage for folder in stagefolder.all_of(root) if folder.accepted],
        "free_memory": free_memory(),
        "load": os.getloadavg()[0],
        "disk_free": shutil.disk_usage(root).free,
    }


def free_memory() -> int:
    """Bytes that new processes may use without anything being swapped out (proc(5), MemAvailable)."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123  (the kernel's)
        for line in file:
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) << 10
    return 0
