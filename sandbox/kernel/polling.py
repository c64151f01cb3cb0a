"""Waiting for one descriptor, whatever its number: select(2) ends at 1023, which a busy server passes."""

from __future__ import annotations

import select


def readable(descriptor: int, timeout: float | None = None) -> bool:
    """Whether a read (of a pidfd: a wait) would not block, within `timeout` seconds."""
    return _poll(descriptor, select.POLLIN, timeout)


def writable(descriptor: int, timeout: float | None = None) -> bool:
    """Whether a write would not block, within `timeout` seconds."""
    return _poll(descriptor, select.POLLOUT, timeout)


def _poll(descriptor: int, events: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, events)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
