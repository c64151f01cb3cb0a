"""What a Stage is called where several are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.pipeline.spec import StageSpec


def replaced(stages: Sequence[StageSpec], stage: StageSpec, cells: Sequence[StageSpec]) -> tuple[StageSpec, ...]:
    """The Stages with the cells in the place of the one that they come of, which stays where there are none."""
    return tuple(one for other in stages for one in (cells if other is stage and cells else (other,)))


def titles(stages: Sequence[StageSpec]) -> dict[int, str]:
    """A Stage's name by its number, with the values of its matrix cell where there are several of that name."""
    names = [stage.name for stage in stages]
    return {
        stage.number: f"{stage.name}[{','.join(stage.matrix.values())}]"
        if stage.matrix and names.count(stage.name) > 1
        else stage.name
        for stage in stages
    }
