"""Whole pipelines on a played back end, in virtual time: a table of files, what containers do, and what comes out.

Each scenario is a file of one of the dialects, compiled as ever. A container passes after a second where nothing else
is said of it. What is expected: `name: state` of services and steps in the file's order, the Stage's state and seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event
from runners.schedule import State
from runners.stage import StageInput, StageRun
from tests.runners.conftest import Act, Played, Recorder, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.spec import StageSpec
    from runners.report import StageResult


class Scenario(NamedTuple):
    """One line of the table. `acts` by the container's name; `cancel_at` in seconds."""

    name: str
    steps: str
    expected: str
    stage: str = "passed"
    seconds: float = 1
    acts: Mapping[str, Act] = {}
    file: str = ".ci.yml"
    cancel_at: float = 0


FAILS = Act(code=1)
STOPS = Act(code=78)
LONG = Act(lasts=100)

HEAD = "image: b\nsteps:\n"
SERIAL = "- {name: a, commands: [x]}\n- {name: b, commands: [x]%s}\n- {name: c, commands: [x]%s}\n"
WHEN = ", when: {status: [%s]}"
GRAPH = """
- {name: a, commands: [x], depends_on: []}
- {name: b, commands: [x], depends_on: []%s}
- {name: c, commands: [x], depends_on: [a, b]%s}
- {name: d, commands: [x], depends_on: [c]%s}
"""

