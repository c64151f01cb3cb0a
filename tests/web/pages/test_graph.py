"""Where the boxes of a build's Stages are."""

from __future__ import annotations

from ci.store.records import Stage
from web.pages import graph


def stage(number: int, *depends_on: int) -> Stage:
    """A Stage that waits for others."""
    return Stage(number=number, name=f"s{number}", depends_on=depends_on)


def test_columns_are_what_can_run_at_once() -> None:
    """A Stage is to the right of all that it waits for; each of these has a line to it."""
    found = graph.layout([stage(1), stage(2), stage(3, 1, 2), stage(4, 3), stage(5, 1)])
    columns = {box.stage.number: box.x // (graph.WIDTH + graph.BETWEEN) for box in found.boxes}
    assert columns == {1: 0, 2: 0, 3: 1, 4: 2, 5: 1}
    assert len({(box.x, box.y) for box in found.boxes}) == 5
    assert len(found.lines) == 4
    assert all(box.x + graph.WIDTH <= found.width and box.y + graph.HEIGHT <= found.height for box in found.boxes)


def test_what_cannot_be() -> None:
    """Neither a circle nor a Stage that is not there keeps a page from being shown."""
    assert set(graph.depth([stage(1, 2), stage(2, 1), stage(3, 9)])) == {1, 2, 3}
    assert graph.layout([]) == graph.Graph((), (), 0, 0)
