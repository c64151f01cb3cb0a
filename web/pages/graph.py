"""A build's Stages as a graph: columns of what can run at the same time, lines to what waits for it. Pure.

The picture is SVG with classes only, as the policy of the pages allows no style in them. Of many cells of a matrix
that wait for the same, and for which the same waits, each has its box: a box is what people click on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.store.records import Stage

WIDTH, HEIGHT, GAP, BETWEEN = 200, 44, 12, 56  # pixels


class Box(NamedTuple):
    """A Stage and the place of its upper left corner."""

    stage: Stage
    x: int
    y: int


class Line(NamedTuple):
    """A path from one box to the next, in SVG's language."""

    path: str


class Graph(NamedTuple):
    """All of it, and how large it is."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: int
    height: int


def layout(stages: Sequence[Stage]) -> Graph:
    """Where everything is."""
    depths = depth(stages)
    rows: dict[int, int] = {}
    places: dict[int, Box] = {}
    for stage in stages:
        column = depths[stage.number]
        row = rows.get(column, 0)
        rows[column] = row + 1
        places[stage.number] = Box(stage, column * (WIDTH + BETWEEN), row * (HEIGHT + GAP))
    lines = tuple(
        _line(places[number], box) for box in places.values() for number in box.stage.depends_on if number in places
    )
    columns, tallest = len(rows), max(rows.values(), default=0)
    width = max(columns * (WIDTH + BETWEEN) - BETWEEN, 0)
    return Graph(tuple(places.values()), lines, width, max(tallest * (HEIGHT + GAP) - GAP, 0))


def depth(stages: Sequence[Stage]) -> Mapping[int, int]:
    """The length of the longest way to each Stage, by its number. What waits for itself is at the beginning."""
    found: dict[int, int] = {}
    known = {stage.number for stage in stages}
    waiting = list(stages)
    while waiting:
        ready = [one for one in waiting if all(number in found for number in one.depends_on if number in known)]
        for stage in ready or waiting:
            found[stage.number] = max((found.get(number, -1) + 1 for number in stage.depends_on), default=0)
        waiting = [one for one in waiting if one.number not in found]
    return found


def _line(start: Box, end: Box) -> Line:
    x1, y1 = start.x + WIDTH, start.y + HEIGHT // 2
    x2, y2 = end.x, end.y + HEIGHT // 2
    bend = BETWEEN // 2
    return Line(f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}")
