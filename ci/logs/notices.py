"""Tells followers of a log, in whichever process they are, that it has grown.

Redis has no byte of a log: a notice is an entry of a stream of the log's own that keeps the last one only, and whoever
waits for it reads the log's file, which is in the page cache. So a follower that is far behind costs nothing, and a
Redis that is away costs half a second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

if TYPE_CHECKING:
    import redis

    from ci.logs.store import LogKey

_KEPT = 3600  # seconds for which a stream is remembered that nobody writes to
_PAUSE = 0.5  # seconds between two looks while Redis is away


class Notices:
    """Of one Redis. Thread-safe."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def announce(self, key: LogKey) -> None:
        """A log has grown or ended. Raises nothing: followers look by themselves, only later."""
        try:
            pipeline = self._connection.pipeline(transaction=False)
            pipeline.xadd(_name(key), {"": ""}, maxlen=1)
            pipeline.expire(_name(key), _KEPT)
            pipeline.execute()
        except RedisError:
            return

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def wait(self, key: LogKey, after: str, seconds: float) -> str:
        """Until there is a notice after the one with this id, at most so long; the id of the last one."""
        try:
            found: Any = self._connection.xread({_name(key): after}, block=max(1, round(seconds * 1000)))
        except RedisError:
            time.sleep(min(_PAUSE, seconds))
            return after
        for _, entries in found or ():
            after = entries[-1][0].decode()
        return after


FIRST = "0-0"  # before all notices


def _name(key: LogKey) -> str:
    return f"hako:log:{key.stage}.{key.attempt}.{key.step}"
