"""One Stage from preparation to removal, on virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.pipeline.outputs import Reference
from ci.pipeline.spec import Health, OnFailure, Piece, StageSpec, StepSpec
from runners.schedule import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runners.report import StageResult


def step(name: str, *needs: str, **fields: Any) -> StepSpec:
    """A step with what matters here."""
    return StepSpec(name=name, image="busybox", depends_on=needs, **({"commands": ("true",)} | fields))


def stage(*steps: StepSpec, services: tuple[StepSpec, ...] = (), **fields: Any) -> StageSpec:
    """A Stage of these steps."""
    named: dict[str, Any] = {"name": "test", "number": 1, "steps": steps, "services": services}
    return StageSpec(**(named | fields))


def states(result: StageResult) -> dict[str, str]:
    """The states by name."""
    return {one.name: one.state.value for one in result.steps}


def test_steps_run_in_parallel_and_in_order(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """Independent steps overlap; a step begins when what it needs is over; each end is told after the log is closed."""
    backend.acts = {"a": act(lasts=3, prints=b"from a\n"), "b": act(lasts=1)}
    result = run(stage(step("a"), step("b"), step("c", "a", "b")))
    assert result.state is State.PASSED
    assert reporter.events == [
        "0 stage test started",
        "0 a started",
        "0 b started",
        "1 b passed",
        "3 a passed",
        "3 c started",
        "4 c passed",
        "4 stage test passed",
    ]
    assert reporter.output["a"] == b"from a\n"
    assert result.duration == 4


def test_a_failing_step_fails_the_stage(run: Any, backend: Any, act: Any) -> None:
    """The exit code is kept, what follows is skipped with the reason, steps for failures run."""
    backend.acts = {"a": act(code=3)}
    it = stage(step("a"), step("b", "a"), step("notify", "b", run_on_success=False, run_on_failure=True))
    result = run(it)
    assert result.state is State.FAILED
    assert states(result) == {"a": "failed", "b": "skipped", "notify": "passed"}
    assert result.steps[0].exit_code == 3


def test_environment_and_secrets_reach_the_container(run: Any, backend: Any) -> None:
    """The step's own environment, its secrets under their variables, and what the run adds, which wins."""
    it = stage(step("a", environment={"A": "1", "B": "1"}, secrets={"TOKEN": "api"}))
    run(it, environment={"B": "2"}, secrets={"api": "hunter22", "other": "zzzz"})
    container = backend.containers["a"]
    assert container.environment == {"A": "1", "B": "2", "TOKEN": "hunter22"}
    assert "true" in container.script


