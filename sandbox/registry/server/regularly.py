"""Garbage collections of a server, one after the other in a thread of each of its processes: any may be the only one,
and a collection that meets another's does no harm. Called by whoever serves a registry: `serving`, and `web`.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.registry.server.application import Registry

log = logging.getLogger(__name__)
DAILY = 24 * 3600.0  # seconds


def collect_regularly(registry: Registry, every: float = DAILY) -> threading.Event:
    """Begin in `every` seconds, and go on until the event is set or the process ends."""
    stop = threading.Event()
    threading.Thread(target=_collect, args=(registry, every, stop), name="collection", daemon=True).start()
    return stop


def _collect(registry: Registry, every: float, stop: threading.Event) -> None:
    while not stop.wait(every):
        try:
            registry.collect()
        except OSError as error:  # a full disk, say: the next one may do better
            log.error("garbage collection: %s", error)
