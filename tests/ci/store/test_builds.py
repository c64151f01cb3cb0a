"""Builds, their Stages and steps: made, listed, brought on."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.dispatch.advancing import advance
from ci.errors import CiError
from ci.pipeline.event import Event, EventKind
from ci.store import builds, releasing, stages
from ci.store.records import Build, Filter, Stage, Step
from ci.store.stages import Holder
from ci.store.states import State, together

if TYPE_CHECKING:
    import sqlalchemy as sql

    from ci.store.database import Database
    from ci.store.repositories import Repository

R, LOST, ANOTHER = Holder("r", 1), Holder("lost", 1), Holder("another", 1)
PUSH = Event(branch="main", commit="c" * 40, message="Fix it\n\nWell.", author="Octo", author_login="octo")
PLANNED = (
    Stage(number=1, name="test", spec={"steps": [1]}, matrix={"go": "1"}, labels={"arch": "arm"}, steps=(
        Step(number=1, name="clone", kind="clone"),
        Step(number=2, name="test"),
    )),
    Stage(number=2, name="deploy", depends_on=(1,), steps=(Step(number=1, name="go"),)),
)  # fmt: skip


def _make(database: Database, repository: Repository, event: Event = PUSH, **more: object) -> Build:
    with database.write() as connection:
        return builds.create(connection, repository.id, event, PLANNED, 100.0, **more)  # type: ignore[arg-type]


def _ready(connection: sql.Connection, build: Build) -> list[Stage]:
    """Those that runners may have now."""
    advance(connection, build.id, 120.0)
    return [stages.get(connection, one.id) for one in releasing.release(connection, build.repository_id, 120.0)]


def _states(database: Database, build: Build) -> tuple[State, list[tuple[State, list[State]]]]:
    with database.read() as connection:
        found = stages.of_build(connection, build.id)
        return builds.get(connection, build.id).state, [
            (stage.state, [step.state for step in stage.steps]) for stage in found
        ]


def test_a_build_is_made_whole(database: Database, repository: Repository) -> None:
    """Its Stages and steps are as they were planned, and it is found by its number."""
    build = _make(database, repository)
    assert (build.number, build.state, build.event) == (1, State.PENDING, PUSH)
    with database.read() as connection:
        assert builds.find(connection, repository.id, 1) == build
        first, second = stages.of_build(connection, build.id)
        assert stages.get(connection, first.id) == first
    assert (first.name, first.spec) == ("test", {"steps": [1]})
    assert (first.matrix, first.labels) == ({"go": "1"}, {"arch": "arm"})
    assert [(step.name, step.kind, step.state) for step in first.steps] == [
        ("clone", "clone", State.PENDING),
        ("test", "step", State.PENDING),
    ]
    assert second.depends_on == (1,)


def test_one_that_is_not_there(database: Database, repository: Repository) -> None:
    """A line that says so."""
    with database.read() as connection:
        for look in (
            lambda: builds.get(connection, 5),
            lambda: builds.find(connection, repository.id, 5),
            lambda: stages.get(connection, 5),
        ):
            with pytest.raises(CiError):
                look()


@pytest.mark.slow
def test_numbers_have_neither_gaps_nor_repeats(database: Database, repository: Repository) -> None:
    """Many make builds at once, and some of them fail on their way."""
    numbers: list[int] = []

    def make(fail: bool) -> None:
        try:
            with database.write() as connection:
                build = builds.create(connection, repository.id, PUSH, PLANNED, 1.0)
                if fail:
                    raise RuntimeError
        except RuntimeError:
            return
        numbers.append(build.number)

    threads = [threading.Thread(target=make, args=(number % 4 == 0,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 31))


def test_a_stage_has_one_runner(database: Database, repository: Repository) -> None:
    """Of many that accept it at once one gets it; the others' reports change nothing."""
    build = _make(database, repository)
    with database.write() as connection:
        (stage,) = _ready(connection, build)
    winners: list[str] = []

    def accept(runner: str) -> None:
        with database.write() as connection:
            if stages.accept(connection, stage.id, runner, 110.0):
                winners.append(runner)

    threads = [threading.Thread(target=accept, args=(f"runner-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = winners
    with database.write() as connection:
        assert stages.get(connection, stage.id).runner == winner
        assert not stages.finish(connection, stage.id, ANOTHER, State.SUCCESS, 120.0)
        assert not stages.report_step(connection, stage.id, ANOTHER, Step(number=1, name="clone"))
        assert builds.get(connection, build.id).started == 110.0


def test_a_build_goes_through(database: Database, repository: Repository) -> None:
    """Stages become ready when those before them are over; the build's state and times follow."""
    build = _make(database, repository)
    with database.write() as connection:
        (first,) = _ready(connection, build)
        assert stages.accept(connection, first.id, "r", 110.0)
        assert _ready(connection, build) == []
        for number, code in ((1, 0), (2, 3)):
            state = State.FAILURE if code else State.SUCCESS
            report = Step(number=number, name="", state=state, exit_code=code, started=111.0, finished=112.0)
            assert stages.report_step(connection, first.id, R, report)
        assert stages.finish(connection, first.id, R, State.FAILURE, 120.0)
        assert _ready(connection, build) == []  # the second is skipped
        done = builds.get(connection, build.id)
    assert (done.state, done.started, done.finished) == (State.FAILURE, 110.0, 120.0)
    assert _states(database, build)[1] == [
        (State.FAILURE, [State.SUCCESS, State.FAILURE]),
        (State.SKIPPED, [State.SKIPPED]),
    ]


def test_a_lost_runner_gives_its_stage_up(database: Database, repository: Repository) -> None:
    """It waits for another from the beginning; what the lost one still says is not heard."""
    build = _make(database, repository)
    with database.write() as connection:
        (first,) = _ready(connection, build)
        stages.accept(connection, first.id, "lost", 110.0)
        stages.report_step(connection, first.id, LOST, Step(number=1, name="", state=State.RUNNING, started=111.0))
        assert stages.give_up(connection, first.id, LOST, 200.0)
        assert not stages.give_up(connection, first.id, LOST, 201.0)
        assert not stages.finish(connection, first.id, LOST, State.SUCCESS, 202.0)
    assert _states(database, build)[1][0] == (State.PENDING, [State.PENDING, State.PENDING])
    with database.write() as connection:
        assert stages.accept(connection, first.id, "next", 210.0)
        assert stages.get(connection, first.id).attempt == 2


def test_cancelling(database: Database, repository: Repository) -> None:
    """What waits will not run; what runs is given back, to be told; the build is killed when that has ended."""
    build = _make(database, repository)
    with database.write() as connection:
        (first,) = _ready(connection, build)
        stages.accept(connection, first.id, "r", 110.0)
        (running,) = builds.cancel(connection, build.id, "octo", 120.0)
        assert running.id == first.id
        assert builds.get(connection, build.id).state is State.RUNNING
        assert stages.finish(connection, first.id, R, State.KILLED, 121.0)
        done = builds.get(connection, build.id)
    assert (done.state, done.decided_by, done.finished) == (State.KILLED, "octo", 121.0)
    assert _states(database, build)[1][1] == (State.KILLED, [State.SKIPPED])


def test_approval(database: Database, repository: Repository) -> None:
    """A blocked build does not run before it is approved, once; one that is declined never does."""
    build, other = _make(database, repository, blocked=True), _make(database, repository, blocked=True)
    with database.write() as connection:
        assert _ready(connection, build) == []
        first = stages.of_build(connection, build.id)[0]
        assert not stages.accept(connection, first.id, "r", 110.0)
        assert builds.approve(connection, build.id, "maintainer", 120.0)
        assert not builds.approve(connection, build.id, "maintainer", 121.0)
        assert not builds.decline(connection, build.id, "maintainer", 121.0)
        assert [stage.number for stage in _ready(connection, build)] == [1]
        assert builds.decline(connection, other.id, "maintainer", 121.0)
        assert not builds.approve(connection, other.id, "maintainer", 122.0)
    assert _states(database, other) == (
        State.DECLINED,
        [(State.DECLINED, [State.SKIPPED, State.SKIPPED]), (State.DECLINED, [State.SKIPPED])],
    )


def test_a_newer_push_makes_older_ones_idle(database: Database, repository: Repository) -> None:
    """Those of the same branch that have not ended; not those of others, nor of tags."""
    old = _make(database, repository)
    ended = _make(database, repository)
    with database.write() as connection:
        builds.cancel(connection, ended.id, "", 105.0)
    _make(database, repository, Event(branch="other"))
    _make(database, repository, Event(kind=EventKind.TAG, tag="v1"))
    new = _make(database, repository)
    with database.read() as connection:
        assert [build.number for build in builds.superseded(connection, new)] == [old.number]


def test_a_configuration_with_mistakes_is_a_build(database: Database, repository: Repository) -> None:
    """In the state error, with its diagnostics; one without Stages was skipped."""
    with database.write() as connection:
        wrong = builds.create(
            connection, repository.id, PUSH, (), 1.0, error="2 mistakes", diagnostics=[{"line": 3, "message": "no"}]
        )
        empty = builds.create(connection, repository.id, PUSH, (), 1.0)
    assert (wrong.state, wrong.error, wrong.diagnostics, wrong.finished) == (
        State.ERROR,
        "2 mistakes",
        ({"line": 3, "message": "no"},),
        1.0,
    )
    assert empty.state is State.SKIPPED


def test_pages(database: Database, repository: Repository) -> None:
    """The newest first, each page from where the last ended; filters are by what has a column."""
    for number in range(5):
        _make(database, repository, Event(branch="odd" if number % 2 else "even", author_login="a"))
    with database.read() as connection:

        def numbers(**wanted: object) -> list[int]:
            return [build.number for build in builds.page(connection, repository.id, Filter(**wanted))]  # type: ignore[arg-type]

        assert numbers(limit=2) == [5, 4]
        assert numbers(limit=2, before=4) == [3, 2]
        assert numbers(branch="odd") == [4, 2]
        assert numbers(kind="tag") == []
        assert numbers(state="pending", author="a", before=3) == [2, 1]
        assert numbers(author="b") == []


def test_lists_are_short(database: Database, repository: Repository) -> None:
    """A list has what its page shows, with the same filters; the last build of each repository is found for all at
    once.
    """
    first, second = _make(database, repository), _make(database, repository, dataclasses.replace(PUSH, branch="next"))
    with database.read() as connection:
        found = builds.summaries(connection, repository.id, Filter())
        assert [(one.number, one.branch, one.title, one.state) for one in found] == [
            (second.number, "next", "Fix it", State.PENDING),
            (first.number, "main", "Fix it", State.PENDING),
        ]
        assert [one.number for one in builds.summaries(connection, repository.id, Filter(branch="main"))] == [1]
        assert builds.latest(connection, [repository.id, repository.id + 1]) == {repository.id: found[0]}


def test_hostile_text_is_stored(database: Database, repository: Repository) -> None:
    """Null characters and broken surrogates, which databases refuse, become the replacement character."""
    event = Event(branch="a\0b", message="\ud800 '; DROP TABLE builds; --\n", author="\0")
    build = _make(database, repository, event)
    with database.read() as connection:
        (found,) = builds.page(connection, repository.id, Filter(branch="a\N{REPLACEMENT CHARACTER}b"))
    assert found.id == build.id


@given(st.lists(st.sampled_from(State)))
def test_states_together(states: list[State]) -> None:
    """Over when all parts are; a success when nothing else happened than that something succeeded."""
    state = together(states)
    assert state.over == all(one.over for one in states)
    if state is State.SUCCESS:
        assert set(states) <= {State.SUCCESS, State.SKIPPED, State.DECLINED}
