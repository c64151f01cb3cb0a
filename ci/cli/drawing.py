"""`ci-run local --graph` and `--svg FILE`: what would run and what waits for what, as text and as a picture. Pure.

A row of the text, and a column of the picture, holds the steps that can run at the same time: those whose dependencies
are all in earlier ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from ci.cli.titles import titles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci.cli.selection import Selection
    from ci.pipeline.spec import StageSpec, StepSpec

_WIDTH, _HEIGHT, _GAP, _BETWEEN, _MARGIN, _TITLE = 150, 34, 14, 60, 20, 30  # pixels
_LONGEST = 18  # characters of a name in its box


def levels(steps: Sequence[StepSpec]) -> tuple[tuple[StepSpec, ...], ...]:
    """The steps by the length of the longest way to them."""
    depth: dict[str, int] = {}
    waiting = list(steps)
    while waiting:
        for step in tuple(waiting):
            needed = [name for name in step.depends_on if name in {one.name for one in steps}]
            if all(name in depth for name in needed):
                depth[step.name] = max((depth[name] + 1 for name in needed), default=0)
                waiting.remove(step)
    last = max(depth.values(), default=-1)
    return tuple(tuple(step for step in steps if depth[step.name] == level) for level in range(last + 1))


def text(selection: Selection) -> str:
    """Each Stage with what it waits for, its services, and its steps row by row."""
    names = titles(selection.stages)
    return "\n".join(line for stage in selection.stages for line in _lines(selection, stage, names[stage.number]))


def _lines(selection: Selection, stage: StageSpec, title: str) -> Iterator[str]:
    yield title + _arrow(stage.depends_on) + _cells(stage)
    out = selection.left_out(stage)
    for service in stage.services:
        if service.name not in out:
            ports = f" on {', '.join(map(str, service.ports))}" if service.ports else ""
            yield f"  service  {service.name}{ports}"
    for number, row in enumerate(levels(stage.steps), 1):
        for index, step in enumerate(row):
            mark = "" if index else str(number)
            yield f"  {mark:>7}  {step.name}{_arrow(step.depends_on)}{' (left out)' if step.name in out else ''}"
    for name in stage.skipped:
        yield f"        -  {name} (its conditions do not hold)"
    yield ""


def _arrow(names: Sequence[str]) -> str:
    return f" <- {', '.join(names)}" if names else ""


def _cells(stage: StageSpec) -> str:
    """Where the cells of a matrix come from that is not known yet."""
    return f" (for each cell of {', '.join(map(str, stage.cells_from))})" if stage.cells_from else ""


def svg(selection: Selection) -> str:
    """The picture, one Stage below the other; readable on light and dark pages."""
    names = titles(selection.stages)
    parts: list[str] = []
    top, widest = _MARGIN, 0
    for stage in selection.stages:
        columns = levels(stage.steps)
        title = f"{names[stage.number]}{_arrow(stage.depends_on)}{_cells(stage)}"
        if stage.services:
            title += f" · services: {', '.join(service.name for service in stage.services)}"
        parts.append(f'<text x="{_MARGIN}" y="{top + 14}" class="stage">{escape(title)}</text>')
        layout = _layout(columns)
        parts += _boxes(selection, stage, layout, top + _TITLE)
        top += _TITLE + layout.rows * (_HEIGHT + _GAP) + _MARGIN
        widest = max(widest, len(columns) * (_WIDTH + _BETWEEN), 8 * len(title))
    width = widest + 2 * _MARGIN
    style = (
        "text{font:13px sans-serif;fill:#57606a}.stage{font-weight:bold}"
        "rect{fill:none;stroke:#57606a;rx:6}path{fill:none;stroke:#8c959f}.out{stroke-dasharray:4}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">'
    return "\n".join([head, f"<style>{style}</style>", *parts, "</svg>", ""])


class _Layout(NamedTuple):
    """Where things are, in columns and rows from 0. A dependency passes other columns on a lane of its own, below their
    boxes; all that wait for one step share its lane.
    """

    boxes: Mapping[str, tuple[int, int]]
    lanes: Mapping[tuple[int, str], int]  # rows by column and the step that is waited for
    rows: int


def _layout(columns: Sequence[Sequence[StepSpec]]) -> _Layout:
    boxes = {step.name: (column, row) for column, steps in enumerate(columns) for row, step in enumerate(steps)}
    last = {name: column for name, (column, _) in boxes.items()}  # the last column that somebody waits for it in
    for step in (step for steps in columns for step in steps):
        for name in step.depends_on:
            if name in boxes:
                last[name] = max(last[name], boxes[step.name][0])
    lanes: dict[tuple[int, str], int] = {}
    rows = 0
    for column, steps in enumerate(columns):
        passing = [name for name, (begin, _) in boxes.items() if begin < column < last[name]]
        lanes |= {(column, name): len(steps) + row for row, name in enumerate(passing)}
        rows = max(rows, len(steps) + len(passing))
    return _Layout(boxes, lanes, rows)


def _boxes(selection: Selection, stage: StageSpec, layout: _Layout, top: int) -> Iterator[str]:
    out = selection.left_out(stage)
    for step in stage.steps:
        column, row = layout.boxes[step.name]
        x, middle = _left(column), _middle(row, top)
        for name in step.depends_on:
            if name in layout.boxes:
                yield f'<path d="{_way(name, step.name, layout, top)}"/>'
        shown = step.name if len(step.name) <= _LONGEST else step.name[: _LONGEST - 1] + "…"
        mark = ' class="out"' if step.name in out else ""
        yield f"<g><title>{escape(step.name)} ({escape(step.image)})</title>"
        yield f'<rect x="{x}" y="{middle - _HEIGHT // 2}" width="{_WIDTH}" height="{_HEIGHT}"{mark}/>'
        yield f'<text x="{x + _WIDTH // 2}" y="{middle + 5}" text-anchor="middle">{escape(shown)}</text></g>'


def _way(source: str, target: str, layout: _Layout, top: int) -> str:
    """The line from a box to another, through no box between them."""
    (begin, first_row), (end, last_row) = layout.boxes[source], layout.boxes[target]
    y = _middle(first_row, top)
    way = f"M{_left(begin) + _WIDTH} {y}"
    for column in range(begin + 1, end + 1):
        row = last_row if column == end else layout.lanes[column, source]
        bend, x, next_y = _left(column) - _BETWEEN // 2, _left(column), _middle(row, top)
        way += f" C{bend} {y} {bend} {next_y} {x} {next_y}" + (f" H{x + _WIDTH}" if column < end else "")
        y = next_y
    return way


def _left(column: int) -> int:
    return _MARGIN + column * (_WIDTH + _BETWEEN)


def _middle(row: int, top: int) -> int:
    return top + row * (_HEIGHT + _GAP) + _HEIGHT // 2
