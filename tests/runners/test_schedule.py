"""The order of steps, decided without running any."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.spec import OnFailure, StageSpec, StepSpec
from runners.schedule import Decision, Progress, State, StepResult, decide, judge, outcome


def step(name: str, *needs: str, **fields: object) -> StepSpec:
    """A step with what matters here."""
    return StepSpec(name=name, image="busybox", depends_on=needs, **fields)  # type: ignore[arg-type]


def stage(*steps: StepSpec, services: tuple[StepSpec, ...] = ()) -> StageSpec:
    """A Stage of these steps."""
    return StageSpec(name="test", number=1, steps=steps, services=services)


def results(**states: State | int) -> dict[str, StepResult]:
    """Results by name; a number is the exit code of a step that passed."""
    return {
        name: StepResult(name=name, state=State.PASSED, exit_code=value)
        if isinstance(value, int)
        else StepResult(name=name, state=value)
        for name, value in states.items()
    }


def names(decision: Decision) -> list[str]:
    """What it starts."""
    return [started.name for started in decision.start]


def test_steps_without_dependencies_start_together() -> None:
    """Everything that waits for nothing starts at once; the rest waits."""
    it = stage(step("a"), step("b"), step("c", "a", "b"))
    assert names(decide(it, Progress())) == ["a", "b"]
    assert names(decide(it, Progress(running=frozenset({"a", "b"})))) == []
    assert names(decide(it, Progress(results=results(a=0), running=frozenset({"b"})))) == []
    assert names(decide(it, Progress(results=results(a=0, b=0)))) == ["c"]


def test_a_failure_skips_what_follows() -> None:
    """After a failed step only steps for failures run, and the Stage has failed."""
    it = stage(
        step("a"),
        step("b", "a"),
        step("notify", "b", run_on_success=False, run_on_failure=True),
        step("tidy", "notify", run_on_failure=True),
    )
    progress = Progress(results=results(a=State.FAILED))
    decision = decide(it, progress)
    assert [(skipped.name, skipped.reason) for skipped in decision.skip] == [("b", "a failed")]
    assert names(decision) == ["notify"]
    assert outcome(it, Progress(results=results(a=State.FAILED, b=State.SKIPPED, notify=0, tidy=0))) is State.FAILED


def test_steps_for_failures_are_skipped_without_one() -> None:
    """`status: failure` does not run when nothing failed; what depends on it does."""
    it = stage(step("a"), step("notify", "a", run_on_success=False, run_on_failure=True), step("c", "notify"))
    decision = decide(it, Progress(results=results(a=0)))
    assert [(skipped.name, skipped.reason) for skipped in decision.skip] == [("notify", "nothing failed")]
    assert names(decision) == ["c"]


def test_an_ignored_failure_does_not_count() -> None:
    """`failure: ignore`: what follows runs, and the Stage passes."""
    flaky = step("a", failure=OnFailure.IGNORE)
    it = stage(flaky, step("b", "a"))
    assert judge(flaky, 1) is State.IGNORED
    assert names(decide(it, Progress(results=results(a=State.IGNORED)))) == ["b"]
    assert outcome(it, Progress(results=results(a=State.IGNORED, b=0))) is State.PASSED


def test_exit_code_78_ends_the_stage_early() -> None:
    """78 is a success after which nothing more starts; what runs goes on."""
    it = stage(step("a"), step("slow"), step("b", "a"), step("always", "a", run_on_failure=True))
    assert judge(it.steps[0], 78) is State.PASSED
    decision = decide(it, Progress(results=results(a=78), running=frozenset({"slow"})))
    assert [skipped.name for skipped in decision.skip] == ["b", "always"]
    assert not decision.steps_over
    assert outcome(it, Progress(results=results(a=78, slow=0))) is State.PASSED


def test_steps_wait_for_services() -> None:
    """Services start first; a step starts when each one runs, and accepts where it has ports."""
    it = stage(step("a"), services=(step("db", ports=(5432,)), step("mail")))
    assert names(decide(it, Progress())) == ["db", "mail"]
    running = frozenset({"db", "mail"})
    assert names(decide(it, Progress(running=running))) == []
    assert names(decide(it, Progress(running=running, ready=frozenset({"db"})))) == ["a"]


def test_a_service_that_failed_fails_the_stage() -> None:
    """Steps do not wait for ever: they are skipped, those for failures run."""
    it = stage(
        step("a"), step("notify", "a", run_on_success=False, run_on_failure=True), services=(step("db", ports=(1,)),)
    )
    decision = decide(it, Progress(results=results(db=State.FAILED)))
    assert [(skipped.name, skipped.reason) for skipped in decision.skip] == [("a", "db failed")]
    assert names(decision) == ["notify"]
    done = results(db=State.FAILED, a=State.SKIPPED, notify=0)
    assert outcome(it, Progress(results=done)) is State.FAILED


def test_a_service_can_need_another() -> None:
    """A service that names another starts when that one is up."""
    it = stage(step("a"), services=(step("web", "db"), step("db", ports=(1,))))
    assert names(decide(it, Progress())) == ["db"]
    assert names(decide(it, Progress(running=frozenset({"db"}), ready=frozenset({"db"})))) == ["web"]


def test_cancelling_skips_all_that_waits() -> None:
    """With a reason to cancel nothing starts, and every waiting step says why."""
    it = stage(step("a"), step("b", "a"), step("c", "b", run_on_failure=True))
    decision = decide(it, Progress(running=frozenset({"a"}), cancelled="interrupted"))
    assert {skipped.name: skipped.reason for skipped in decision.skip} == {"b": "interrupted", "c": "interrupted"}
    assert not decision.steps_over
    assert outcome(it, Progress(results=results(a=State.CANCELLED), cancelled="x"), interrupted=True) is State.CANCELLED


def test_steps_that_were_left_out_keep_the_order() -> None:
    """A step left out by hand is passed over, and what follows still waits for what was before it."""
    it = stage(step("a"), step("b", "a"), step("c", "b"))
    left_out = frozenset({"b"})
    assert names(decide(it, Progress(excluded=left_out))) == ["a"]
    assert decide(it, Progress(excluded=left_out, running=frozenset({"a"}))).skip == ()
    decision = decide(it, Progress(excluded=left_out, results=results(a=0)))
    assert [skipped.name for skipped in decision.skip] == ["b"]
    assert names(decision) == ["c"]


def test_timeouts_and_stops_are_judged() -> None:
    """A timeout is a failure whatever the exit code; a cancelled step is neither passed nor failed."""
    assert judge(step("a"), 0, timed_out=True) is State.FAILED
    assert judge(step("a", failure=OnFailure.IGNORE), 137, timed_out=True) is State.IGNORED
    assert judge(step("a"), 137, cancelled=True) is State.CANCELLED


def test_a_stage_of_skipped_steps_is_skipped() -> None:
    """Nothing ran, so nothing passed."""
    it = stage(step("a"))
    assert outcome(it, Progress(results=results(a=State.SKIPPED))) is State.SKIPPED


@st.composite
def stages(draw: st.DrawFn) -> StageSpec:
    """Any acyclic Stage, its steps in any order."""
    count = draw(st.integers(1, 8))
    made = []
    for index in range(count):
        needs = draw(st.sets(st.integers(0, index - 1))) if index else set()
        made.append(
            step(
                f"s{index}",
                *(f"s{need}" for need in sorted(needs)),
                run_on_success=draw(st.booleans()),
                run_on_failure=draw(st.booleans()),
                failure=draw(st.sampled_from(OnFailure)),
            )
        )
    return stage(*draw(st.permutations(made)))


@given(it=stages(), data=st.data())
def test_every_stage_comes_to_its_end(it: StageSpec, data: st.DataObject) -> None:
    """Whatever the steps' exit codes and whichever ends first: each step gets one result, after those it depends on."""
    known: dict[str, StepResult] = {}
    running: dict[str, StepSpec] = {}
    while True:
        decision = decide(it, Progress(results=known, running=frozenset(running)))
        for skipped in decision.skip:
            assert skipped.name not in known
            known[skipped.name] = skipped
        for started in decision.start:
            assert started.name not in running
            assert set(started.depends_on) <= set(known)
            running[started.name] = started
        if decision.steps_over:
            break
        assert running, "nothing runs and nothing is over"
        name = data.draw(st.sampled_from(sorted(running)))
        code = data.draw(st.sampled_from([0, 1, 78]))
        known[name] = StepResult(name=name, state=judge(running.pop(name), code), exit_code=code)
    assert set(known) == {one.name for one in it.steps}
    assert not running
