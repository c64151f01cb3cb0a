"""Several Stages: how many at once, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ci.pipeline.spec import StageSpec, StepSpec
from runners.build import Build, next_stages
from runners.schedule import State
from runners.stage import StageInput

NOTHING = Path("/nowhere")


def stage(number: int, name: str, *needs: str, **fields: Any) -> StageSpec:
    """A Stage of one step."""
    step = StepSpec(name=f"{name}{number}", image="busybox", commands=("true",))
    return StageSpec(name=name, number=number, steps=(step,), depends_on=needs, **fields)


def test_no_more_than_the_jobs_run_at_once() -> None:
    """Stages start in their order while there is room."""
    stages = [stage(number, "test") for number in (1, 2, 3)]
    start, _ = next_stages(stages, {}, frozenset(), jobs=2, cancelled="")
    assert [one.number for one in start] == [1, 2]
    start, _ = next_stages(stages, {1: State.PASSED}, frozenset({2}), jobs=2, cancelled="")
    assert [one.number for one in start] == [3]


def test_concurrency_is_of_a_name() -> None:
    """Cells of a stage with `concurrency: 1` run one after the other, beside other stages."""
    stages = [stage(number, "test", concurrency=1) for number in (1, 2)] + [stage(3, "lint")]
    start, _ = next_stages(stages, {}, frozenset(), jobs=9, cancelled="")
    assert [one.number for one in start] == [1, 3]
    start, _ = next_stages(stages, {3: State.PASSED}, frozenset({1}), jobs=9, cancelled="")
    assert start == ()
    start, _ = next_stages(stages, {1: State.PASSED, 3: State.PASSED}, frozenset(), jobs=9, cancelled="")
    assert [one.number for one in start] == [2]


def test_a_stage_waits_for_all_cells_of_another() -> None:
    """`depends_on: test` means every matrix cell of `test`."""
    stages = [stage(1, "deploy", "test"), stage(2, "test"), stage(3, "test")]
    start, _ = next_stages(stages, {2: State.PASSED}, frozenset({3}), jobs=9, cancelled="")
    assert start == ()
    start, _ = next_stages(stages, {2: State.PASSED, 3: State.SKIPPED}, frozenset(), jobs=9, cancelled="")
    assert [one.number for one in start] == [1]


def test_a_failed_stage_skips_what_depends_on_it() -> None:
    """Unless that one asks for failures."""
    stages = [
        stage(1, "test"),
        stage(2, "deploy", "test"),
        stage(3, "report", "test", run_on_success=False, run_on_failure=True),
    ]
    start, skip = next_stages(stages, {1: State.FAILED}, frozenset(), jobs=9, cancelled="")
    assert [(one.number, reason) for one, reason in skip] == [(2, "test failed")]
    assert [one.number for one in start] == [3]
    start, skip = next_stages(stages, {1: State.PASSED}, frozenset(), jobs=9, cancelled="")
    assert [(one.number, reason) for one, reason in skip] == [(3, "nothing failed")]


def build(stages: list[StageSpec], loop: Any, backend: Any, reporter: Any, jobs: int) -> Build:
    """A build of these Stages."""
    given = StageInput(workspace=lambda: NOTHING)
    return Build(stages, lambda _: given, loop=loop, backend=backend, reporter=reporter, jobs=jobs)


def test_a_build_runs_all_stages(loop: Any, backend: Any, reporter: Any) -> None:
    """Two at once, then those that depend on them; results in the Stages' order."""
    stages = [stage(1, "deploy", "test"), stage(2, "test"), stage(3, "test"), stage(4, "test")]
    results = build(stages, loop, backend, reporter, 2).run()
    assert [(one.stage.number, one.state) for one in results] == [(number, State.PASSED) for number in (1, 2, 3, 4)]
    assert loop.now() == 3
    assert backend.calls[-1] == "finish deploy"


def test_a_cancelled_build_ends(loop: Any, backend: Any, reporter: Any, act: Any) -> None:
    """Running Stages are killed, waiting ones are cancelled too."""
    backend.acts = {"test1": act(lasts=1000)}
    made = build([stage(1, "test"), stage(2, "deploy", "test")], loop, backend, reporter, 2)
    loop.after(2, lambda: made.cancel("interrupted"))
    results = made.run()
    assert [one.state for one in results] == [State.CANCELLED, State.CANCELLED]
    assert loop.now() == 2


def test_stages_that_cannot_be_prepared_do_not_nest(loop: Any, backend: Any, reporter: Any) -> None:
    """A thousand Stages that end as they start need no deep stack."""
    stages = [stage(number, "unpreparable") for number in range(1, 1001)]
    results = build(stages, loop, backend, reporter, 1).run()
    assert {one.state for one in results} == {State.ERROR}
    assert len(results) == 1000