SCENARIOS = [
    # when.status in a row of steps, with and without a failure before
    Scenario("all pass", SERIAL % ("", ""), "a: passed, b: passed, c: passed", seconds=3),
    Scenario("a failure", SERIAL % ("", ""), "a: failed, b: skipped, c: skipped", "failed", 1, {"a": FAILS}),
    Scenario(
        "success is said",
        SERIAL % (WHEN % "success", ""),
        "a: failed, b: skipped, c: skipped",
        "failed",
        1,
        {"a": FAILS},
    ),
    Scenario("failure without one", SERIAL % (WHEN % "failure", ""), "a: passed, b: skipped, c: passed", seconds=2),
    Scenario(
        "failure after one",
        SERIAL % (WHEN % "failure", ""),
        "a: failed, b: passed, c: skipped",
        "failed",
        2,
        {"a": FAILS},
    ),
    Scenario(
        "always, all well", SERIAL % ("", WHEN % "success, failure"), "a: passed, b: passed, c: passed", seconds=3
    ),
    Scenario(
        "always, after one",
        SERIAL % ("", WHEN % "success, failure"),
        "a: failed, b: skipped, c: passed",
        "failed",
        2,
        {"a": FAILS},
    ),
    Scenario(
        "a failure of a step for failures",
        SERIAL % (WHEN % "failure", WHEN % "failure"),
        "a: failed, b: failed, c: passed",
        "failed",
        3,
        {"a": FAILS, "b": FAILS},
    ),
    Scenario(
        "only steps for failures", "- {name: a, commands: [x], when: {status: failure}}", "a: skipped", "skipped", 0
    ),
    # failure: ignore and fast
    Scenario(
        "ignored", SERIAL % (", failure: ignore", ""), "a: passed, b: ignored, c: passed", seconds=3, acts={"b": FAILS}
    ),
    Scenario(
        "ignored is no failure",
        SERIAL % (", failure: ignore", WHEN % "failure"),
        "a: passed, b: ignored, c: skipped",
        seconds=2,
        acts={"b": FAILS},
    ),
    Scenario(
        "fast",
        GRAPH % (", failure: fast", "", ""),
        "a: cancelled, b: failed, c: skipped, d: skipped",
        "failed",
        1,
        {"a": LONG, "b": FAILS},
    ),
    Scenario(
        "not fast",
        GRAPH % ("", "", ""),
        "a: passed, b: failed, c: skipped, d: skipped",
        "failed",
        5,
        {"a": Act(lasts=5), "b": FAILS},
    ),
    Scenario(
        "cancel of Woodpecker",
        "- {name: a, image: b, depends_on: []}\n- {name: b, image: b, depends_on: [], failure: cancel}",
        "a: cancelled, b: failed",
        "failed",
        1,
        {"a": LONG, "b": FAILS},
        ".woodpecker.yml",
    ),
    Scenario(
        "ignore of drone",
        "- {name: a, image: b, failure: ignore}\n- {name: b, image: b}",
        "a: ignored, b: passed",
        "passed",
        2,
        {"a": FAILS},
        ".drone.yml",
    ),
    # exit code 78
    Scenario(
        "78 in a row", SERIAL % ("", WHEN % "success, failure"), "a: passed, b: skipped, c: skipped", acts={"a": STOPS}
    ),
    Scenario(
        "78 beside others",
        GRAPH % ("", "", ""),
        "a: passed, b: passed, c: skipped, d: skipped",
        seconds=4,
        acts={"a": STOPS, "b": Act(lasts=4)},
    ),
    Scenario("78 of the last", SERIAL % ("", ""), "a: passed, b: passed, c: passed", seconds=3, acts={"c": STOPS}),
    # detached steps
    Scenario(
        "detached", SERIAL % (", detach: true", ""), "a: passed, b: passed, c: passed", seconds=7, acts={"b": LONG}
    ),
    Scenario(
        "detached, and fails",
        SERIAL % (", detach: true", ""),
        "a: passed, b: ignored, c: passed",
        seconds=6,
        acts={"b": FAILS, "c": Act(lasts=5)},
    ),
    Scenario(
        "detached, and asked to end",
        SERIAL % (", detach: true", ""),
        "a: passed, b: passed, c: passed",
        seconds=2,
        acts={"b": Act(lasts=100, ignores_terminate=False)},
    ),
    # time
    Scenario("timeout", SERIAL % (", timeout: 5s", ""), "a: passed, b: failed, c: skipped", "failed", 6, {"b": LONG}),
    Scenario(
        "timeout, ignored",
        SERIAL % (", timeout: 5s, failure: ignore", ""),
        "a: passed, b: ignored, c: passed",
        "passed",
        7,
        {"b": LONG},
    ),
    Scenario(
        "timeout of the stage",
        SERIAL % ("", WHEN % "failure") + "timeout: 3s\n",
        "a: passed, b: cancelled, c: skipped",
        "failed",
        3,
        {"b": LONG},
    ),
    Scenario("retries", SERIAL % (", retries: 2", ""), "a: passed, b: failed, c: skipped", "failed", 4, {"b": FAILS}),
    Scenario(
        "retries, ignored",
        SERIAL % (", retries: 1, failure: ignore", ""),
        "a: passed, b: ignored, c: passed",
        "passed",
        4,
        {"b": FAILS},
    ),
    Scenario(
        "retries of what is in time",
        SERIAL % (", retries: 1, timeout: 2s", ""),
        "a: passed, b: failed, c: skipped",
        "failed",
        5,
        {"b": LONG},
    ),
    Scenario(
        "cancelled",
        SERIAL % ("", WHEN % "success, failure"),
        "a: passed, b: cancelled, c: skipped",
        "cancelled",
        3,
        {"b": LONG},
        cancel_at=3,
    ),
    Scenario(
        "cancelled in parallel",
        GRAPH % ("", "", ""),
        "a: cancelled, b: passed, c: skipped, d: skipped",
        "cancelled",
        3,
        {"a": LONG},
        cancel_at=3,
    ),
    # graphs
    Scenario(
        "side by side",
        GRAPH % ("", "", ""),
        "a: passed, b: passed, c: passed, d: passed",
        seconds=7,
        acts={"a": Act(lasts=5)},
    ),
    Scenario(
        "a step left out by its condition",
        GRAPH % ("", ", when: {event: tag}", ""),
        "a: passed, b: passed, d: passed",
        seconds=4,
        acts={"b": Act(lasts=3)},
    ),
    Scenario(
        "a step for failures in a graph",
        GRAPH % ("", "", WHEN % "failure"),
        "a: passed, b: failed, c: skipped, d: passed",
        "failed",
        2,
        {"b": FAILS},
    ),
    Scenario(
        "an optional dependency that is there",
        "- {name: a, image: b}\n- {name: b, image: b, depends_on: [{name: a, optional: true}]}",
        "a: passed, b: passed",
        seconds=2,
        file=".woodpecker.yml",
    ),
    Scenario(
        "an optional dependency that is not",
        "- {name: b, image: b, depends_on: [{name: a, optional: true}]}",
        "b: passed",
        file=".woodpecker.yml",
    ),
    Scenario(
        "groups of Woodpecker",
        "- {name: a, image: b, group: x}\n- {name: b, image: b, group: x}\n- {name: c, image: b}",
        "a: passed, b: passed, c: passed",
        seconds=4,
        acts={"a": Act(lasts=3)},
        file=".woodpecker.yml",
    ),
    # services
    Scenario(
        "a service",
        "- {name: a, commands: [x]}\nservices: [{name: db, image: d}]",
        "db: passed, a: passed",
        seconds=6,
        acts={"db": LONG},
    ),
    Scenario(
        "a service that ends early",
        "- {name: a, commands: [x]}\nservices: [{name: db, image: d}]",
        "db: ignored, a: passed",
        seconds=5,
        acts={"db": FAILS, "a": Act(lasts=5)},
    ),
    Scenario(
        "a service that is never ready",
        "- {name: a, commands: [x]}\nservices: [{name: db, image: d, healthcheck: test, wait: 4s}]",
        "db: failed, a: skipped",
        "failed",
        4,
        {"db": LONG},
    ),
    Scenario(
        "a service that is healthy later",
        "- {name: a, commands: [x]}\nservices: [{name: db, image: d, healthcheck: {command: test, interval: 1s}}]",
        "db: passed, a: passed",
        "passed",
        10,
        {"db": Act(lasts=100, healthy_after=4)},
    ),
    Scenario(
        "a service for nothing",
        "- {name: a, commands: [x], when: {status: failure}}\nservices: [{name: db, image: d}]",
        "db: passed, a: skipped",
        "skipped",
        5,
        {"db": LONG},
    ),
    # what the back end does
    Scenario(
        "a container that does not start",
        SERIAL % ("", ""),
        "a: error, b: skipped, c: skipped",
        "failed",
        0,
        {"a": Act(fails="no such image")},
    ),
    Scenario(
        "out of memory",
        SERIAL % ("", ""),
        "a: failed, b: skipped, c: skipped",
        "failed",
        1,
        {"a": Act(code=137, oom=True)},
    ),
]


