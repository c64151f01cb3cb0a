"""`ci-run local --graph` and `--svg FILE`: what would run and what waits for what, as text and as a picture. Pure.

A row of the text, and a column of the picture, holds the steps that can run at the same time: those whose dependencies
are all in earlier ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from ci.cli.titles import titles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        parts += _boxes(selection, stage, columns, top + _TITLE)
        rows = max((len(column) for column in columns), default=0)
        top += _TITLE + rows * (_HEIGHT + _GAP) + _MARGIN
        widest = max(widest, len(columns) * (_WIDTH + _BETWEEN), 8 * len(title))
    width = widest + 2 * _MARGIN
    style = (
        "text{font:13px sans-serif;fill:#57606a}.stage{font-weight:bold}"
        "rect{fill:none;stroke:#57606a;rx:6}path{fill:none;stroke:#8c959f}.out{stroke-dasharray:4}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">'
    return "\n".join([head, f"<style>{style}</style>", *parts, "</svg>", ""])


def _boxes(selection: Selection, stage: StageSpec, columns: Sequence[Sequence[StepSpec]], top: int) -> Iterator[str]:
    places = {
        step.name: (_MARGIN + column * (_WIDTH + _BETWEEN), top + row * (_HEIGHT + _GAP))
        for column, steps in enumerate(columns)
        for row, step in enumerate(steps)
    }
    out = selection.left_out(stage)
    for step in stage.steps:
        x, y = places[step.name]
        middle = y + _HEIGHT // 2
        for name in step.depends_on:
            if name in places:
                from_x, from_y = places[name][0] + _WIDTH, places[name][1] + _HEIGHT // 2
                bend = _BETWEEN // 2
                yield f'<path d="M{from_x} {from_y} C{from_x + bend} {from_y} {x - bend} {middle} {x} {middle}"/>'
        shown = step.name if len(step.name) <= _LONGEST else step.name[: _LONGEST - 1] + "…"
        mark = ' class="out"' if step.name in out else ""
        yield f"<g><title>{escape(step.name)} ({escape(step.image)})</title>"
        yield f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}"{mark}/>'
        yield f'<text x="{x + _WIDTH // 2}" y="{middle + 5}" text-anchor="middle">{escape(shown)}</text></g>'
