"""The table and the JSON at the end of a local run."""

from __future__ import annotations

from ci.cli.summary import as_json, overall, table
from ci.pipeline.spec import StageSpec, StepSpec
from runners.report import StageResult
from runners.schedule import State, StepResult


def results() -> tuple[StageResult, ...]:
    """Two cells, one of which failed."""
    steps = tuple(StepSpec(name=name, image="x") for name in ("build", "test"))
    first = StageSpec(
        name="ci",
        number=1,
        matrix={"v": "1"},
        steps=steps,
        services=(StepSpec(name="db", image="x"),),
        skipped=("deploy",),
    )
    second = StageSpec(name="ci", number=2, matrix={"v": "2"}, steps=steps)
    return (
        StageResult(
            stage=first,
            state=State.FAILED,
            started=0,
            finished=4,
            steps=(
                StepResult(name="db", state=State.PASSED, started=0, finished=4),
                StepResult(name="build", state=State.PASSED, exit_code=0, started=0, finished=1),
                StepResult(name="test", state=State.FAILED, exit_code=2, started=1, finished=3.5, reason="why"),
            ),
        ),
        StageResult(stage=second, state=State.ERROR, reason="no address is left"),
    )


def test_the_table_has_a_line_for_each_step() -> None:
    """Aligned, with exit codes and reasons of what went wrong, steps that did not apply, and the whole."""
    assert table(results(), interrupted=False, seconds=4.2, colour=False) == (
        "\n"
        "stage  step          result    time  exit\n"
        "ci[1]  db (service)  passed   4.0 s\n"
        "       build         passed   1.0 s\n"
        "       test          failed   2.5 s     2  why\n"
        "       deploy        skipped               its conditions do not hold\n"
        "ci[2]                error                 no address is left\n"
        "\n"
        "failed in 4.2 s: 0 of 2 stages passed\n"
    )


def test_colours_do_not_shift_columns() -> None:
    """Without the escape codes the text is the same."""
    coloured = table(results(), interrupted=False, seconds=1, colour=True)
    for code in (31, 32, 33, 90, 0):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == table(results(), interrupted=False, seconds=1, colour=False)


def test_an_interrupted_run_says_so() -> None:
    """Whatever its Stages came to."""
    assert table(results(), interrupted=True, seconds=1, colour=False).endswith(
        "\ninterrupted in 1.0 s: 0 of 2 stages passed\n"
    )
    assert overall(results(), interrupted=True) is State.CANCELLED


def test_json_has_everything() -> None:
    """The same facts, as values."""
    found = as_json(results(), interrupted=False, seconds=4.2)
    assert (found["state"], found["seconds"]) == ("failed", 4.2)
    first, second = found["stages"]
    assert first["steps"][0] == {
        "name": "db",
        "service": True,
        "state": "passed",
        "exit_code": None,
        "seconds": 4,
        "reason": "",
        "cached": False,
        "outputs": {},
        "tests": None,
    }
    assert first["skipped"] == ["deploy"]
    assert (second["state"], second["reason"], second["seconds"]) == ("error", "no address is left", None)