def compiled(scenario: Scenario) -> StageSpec:
    """The Stage of a scenario's file."""
    head = {".ci.yml": HEAD, ".drone.yml": "kind: pipeline\nsteps:\n", ".woodpecker.yml": "steps:\n"}[scenario.file]
    loaded = ci.pipeline.load(head + scenario.steps.strip("\n") + "\n", scenario.file)
    (stage,) = compile_all(loaded.require(), Event(branch="main"))
    return stage


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenarios(scenario: Scenario, run: Any, backend: Any, loop: Any) -> None:
    """States, the Stage's state, the time it took; and nothing is left open."""
    backend.acts = dict(scenario.acts)
    during = (
        ((scenario.cancel_at, lambda made: made.cancel("stopped", interrupted=True)),) if scenario.cancel_at else ()
    )
    result: StageResult = run(compiled(scenario), during=during)
    assert ", ".join(f"{one.name}: {one.state.value}" for one in in_order(result)) == scenario.expected
    assert (result.state.value, loop.time) == (scenario.stage, pytest.approx(scenario.seconds, abs=0.2))


def in_order(result: StageResult) -> list[Any]:
    """The results, services first, in the order of the file."""
    order = [one.name for one in (*result.stage.services, *result.stage.steps)]
    return sorted(result.steps, key=lambda one: order.index(one.name))


CONTAINER = st.builds(
    Act,
    code=st.sampled_from([0, 0, 0, 1, 78, 137]),
    lasts=st.integers(0, 9).map(float),
    ignores_terminate=st.booleans(),
    fails=st.sampled_from(["", "", "", "", "", "no"]),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_pipeline_comes_to_its_end(data: st.DataObject) -> None:
    """Whatever steps say and containers do: each has one result, a failure that counts fails the Stage, none else."""
    count = data.draw(st.integers(1, 5))
    graph = data.draw(st.booleans())
    lines = []
    for number in range(count):
        before = data.draw(st.lists(st.sampled_from(range(number)), unique=True, max_size=2)) if number else []
        parts = [f"name: s{number}", "commands: [x]"]
        parts += [f"depends_on: [{', '.join(f's{one}' for one in before)}]"] if graph else []
        parts += data.draw(st.lists(st.sampled_from(["detach: true", "retries: 1", "timeout: 3s"]), unique=True))
        parts += data.draw(st.sampled_from([[], ["failure: ignore"], ["failure: fast"]]))
        parts += data.draw(st.sampled_from([[], ["when: {status: failure}"], ["when: {status: [success, failure]}"]]))
        lines.append(f"- {{{', '.join(parts)}}}")
    stage = compiled(Scenario("any", "\n".join(lines), ""))
    loop = VirtualLoop()
    try:
        backend = Played(loop, acts={f"s{number}": data.draw(CONTAINER) for number in range(count)})
        done: list[Any] = []
        given = StageInput(workspace=lambda: None)  # type: ignore[arg-type,return-value]
        made = StageRun(stage, given, loop=loop, backend=backend, reporter=Recorder(loop), finished=done.append)
        made.start()
        loop.run(lambda: bool(done))
    finally:
        loop.close()
    (result,) = done
    assert [one.name for one in in_order(result)] == [step.name for step in stage.steps]
    assert not backend.open
    detached = {step.name for step in stage.steps if step.detach}
    counts = [one for one in result.steps if one.state.bad and one.name not in detached]
    assert (result.state is State.FAILED) == bool(counts) or detached