def test_a_value_with_secrets_inside(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """It is put together as JSON; what a log shows of it is masked, in JSON's way of writing, too."""
    backend.acts = {"a": act(prints=b'got "say \\"hi\\"\\nnow"\n')}
    pieces = (Piece('{"password":'), Piece("", "api"), Piece("}"))
    run(stage(step("a", composed={"PLUGIN_X": pieces})), secrets={"api": 'say "hi"\nnow'})
    assert backend.containers["a"].environment["PLUGIN_X"] == '{"password":"say \\"hi\\"\\nnow"}'
    assert reporter.output["a"] == b'got "********"\n'


def test_outputs_reach_later_steps_and_nobody_else(run: Any, backend: Any, act: Any) -> None:
    """By the variables that they name, as they are; what is shown of them is masked; a step left out gives none."""
    backend.acts = {"a": act(writes=b"v=1.2 $(reboot)\nkey=hunter22\n"), "x": act(writes=b"v=0")}
    reads = {"V": Reference("a", "v"), "KEY": Reference("a", "key"), "NONE": Reference("out", "v")}
    result = run(
        stage(step("a"), step("out"), step("x", "a"), step("b", "x", outputs=reads)),
        secrets={"token": "hunter22"},
        excluded=frozenset({"out"}),
    )
    assert backend.containers["b"].environment == {"V": "1.2 $(reboot)", "KEY": "hunter22"}
    assert backend.containers["x"].environment == {}
    assert result.steps[0].outputs == {"v": "1.2 $(reboot)", "key": "********"}


def test_outputs_of_earlier_stages(run: Any, backend: Any) -> None:
    """By stage and step; of a step that did not run there is none, and what it did not write is an error."""
    reads = {"V": Reference("plan/list", "v"), "NONE": Reference("plan/out", "v")}
    written = {"plan/list": {"v": "1.2"}}
    run(stage(step("a", outputs=reads)), outputs=written)
    assert backend.containers["a"].environment == {"V": "1.2"}
    result = run(stage(step("a", outputs={"W": Reference("plan/list", "w")})), outputs=written)
    assert result.steps[0].reason == "plan/list has no output 'w' (it wrote v)"


def test_an_output_that_was_not_written_is_an_error(run: Any, backend: Any, act: Any) -> None:
    """The step does not start with nothing in its place."""
    backend.acts = {"a": act(writes=b"version=1\n")}
    result = run(stage(step("a"), step("b", "a", outputs={"V": Reference("a", "v")})))
    assert (result.steps[1].state, result.steps[1].reason) == (
        State.ERROR,
        "a has no output 'v' (it wrote version)",
    )


def test_outputs_that_cannot_be_read_fail_the_step(run: Any, backend: Any, act: Any) -> None:
    """A step that passed has failed then; one that failed has done so for its own reason."""
    backend.acts = {"a": act(writes=b"what\n"), "b": act(writes=b"what\n", code=3)}
    result = run(stage(step("a"), step("b")))
    assert states(result) == {"a": "failed", "b": "failed"}
    assert result.steps[0].reason == 'line 1 of the outputs is no "NAME=value"'
    assert (result.steps[1].reason, result.steps[1].exit_code) == ("", 3)


def test_a_missing_secret_is_an_error_of_the_step(run: Any, backend: Any) -> None:
    """Nothing starts with an empty secret."""
    result = run(stage(step("a", secrets={"TOKEN": "api"})))
    assert result.steps[0].state is State.ERROR
    assert result.steps[0].reason == 'the secret "api" is not there (a wants it as TOKEN)'
    assert "start a" not in backend.calls


def test_output_is_masked(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """What the reporter gets holds no secret."""
    backend.acts = {"a": act(prints=b"token hunter22\nhunt")}
    run(stage(step("a")), secrets={"api": "hunter22"})
    assert reporter.output["a"] == b"token ********\nhunt"


def test_a_step_that_cannot_start_is_an_error(run: Any, backend: Any, act: Any) -> None:
    """The back end's words are the reason, and the Stage goes on to its end."""
    backend.acts = {"a": act(fails="no image debian:none")}
    result = run(stage(step("a"), step("b", "a")))
    assert result.state is State.FAILED
    assert [(one.state.value, one.reason) for one in result.steps] == [
        ("error", "no image debian:none"),
        ("skipped", "a failed"),
    ]


def test_a_stage_that_cannot_be_prepared_is_an_error(run: Any) -> None:
    """Nothing runs; the reason is kept."""
    result = run(stage(step("a"), name="unpreparable"))
    assert (result.state, result.reason, result.steps) == (State.ERROR, "no address is left", ())


def test_a_workspace_that_cannot_be_made_is_an_error(run: Any) -> None:
    """A full disk while copying ends the Stage, not the run."""

    def full() -> Path:
        raise OSError(28, "No space left on device", "/var/x")

    result = run(stage(step("a")), workspace=full)
    assert (result.state, result.reason) == (State.ERROR, "/var/x: No space left on device")


def test_a_timeout_kills_the_step(run: Any, backend: Any, act: Any, loop: Any) -> None:
    """After its time a step is killed and has failed; a `failure: ignore` holds for this too."""
    backend.acts = {"a": act(lasts=100), "b": act(lasts=100)}
    result = run(stage(step("a", timeout=5.0), step("b", timeout=7.0, failure=OnFailure.IGNORE)))
    assert [(one.state.value, one.reason, one.duration) for one in result.steps] == [
        ("failed", "its timeout of 5 s is over", 5),
        ("ignored", "its timeout of 7 s is over", 7),
    ]
    assert loop.now() == 7


def test_a_stages_timeout_ends_everything(run: Any, backend: Any, act: Any) -> None:
    """Running steps are killed, waiting ones skipped, also those for failures."""
    backend.acts = {"a": act(lasts=1000)}
    result = run(stage(step("a"), step("b", "a", run_on_failure=True), timeout=90.0))
    assert result.state is State.FAILED
    assert result.reason == "the stage's timeout of 1.5 min is over"
    assert states(result) == {"a": "cancelled", "b": "skipped"}


def test_out_of_memory_is_said(run: Any, backend: Any, act: Any) -> None:
    """The reason names the limit."""
    backend.acts = {"a": act(code=137, oom=True)}
    result = run(stage(step("a", memory=64 << 20)))
    assert result.steps[0].reason == "out of memory (its limit is 64 MiB)"


def test_steps_wait_until_a_service_accepts(
    run: Any, backend: Any, act: Any, reporter: Any, free_port: Callable[[], int]
) -> None:
    """The step starts when the port accepts; afterwards the service is asked to end, then killed."""
    backend.acts = {"db": act(lasts=1000, listens_after=2.0)}
    result = run(stage(step("a"), services=(step("db", ports=(free_port(),)),)))
    started = float(next(event for event in reporter.events if event.endswith("a started")).split()[0])
    assert 2.0 <= started < 2.6
    assert result.state is State.PASSED
    assert states(result) == {"db": "passed", "a": "passed"}
    assert backend.calls[-3:] == ["terminate db", "kill db", "finish test"]


def test_a_service_that_listens_to_terminate_is_not_killed(run: Any, backend: Any, act: Any, loop: Any) -> None:
    """A service that ends by itself ends the Stage at once."""
    backend.acts = {"db": act(lasts=1000, ignores_terminate=False)}
    run(stage(step("a"), services=(step("db"),)))
    assert "kill db" not in backend.calls
    assert loop.now() == 1


def test_a_service_that_never_accepts_fails_the_stage(
    run: Any, backend: Any, act: Any, free_port: Callable[[], int]
) -> None:
    """After a minute the wait is over, with a reason that names the port."""
    port = free_port()
    backend.acts = {"db": act(lasts=1000)}
    result = run(stage(step("a"), services=(step("db", ports=(port,)),)))
    assert result.state is State.FAILED
    assert result.steps[0].reason == f"not ready: port {port} did not accept within 1 min"
    assert states(result) == {"db": "failed", "a": "skipped"}


def test_a_service_that_dies_before_it_accepts_fails_the_stage(
    run: Any, backend: Any, act: Any, loop: Any, free_port: Callable[[], int]
) -> None:
    """Nobody waits for the dead."""
    port = free_port()
    backend.acts = {"db": act(lasts=2, code=1)}
    result = run(stage(step("a"), services=(step("db", ports=(port,)),)))
    assert result.steps[0].reason == f"not ready: port {port} did not accept before it ended"
    assert result.steps[0].exit_code == 1
    assert loop.now() == 2


def test_a_service_that_need_not_be_ready(
    run: Any, backend: Any, act: Any, reporter: Any, free_port: Callable[[], int]
) -> None:
    """Woodpecker waits for no port: when the wait is over, or the service itself, the steps begin, with a notice."""
    port = free_port()
    backend.acts = {"db": act(lasts=1000)}
    service = step("db", ports=(port,), wait=5.0, must_be_ready=False)
    result = run(stage(step("a"), services=(service,)))
    assert states(result) == {"db": "passed", "a": "passed"}
    assert reporter.notices == [f"db: port {port} did not accept within 5 s; the steps begin without waiting for it"]
    backend.acts = {"db": act(lasts=1, code=3)}
    result = run(stage(step("a"), services=(service,)))
    assert states(result) == {"db": "ignored", "a": "passed"}


def test_steps_wait_for_a_healthcheck(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """The first step begins when the check has passed, and not before the ports accept."""
    backend.acts = {"db": act(lasts=1000, healthy_after=7.0)}
    result = run(stage(step("a"), services=(step("db", healthcheck=Health(command=("check",))),)))
    assert result.state is State.PASSED
    (begin,) = (float(event.split()[0]) for event in reporter.events if event.endswith(" a started"))
    assert 7.0 <= begin < 7.5


def test_a_service_that_never_gets_healthy_fails_the_stage(
    run: Any, backend: Any, act: Any, loop: Any, reporter: Any
) -> None:
    """Its own time is over; the reason has what the check printed, the result the service's last lines, masked."""
    backend.acts = {"db": act(lasts=1000, prints=b"".join(b"line %d hunter22\n" % n for n in range(20)))}
    service = step("db", healthcheck=Health(command=("check",)), wait=5.0)
    result = run(stage(step("a"), services=(service,)), secrets={"token": "hunter22"})
    assert result.state is State.FAILED
    assert result.steps[0].reason == "not ready: its healthcheck did not pass (no connection) within 5 s"
    assert result.steps[0].last_lines == tuple(f"line {n} ********" for n in range(10, 20))
    assert (result.steps[0].exit_code, loop.now()) == (None, 5)
    assert reporter.events[-2:] == ["5 a skipped", "5 stage test failed"]


def test_a_service_that_ends_early_is_only_noticed(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """The exit code of a service means nothing to the Stage, but is said."""
    backend.acts = {"mail": act(lasts=1, code=2), "a": act(lasts=5)}
    result = run(stage(step("a"), services=(step("mail"),)))
    assert result.state is State.PASSED
    assert reporter.notices == ["service mail ended with exit code 2, before the steps were over"]


def test_cancelling_leaves_nothing(run: Any, backend: Any, act: Any, loop: Any) -> None:
    """Steps and services are killed, the rest is skipped, the Stage is cancelled."""
    backend.acts = {"a": act(lasts=1000), "db": act(lasts=1000)}
    result = run(
        stage(step("a"), step("b", "a"), services=(step("db"),)),
        during=((3.0, lambda it: it.cancel("interrupted", interrupted=True)),),
    )
    assert result.state is State.CANCELLED
    assert states(result) == {"db": "passed", "a": "cancelled", "b": "skipped"}
    assert loop.now() == 3


def test_a_container_that_does_not_die_is_given_up(run: Any, backend: Any, act: Any, loop: Any) -> None:
    """A process that hangs in the kernel does not hold the run for ever."""
    backend.acts = {"a": act(lasts=1000, unkillable=True)}
    result = run(stage(step("a", timeout=5.0)))
    assert result.state is State.FAILED
    assert loop.now() == 15


def test_a_long_output_is_read_to_the_end(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """What was printed right before the end is not lost."""
    text = b"x" * 60_000
    backend.acts = {"a": act(lasts=0, prints=text)}
    run(stage(step("a")))
    assert reporter.output["a"] == text


def test_nobody_waits_for_a_detached_step(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """It begins in its turn, those that depend on it begin with it, and it is ended after the last step."""
    backend.acts = {"a": act(lasts=1), "watch": act(lasts=100), "b": act(lasts=2)}
    result = run(stage(step("a"), step("watch", "a", detach=True), step("b", "watch")))
    assert result.state is State.PASSED
    assert states(result) == {"a": "passed", "watch": "passed", "b": "passed"}
    assert "1 b started" in reporter.events


def test_how_a_detached_step_ends_means_nothing(run: Any, backend: Any, act: Any) -> None:
    """Its exit code is told, and the Stage passes."""
    backend.acts = {"watch": act(lasts=1, code=3), "b": act(lasts=2)}
    result = run(stage(step("watch", detach=True), step("b", "watch")))
    assert result.state is State.PASSED
    assert states(result)["watch"] == "ignored"


def test_a_failure_that_ends_the_stage_at_once(run: Any, backend: Any, act: Any) -> None:
    """With `failure: fast` the steps beside the failed one are killed, and none starts after it."""
    backend.acts = {"a": act(lasts=1, code=1), "b": act(lasts=50)}
    result = run(stage(step("a", failure=OnFailure.FAST), step("b"), step("c", "b", run_on_failure=True)))
    assert result.state is State.FAILED
    assert result.finished == 1
    assert states(result) == {"a": "failed", "b": "cancelled", "c": "skipped"}


def test_a_step_that_fails_is_tried_again(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """As often as it wants; what waits for it begins when it has passed, or has failed for good."""
    backend.acts = {"a": act(lasts=1, code=4)}
    result = run(stage(step("a", retries=2), step("b", "a")))
    assert (result.state, result.finished) == (State.FAILED, 3)
    assert states(result) == {"a": "failed", "b": "skipped"}
    assert [event for event in reporter.events if " a " in event] == [
        "0 a started",
        "1 a started",
        "2 a started",
        "3 a failed",
    ]


def test_a_step_that_passes_is_not_tried_again(run: Any, backend: Any, act: Any, reporter: Any) -> None:
    """One attempt is enough; nor is a step tried again that was cancelled."""
    backend.acts = {"a": act(lasts=1), "b": act(lasts=9)}
    result = run(stage(step("a", retries=2), step("b", retries=3)), during=((2, lambda made: made.cancel("over")),))
    assert states(result) == {"a": "passed", "b": "cancelled"}
    assert len([event for event in reporter.events if event.endswith("started")]) == 3


def test_artifacts_are_taken_after_each_attempt(run: Callable[..., StageResult], backend: Any, act: Any) -> None:
    """Also of a step that failed."""
    backend.acts = {"flaky": act(code=1, lasts=1)}
    taken: list[str] = []
    run(stage(step("flaky", retries=2, artifacts=("dist",))), artifacts=lambda one: taken.append(one.name))
    assert taken == ["flaky"] * 3


def test_only_the_last_attempt_is_kept(run: Callable[..., StageResult], backend: Any, act: Any) -> None:
    """A shell for each attempt would be too many."""
    backend.acts = {"flaky": act(code=1)}
    kept: list[str] = []
    run(stage(step("flaky", retries=1)), failed=lambda one: kept.append(one.kept.image))
    assert kept == ["kept/flaky"]


def test_published_ports_are_told(run: Callable[..., StageResult], backend: Any, act: Any, reporter: Any) -> None:
    """Where people reach a service, when it starts."""
    backend.acts = {"db": act(lasts=100, published={5432: "127.0.0.1:40000"}, ignores_terminate=False)}
    run(stage(step("a"), services=(step("db"),)))
    assert reporter.notices == ["db: port 5432 at 127.0.0.1:40000"]
