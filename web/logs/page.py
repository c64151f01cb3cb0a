"""The page of a log. Without JavaScript it has the first and the last lines, and links to the bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import render_template, request

from ci.errors import CiError
from web.logs.choosing import ADDRESS, blueprint, choose
from web.logs.lines import text
from web.services import current

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ci.logs.reading import Line

_FIRST, _LAST = 100, 400  # lines
_BUDGET = 128 << 10  # bytes of each
# Control sequences of terminals (ECMA-48, 5.4 and 5.6): CSI, OSC up to its end, and two-character ones.
_SEQUENCE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\^_])")


@blueprint.get(ADDRESS)
def show(name: str, number: int, stage_number: int, step_number: int) -> str:
    """Of one step."""
    chosen = choose(name, number, stage_number, step_number)
    count, first, last, ended = 0, [], [], bool(chosen.step.finished)
    try:
        with current().logs.open(chosen.key) as reader:
            count, ended = reader.count, reader.ended
            first = list(_shown(reader.lines(0, _FIRST, budget=_BUDGET), 1))
            begin = max(len(first), count - _LAST)
            last = list(_shown(reader.lines(begin, _LAST, budget=_BUDGET), begin + 1))
    except CiError as error:
        if error.reference != "no-such-log":
            raise
    return render_template(
        "log.html",
        chosen=chosen,
        count=count,
        first=first,
        last=last,
        ended=ended,
        base=request.path,
        attempt=chosen.key.attempt,
    )


def _shown(lines: Iterable[Line], first: int) -> Iterator[tuple[int, str]]:
    """Numbers and texts, without what only a terminal understands; of a progress bar, how it ended."""
    for number, line in enumerate(lines, first):
        plain = _SEQUENCE.sub("", text(line.text)).rstrip("\r").rpartition("\r")[2]
        yield number, plain
