"""What comes while somebody looks, as server-sent events (HTML standard, 9.2).

Each event has lines, and as its id the offset to go on from; a line that is not whole yet is sent again when it has
grown. Who was away sends the last id and misses nothing. With `skip`, somebody who is far behind gets the last lines
only: a page that asks for the others when they are looked at.

A follower holds a thread. So half of a process's threads are for followers; whoever finds none free, and each follower
after some minutes, is given what there is and asked to come back, which is how these events work anyway. A thousand
followers are then a hundred small requests a second, and nobody else waits.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

from flask import Response, current_app, request

from ci.errors import CiError
from ci.logs.notices import FIRST
from web.logs.choosing import ADDRESS, blueprint, choose, query
from web.logs.lines import document
from web.services import current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.logs.reading import Reader
    from ci.logs.store import LogKey
    from web.services import Services

_MOST = 1000  # lines of one event
_BUDGET = 256 << 10  # bytes of these
_HELD = 300.0  # seconds for which a thread is given
_SILENCE = 10.0  # seconds after which a comment shows whether anybody listens
_PAUSE = 0.1  # seconds between two events: nobody reads faster
_SOON, _LATER = 1000, 8000  # milliseconds until one comes back whose thread was taken, or who found none
_SLOTS = "hako-log-followers"


@blueprint.get(f"{ADDRESS}/-/live")
def follow(name: str, number: int, stage_number: int, step_number: int) -> Response:
    """From the byte in Last-Event-ID or `after` on, until the log ends."""
    chosen = choose(name, number, stage_number, step_number)
    last = request.headers.get("Last-Event-ID", "")
    offset = int(last) if last.isascii() and last.isdecimal() and len(last) < 19 else query("after", 0)
    services = current()
    slots = _slots(services)
    held = slots.acquire(blocking=False)
    events = _events(services, chosen.key, offset, skip=request.args.get("skip") == "1", seconds=_HELD if held else 0)
    response = Response(events, mimetype="text/event-stream")
    if held:
        response.call_on_close(slots.release)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep it back
    return response


def _slots(services: Services) -> threading.Semaphore:
    """Those of this process."""
    made = threading.BoundedSemaphore(max(1, services.settings.threads // 2))
    found: threading.Semaphore = current_app.extensions.setdefault(_SLOTS, made)
    return found


def _events(services: Services, key: LogKey, offset: int, *, skip: bool, seconds: float) -> Iterator[str]:
    yield f"retry: {_SOON if seconds else _LATER}\n\n"
    deadline = time.monotonic() + seconds
    notice, said = FIRST, time.monotonic()
    reader: Reader | None = None
    shown = -1  # the log's size at the last event
    try:
        while True:
            if reader is None:
                reader = _open(services, key)
            else:
                reader.refresh()
            if reader is not None:
                while reader.size > max(shown, offset):
                    event, offset, shown = _event(reader, offset, skip=skip)
                    said = time.monotonic()
                    yield event
                if reader.ended:
                    yield f"id: {offset}\nevent: end\ndata: {{}}\n\n"
                    return
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if time.monotonic() - said > _SILENCE:
                said = time.monotonic()
                yield ":\n\n"
            notice = services.notices.wait(key, notice, min(1.0, left))
            time.sleep(min(_PAUSE, left))
    finally:
        if reader is not None:
            reader.close()


def _open(services: Services, key: LogKey) -> Reader | None:
    try:
        return services.logs.open(key)
    except CiError as error:
        if error.reference != "no-such-log":
            raise
        return None


def _event(reader: Reader, offset: int, *, skip: bool) -> tuple[str, int, int]:
    """The lines from an offset on; where to go on, and up to which size they were looked at."""
    first = reader.line_at(offset)
    if skip and reader.count - first > _MOST:
        first = reader.count - _MOST
    lines = list(reader.lines(first, _MOST, budget=_BUDGET))
    data = json.dumps(document(reader, first + 1, lines), ensure_ascii=False, separators=(",", ":"))
    last = lines[-1]
    whole = reader.ended or reader.read(last.end - 1, 1) == b"\n"
    following = last.end if whole else last.offset
    return f"id: {following}\nevent: lines\ndata: {data}\n\n", following, last.end
