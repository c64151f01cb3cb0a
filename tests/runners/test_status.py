"""The variables that say how a Stage stands."""

from __future__ import annotations

from runners.schedule import State, StepResult
from runners.status import corrected

ALL = {
    "CI_PIPELINE_STATUS": "success",
    "DRONE_BUILD_STATUS": "success",
    "DRONE_STAGE_STATUS": "success",
    "X": "success",
}


def results(**states: State) -> list[StepResult]:
    """Results by name."""
    return [StepResult(name=name, state=state) for name, state in states.items()]


def test_all_is_well() -> None:
    """Nothing changes, also after a failure that does not count."""
    assert corrected(ALL, results(a=State.PASSED, b=State.IGNORED, c=State.SKIPPED)) == {}


def test_after_failures() -> None:
    """The status is a failure, and drone's variable names the steps."""
    assert corrected(ALL, results(a=State.FAILED, b=State.PASSED, c=State.ERROR)) == {
        "CI_PIPELINE_STATUS": "failure",
        "DRONE_BUILD_STATUS": "failure",
        "DRONE_STAGE_STATUS": "failure",
        "DRONE_FAILED_STEPS": "a,c",
    }


def test_after_failures_of_other_stages() -> None:
    """The build has failed, and this Stage has not; drone's variable names the others."""
    assert corrected(ALL, results(a=State.PASSED), ("build", "test")) == {
        "CI_PIPELINE_STATUS": "failure",
        "DRONE_BUILD_STATUS": "failure",
        "DRONE_FAILED_STAGES": "build,test",
    }
    assert corrected({"CI_PIPELINE_STATUS": "success"}, (), ("build",)) == {"CI_PIPELINE_STATUS": "failure"}


def test_only_what_a_step_has() -> None:
    """A variable that the step has not, or has set for itself, is left alone."""
    assert corrected({"CI_PIPELINE_STATUS": "mine"}, results(a=State.FAILED)) == {}
