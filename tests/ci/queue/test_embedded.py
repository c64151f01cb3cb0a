"""The Valkey that the server starts for itself."""

from __future__ import annotations

import os
import signal
import stat
import threading
from typing import TYPE_CHECKING

import pytest
import redis

from ci.errors import CiError
from ci.queue.embedded import EmbeddedValkey

if TYPE_CHECKING:
    from pathlib import Path


def _client(server: EmbeddedValkey) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_what_is_queued_survives(valkey: EmbeddedValkey) -> None:
    """A stop, and a SIGKILL in the middle of its work."""
    with _client(valkey) as client:
        client.rpush("list", "1")
    valkey.stop()
    valkey.start()
    with _client(valkey) as client:
        client.rpush("list", "2")
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    valkey.stop()
    valkey.start()
    with _client(valkey) as client:
        assert client.lrange("list", 0, -1) == [b"1", b"2"]


def test_one_at_a_time_has_a_folder(valkey: EmbeddedValkey) -> None:
    """The second uses the first, and leaves it running."""
    folder = valkey._folder
    second = EmbeddedValkey(folder)
    second.start()
    assert not second.is_ours
    second.stop()
    with _client(valkey) as client:
        assert client.ping()


def test_of_several_that_start_at_once_one_does(valkey: EmbeddedValkey) -> None:
    """Two on one folder would write over each other's file."""
    valkey.stop()
    several = [EmbeddedValkey(valkey._folder) for _ in range(6)]
    threads = [threading.Thread(target=one.start) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (ours,) = [one for one in several if one.is_ours]
    with _client(several[0]) as client:
        assert client.ping()
    ours.stop()


def test_nobody_else_can_connect(valkey: EmbeddedValkey) -> None:
    """It listens on no port, and the socket is its owner's."""
    path = valkey.url.removeprefix("unix://")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116
    with _client(valkey) as client:
        assert client.config_get("port") == {"port": "0"}


def test_one_that_does_not_start_says_why(valkey: EmbeddedValkey) -> None:
    """By its own last words."""
    folder = valkey._folder
    valkey.stop()
    (manifest,) = folder.glob("appendonlydir/*.manifest")
    manifest.write_text("nonsense\n")
    with pytest.raises(CiError, match="Valkey does not start in"):
        valkey.start()
    assert not valkey.is_ours


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    """Is said before anything is started."""
    with pytest.raises(CiError, match="too long for a socket's path"):
        EmbeddedValkey(tmp_path / ("x" * 100))
