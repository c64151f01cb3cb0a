"""Logs come in: the bytes of a step from where the server has none, already masked by the runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import jsonify, request

from ci.logs.live import GapError
from ci.logs.store import LogKey
from web.refusals import NotFoundError, Refusal
from web.rpc.calling import attempt, blueprint, held
from web.services import current

if TYPE_CHECKING:
    from flask import Response

_LARGEST = 4 << 20  # bytes of one call
_TIME = "Hako-Time"  # when the runner read the bytes, in seconds since 1970
_SKEW = 86400.0  # seconds for which another clock is believed


@blueprint.post("/stages/<int:stage_id>/steps/<int:number>/log")
def append_log(stage_id: int, number: int) -> Response | tuple[Response, int]:
    """Append; `next` is the byte that is wanted next. With `end` no more will come.

    Repeats are dropped. Where bytes are missing before these, `next` says from where on.
    """
    services, stage = current(), held(stage_id, attempt())
    if all(step.number != number for step in stage.steps):
        raise NotFoundError(f"the Stage has no step {number}")
    request.max_content_length = _LARGEST
    key, data = LogKey(stage.id, stage.attempt, number), request.get_data(cache=False)
    end = request.args.get("end") == "1"
    try:
        size = services.logs.append(key, _offset(), data, time=_time(services.clock()), end=end)
    except GapError as error:
        said = {"reference": error.reference, "message": error.message, "hint": error.hint, "next": error.next}
        return jsonify(error=said), 409
    services.notices.announce(key)
    return jsonify(next=size)


def _offset() -> int:
    text = request.args.get("offset", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Refusal("the offset is missing", reference="bad-request")
    return int(text)


def _time(now: float) -> float:
    """The runner's, unless its clock is far away."""
    try:
        said = float(request.headers.get(_TIME, ""))
    except ValueError:
        return now
    return said if abs(said - now) <= _SKEW else now  # also where it is no number at all
