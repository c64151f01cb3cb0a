"""Events become builds: with the real git, a mirror and a database."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from ci.mirror.mirrors import Mirrors
from ci.mirror.transport import Remote
from ci.pipeline.event import NULL_COMMIT, Event, EventKind
from ci.pipeline.spec import StageSpec
from ci.pipeline.wire import from_document
from ci.store import builds, releasing, repositories, stages
from ci.store.database import Database
from ci.store.repositories import Repository
from ci.store.states import State
from ci.trigger.trigger import Outcome, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ci.origin import Origin

PIPELINE = """\
matrix:
  go: ["1", "2"]
services:
  - name: db
    image: redis
steps:
  - name: test
    image: alpine
    commands:
      - echo "${CI_COMMIT_MESSAGE}"
"""


class Server:
    """A trigger with all that it needs."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.database = Database(f"sqlite:///{folder}/hako.db")
        self.database.migrate()
        self.origin = origin
        self.now = 1000.0
        self.mirrors = Mirrors(folder / "mirrors", files=True)
        self.trigger = Trigger(self.database, self.mirrors, server="https://ci.example/", clock=lambda: self.now)
        with self.database.write() as connection:
            self.repository = repositories.add(
                connection,
                Repository(forge="github", forge_url="https://github.com", forge_id="7", name="octo/hello"),
            )

    def push(self, commit: str, **more: Any) -> Outcome:
        """A push of a commit to main."""
        event = Event(**{"branch": "main", "ref": "refs/heads/main", "commit": commit, "before": NULL_COMMIT} | more)
        return self.trigger.handle(self.repository, event, Remote(url=self.origin.url))

    def configure(self, **settings: Any) -> None:
        """Change the repository's settings."""
        with self.database.write() as connection:
            self.repository = repositories.update(connection, self.repository.id, settings=settings)


@pytest.fixture
def server(tmp_path: Path, origin: Origin) -> Iterator[Server]:
    """A server that knows the repository."""
    found = Server(tmp_path, origin)
    yield found
    found.database.close()


def test_a_push_is_built(server: Server, origin: Origin) -> None:
    """Every cell a Stage with its clone, service and steps; what the hook left out comes from the repository."""
    commit = origin.commit("Say hello\n\nWhy.", DOTciDOTyml=PIPELINE)
    build = server.push(commit).build
    assert build is not None
    assert (build.number, build.state, build.error) == (1, State.PENDING, "")
    event = build.event
    assert (event.message, event.author, event.author_email) == ("Say hello\n\nWhy.", "Ann", "ann@example.org")
    assert (event.repository, event.build_url) == ("octo/hello", "https://ci.example/octo/hello/1")
    with server.database.read() as connection:
        found = stages.of_build(connection, build.id)
    assert [stage.matrix for stage in found] == [{"go": "1"}, {"go": "2"}]
    assert [(step.kind, step.name) for step in found[0].steps] == [
        ("clone", "clone"),
        ("service", "db"),
        ("step", "test"),
    ]
    spec = from_document(StageSpec, found[0].spec)
    assert spec.steps[0].environment["CI_COMMIT_SHA"] == commit
    assert spec.steps[0].environment["CI_PIPELINE_NUMBER"] == "1"


def test_hostile_text_stays_text(server: Server, origin: Origin) -> None:
    """A message that looks like a pipeline and like commands is a value of variables, and nothing else."""
    text = '$(touch /tmp/x)\n- name: evil\n  image: evil\n"; ${CI_COMMIT_SHA} `id`'
    build = server.push(origin.commit(text, DOTciDOTyml=PIPELINE)).build
    assert build is not None
    with server.database.read() as connection:
        stage = stages.of_build(connection, build.id)[0]
    spec = from_document(StageSpec, stage.spec)
    assert [step.name for step in spec.steps] == ["test"]
    assert all("touch" not in command for command in spec.steps[0].commands)
    assert spec.steps[0].environment["CI_COMMIT_MESSAGE"].startswith("$(touch /tmp/x)")


def test_mistakes_are_a_build_that_says_them(server: Server, origin: Origin) -> None:
    """With the diagnostics, so that the page shows what `ci-run lint` would."""
    build = server.push(origin.commit(DOTciDOTyml="steps:\n  - name: x\n    imgae: y\n")).build
    assert build is not None
    assert build.state is State.ERROR
    assert build.error.startswith(".ci.yml: ")
    assert any(one["line"] == 3 and "imgae" in str(one["message"]) for one in build.diagnostics)


def test_a_commit_that_is_not_there_is_a_build_that_says_so(server: Server, origin: Origin) -> None:
    """Nobody waits in vain."""
    origin.commit()
    build = server.push("1" * 40).build
    assert build is not None
    assert build.state is State.ERROR
    assert "commit 111111111111 is not in" in build.error


def test_what_is_not_built(server: Server, origin: Origin) -> None:
    """A commit without a pipeline, a message that asks for it, a repository that is off: no build, no number."""
    assert server.push(origin.commit()).reason == "there is no pipeline at the commit"
    commit = origin.commit("Typo [ci skip]", DOTciDOTyml=PIPELINE)
    assert server.push(commit).reason == "the message says [ci skip]"
    server.repository = dataclasses.replace(server.repository, active=False)
    assert server.push(commit).reason == "the repository is not active"
    server.repository = dataclasses.replace(server.repository, active=True)
    build = server.push(origin.commit("Now")).build
    assert build is not None
    assert build.number == 1


