"""A real Valkey for the tests of the queue."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.queue.embedded import EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def valkey() -> Iterator[EmbeddedValkey]:
    """One that runs; its folder is near the top, because a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hako-valkey-", dir="/tmp") as folder:
        server = EmbeddedValkey(Path(folder))
        server.start()
        yield server
        server.stop()
