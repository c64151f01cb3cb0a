"""Parts of a log: lines, where a text is, where commands begin, the bytes.

Each answer is bounded, or goes out piece by piece.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from flask import Response, jsonify, request

from ci.logs.commands import commands
from ci.logs.searching import search
from web.logs.choosing import ADDRESS, blueprint, choose, query
from web.logs.lines import document
from web.services import current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.logs.reading import Reader

MOST = 2000  # lines of one answer
_BUDGET = 1 << 20  # bytes of these
_PIECE = 256 << 10  # bytes that are read at once
_QUICK = 1  # zlib's level: a reader waits


@blueprint.get(f"{ADDRESS}/-/lines")
def show_lines(name: str, number: int, stage_number: int, step_number: int) -> Response:
    """`count` lines (fewer where they are long) from line `from` on."""
    chosen = choose(name, number, stage_number, step_number)
    first, count = max(1, query("from", 1)), min(query("count", MOST), MOST)
    with current().logs.open(chosen.key) as reader:
        lines = list(reader.lines(first - 1, count, budget=_BUDGET))
        return jsonify(document(reader, first, lines))


@blueprint.get(f"{ADDRESS}/-/search")
def find(name: str, number: int, stage_number: int, step_number: int) -> Response:
    """Lines that have the text `q`, with `fold` in whatever case; `next` goes on as `begin`."""
    chosen = choose(name, number, stage_number, step_number)
    with current().logs.open(chosen.key) as reader:
        found = search(
            reader, request.args.get("q", ""), begin=query("begin", 0), fold=request.args.get("fold", "") == "1"
        )
        return jsonify(lines=[line + 1 for line in found.lines], next=found.next, size=reader.size)


@blueprint.get(f"{ADDRESS}/-/commands")
def show_commands(name: str, number: int, stage_number: int, step_number: int) -> Response:
    """Where the step's commands begin: lines and times, of those from command `known` and byte `begin` on."""
    chosen = choose(name, number, stage_number, step_number)
    texts = _commands(chosen.stage.spec, chosen.step.name)
    with current().logs.open(chosen.key) as reader:
        found = commands(reader, texts, known=query("known", 0), begin=query("begin", 0))
        finished = reader.time_of(max(0, reader.size - 1)) if reader.ended else 0.0
    return jsonify(
        commands=[{"line": one.line + 1, "time": round(one.time, 3)} for one in found.begun],
        known=found.known,
        next=found.next,
        finished=chosen.step.finished or finished,  # the log's end is known before the step's
    )


@blueprint.get(f"{ADDRESS}/-/raw")
def raw(name: str, number: int, stage_number: int, step_number: int) -> Response:
    """The bytes as they were written, shown as text whatever they are."""
    chosen = choose(name, number, stage_number, step_number)
    return _bytes(current().logs.open(chosen.key))


@blueprint.get(f"{ADDRESS}/-/download")
def download(name: str, number: int, stage_number: int, step_number: int) -> Response:
    """The same, to be kept as a file."""
    chosen = choose(name, number, stage_number, step_number)
    response = _bytes(current().logs.open(chosen.key))
    file = f"build-{chosen.build.number}-stage-{chosen.stage.number}-step-{chosen.step.number}.log"
    response.headers["Content-Disposition"] = f'attachment; filename="{file}"'
    return response


def _bytes(reader: Reader) -> Response:
    """As long as the log is now."""
    size = reader.size
    packed = request.accept_encodings.quality("gzip") > 0
    response = Response(_packed(_pieces(reader, size)) if packed else _pieces(reader, size))
    response.call_on_close(reader.close)
    response.headers["Content-Type"] = "text/plain; charset=utf-8"
    response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    else:
        response.headers["Content-Length"] = str(size)
    return response


def _pieces(reader: Reader, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield reader.read(offset, min(_PIECE, size - offset))


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_QUICK, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _commands(spec: object, step: str) -> tuple[str, ...]:
    """Of the step with this name in a compiled Stage."""
    if isinstance(spec, dict):
        for one in (*spec.get("steps", ()), *spec.get("services", ())):
            if one.get("name") == step:
                return tuple(one.get("commands", ()))
    return ()