def test_other_dialects_and_names(server: Server, origin: Origin) -> None:
    """A folder of Woodpecker's, drone's file, and whatever the settings name."""
    steps = "steps:\n  - name: a\n    image: alpine\n    commands: [a]\n"
    build = server.push(origin.commit(DOTwoodpecker__oneDOTyml=steps, DOTwoodpecker__twoDOTyaml=steps)).build
    assert build is not None
    with server.database.read() as connection:
        assert [stage.name for stage in stages.of_build(connection, build.id)] == ["one", "two"]
    server.configure(configuration="ci/drone.yml")
    named = server.push(origin.commit(ci__droneDOTyml="")).build
    assert named is not None
    assert named.error.startswith("ci/drone.yml")


def test_stages_depend_by_numbers(server: Server, origin: Origin) -> None:
    """On every cell of the document that theirs depends on."""
    first = "matrix:\n  go: [1, 2]\nsteps:\n  - name: a\n    image: alpine\n    commands: [a]\n"
    second = "depends_on: [first]\nsteps:\n  - name: a\n    image: alpine\n    commands: [a]\n"
    build = server.push(origin.commit(DOTwoodpecker__firstDOTyml=first, DOTwoodpecker__secondDOTyml=second)).build
    assert build is not None
    with server.database.read() as connection:
        assert [stage.depends_on for stage in stages.of_build(connection, build.id)] == [(), (), (1, 2)]


def test_a_pull_request_of_a_fork_waits(server: Server, origin: Origin) -> None:
    """Its commit is found by its own reference; its files are those it has changed since it left the branch."""
    origin.commit(DOTciDOTyml=PIPELINE)
    origin.git("checkout", "-q", "-b", "topic")
    commit = origin.commit("Proposed", b="1")
    origin.git("update-ref", "refs/pull/3/head", commit)
    origin.git("checkout", "-q", "main")
    origin.git("branch", "-q", "-D", "topic")
    origin.commit("Meanwhile", c="1")
    pull = {"kind": EventKind.PULL_REQUEST, "pull_request": 3, "ref": "", "before": "", "fork": True, "sender_id": "9"}
    build = server.push(commit, **pull).build
    assert build is not None
    assert (build.state, build.event.changed_files) == (State.BLOCKED, ("b",))
    server.configure(trusted_senders=["9"])
    trusted = server.push(commit, **pull).build
    assert trusted is not None
    assert trusted.state is State.PENDING


def test_a_fork_is_not_trusted(server: Server, origin: Origin) -> None:
    """Even in a repository that is: its pipeline is a stranger's, whoever approves it."""
    server.repository = dataclasses.replace(server.repository, trusted=True)
    commit = origin.commit(DOTciDOTyml=PIPELINE)
    for fork in (False, True):
        build = server.push(commit, kind=EventKind.PULL_REQUEST, pull_request=3, before="", fork=fork).build
        assert build is not None
        assert build.event.trusted is not fork


def test_a_newer_push_stops_the_older(server: Server, origin: Origin) -> None:
    """What waits is killed, what runs is given back to be told; not for tags, nor where the settings say no."""
    first = server.push(origin.commit(DOTciDOTyml=PIPELINE)).build
    assert first is not None
    with server.database.write() as connection:
        running = stages.of_build(connection, first.id)[0]
        releasing.mark_ready(connection, [running.id], 1000.0)
        releasing.release(connection, server.repository.id, 1000.0)
        stages.accept(connection, running.id, "r", 1001.0)
    outcome = server.push(origin.commit("Next"))
    assert [stage.id for stage in outcome.stopped] == [running.id]
    with server.database.read() as connection:
        assert [stage.state for stage in stages.of_build(connection, first.id)] == [State.RUNNING, State.KILLED]
    assert outcome.build is not None
    origin.git("tag", "v1")
    assert server.push(outcome.build.event.commit, kind=EventKind.TAG, tag="v1", branch="", ref="").stopped == ()
    server.configure(cancel_superseded=False)
    server.push(origin.commit("Third"))
    with server.database.read() as connection:
        assert builds.get(connection, outcome.build.id).state is State.PENDING


def test_the_build_before_is_known(server: Server, origin: Origin) -> None:
    """The last of the branch that has ended."""
    first = server.push(origin.commit(DOTciDOTyml="steps: 1")).build
    second = server.push(origin.commit(DOTciDOTyml=PIPELINE)).build
    assert first is not None
    assert second is not None
    assert second.event.previous is not None
    assert (second.event.previous.number, second.event.previous.status) == (1, "error")


def test_a_release_is_built_at_its_tag(server: Server, origin: Origin) -> None:
    """Its hook does not say the commit."""
    commit = origin.commit(DOTciDOTyml=PIPELINE)
    origin.git("tag", "-a", "v1", "-m", "One")
    origin.commit("Later")
    build = server.push(NULL_COMMIT, kind=EventKind.RELEASE, tag="v1", branch="", ref="refs/tags/v1").build
    assert build is not None
    assert build.event.commit == commit


def test_templates_come_from_the_commit(server: Server, origin: Origin) -> None:
    """Or from a reference of the same repository; one that is not there is a mistake in the file."""
    pipeline = "steps:\n  - include: ci/build.yml\n  - name: x\n    image: alpine\n    commands: [x]\n"
    template = "steps:\n  - name: included\n    image: alpine\n    commands: [make]\n"
    build = server.push(origin.commit(DOTciDOTyml=pipeline, ci__buildDOTyml=template)).build
    assert build is not None
    assert build.error == ""
    with server.database.read() as connection:
        names = [step.name for step in stages.of_build(connection, build.id)[0].steps]
    assert "included" in names
    missing = server.push(origin.commit(DOTciDOTyml=pipeline.replace("build.yml", "no.yml"))).build
    assert missing is not None
    assert any("there is no file" in str(one["message"]) for one in missing.diagnostics)
