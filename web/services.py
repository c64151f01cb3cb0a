"""What the server's processes work with, put together of its settings: the composition root of `web`.

A process has one `Services` for all of its threads. Nothing in it is a state of that process: what is remembered is in
the database, in Redis or in files, so that there may be any number of processes.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
from flask import current_app
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry

from ci.artifacts import Artifacts
from ci.dispatch.dispatcher import Dispatcher
from ci.dispatch.repeating import Repeating
from ci.errors import CiError
from ci.logs.notices import Notices
from ci.logs.store import Logs
from ci.mirror.mirrors import Mirrors
from ci.queue.embedded import EmbeddedValkey
from ci.queue.events import Events
from ci.queue.queues import Queues
from ci.secrets import keyring
from ci.store.database import Database
from ci.trigger.trigger import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.secrets.keyring import Keyring
    from web.settings import Settings

EXTENSION = "hako"  # where Flask's application has them
_RETRIES = 6  # of a command of Redis, over some seconds: it is being restarted
_PATIENCE = 10.0  # seconds for an answer of Redis


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything is safe to be used by several threads. `clock` gives seconds since 1970."""

    settings: Settings
    database: Database
    redis: redis.Redis
    limiter: SlidingWindowCounterRateLimiter
    queues: Queues
    mirrors: Mirrors
    keyring: Keyring
    trigger: Trigger
    events: Events
    dispatcher: Dispatcher
    repeating: Repeating
    artifacts: Artifacts
    logs: Logs
    notices: Notices
    clock: Callable[[], float]
    valkey: EmbeddedValkey | None = None  # where it is our own

    def close(self) -> None:
        """Give back what is open. The Valkey is left to whoever has started it, see `EmbeddedValkey.stop`."""
        self.redis.close()
        self.notices.close()
        self.database.close()


def connect(settings: Settings, *, clock: Callable[[], float] = time.time) -> Services:
    """Open everything, and bring the tables up to date. Raises CiError."""
    database = open_database(settings)
    keys = keyring.load(settings.keys)
    mirrors = Mirrors(settings.mirrors, files=settings.files)
    trigger = Trigger(database, mirrors, server=settings.server_url, clock=clock)
    valkey = None if settings.redis_url else EmbeddedValkey(settings.valkey)
    url = settings.redis_url if valkey is None else valkey.url
    connection = _redis(url)
    if valkey is not None:
        valkey.start()  # last: nothing that fails leaves it running
    queues, events = Queues(connection), Events(connection)
    notices = Notices(_redis(url, retries=0))  # nobody's log waits for a Redis that is away
    dispatcher = Dispatcher(database, queues, events, connection, clock)
    return Services(
        settings=settings,
        database=database,
        redis=connection,
        limiter=_limiter(connection),
        queues=queues,
        mirrors=mirrors,
        keyring=keys,
        trigger=trigger,
        events=events,
        dispatcher=dispatcher,
        repeating=Repeating(database, trigger, dispatcher, keys, clock),
        artifacts=Artifacts(settings.artifacts),
        logs=Logs(settings.logs),
        notices=notices,
        clock=clock,
        valkey=valkey,
    )


def open_database(settings: Settings) -> Database:
    """The database alone, up to date: for who needs nothing else. Raises CiError."""
    try:
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CiError(f"cannot make {settings.folder}: {(error.strerror or '').lower()}", reference="home") from None
    if not os.access(settings.folder, os.W_OK):
        raise CiError(f"{settings.folder} is not ours to write", hint="set HAKO_HOME", reference="home")
    database = Database(settings.database_url)
    database.migrate()
    return database


def current() -> Services:
    """Those of the application that answers this request."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def _redis(url: str, *, retries: int = _RETRIES) -> redis.Redis:
    """A client that waits for a Redis which is being restarted. Raises CiError for a URL that is none."""
    try:
        return redis.Redis.from_url(
            url,
            retry=Retry(ExponentialBackoff(cap=2.0, base=0.05), retries),
            retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError],
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            health_check_interval=30,
        )
    except ValueError as error:
        raise CiError(f"HAKO_REDIS_URL: {error}", hint="write redis://HOST:PORT/0", reference="bad-setting") from None


def _limiter(connection: redis.Redis) -> SlidingWindowCounterRateLimiter:
    """Counts on the same connections; the URL is only asked for the kind of the server."""
    storage = RedisStorage("redis://", connection_pool=connection.connection_pool, key_prefix="hako:limits")
    return SlidingWindowCounterRateLimiter(storage)
