"""Documents and an event → Stages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ci.pipeline
from ci.errors import CiError
from ci.pipeline.compile import CompileError, compile, compile_all
from ci.pipeline.event import Event, EventKind
from ci.pipeline.spec import OnFailure, StageSpec, VolumeMount

EVENT = Event(branch="main", repository="team/app", message="$(touch owned) ${GO}\n---\nsteps: []")


def stages(text: str, event: Event = EVENT, *, number: int = 1) -> tuple[StageSpec, ...]:
    """Load without errors, and compile."""
    loaded = ci.pipeline.load(text)
    assert loaded.ok, [one.message for one in loaded.diagnostics]
    return compile_all(loaded.documents, event, number=number)


def stage(text: str, event: Event = EVENT) -> StageSpec:
    """The only Stage."""
    (one,) = stages(text, event)
    return one


def graph(spec: StageSpec) -> dict[str, tuple[str, ...]]:
    """Who depends on whom."""
    return {step.name: step.depends_on for step in spec.steps}


def test_everything_of_a_step() -> None:
    """Each key of the file is in the compiled step."""
    spec = stage("""
name: all
image: busybox
timeout: 1h
workspace: /w
volumes: [cache]
labels: {arch: amd64}
steps:
  - name: one
    image: debian:bookworm
    commands: [make, "make test"]
    shell: bash
    user: "1000"
    privileged: true
    directory: sub/dir
    volumes: ["cache:/c:ro", "/host:/h", {name: cache, target: /d}]
    memory: 1g
    cpus: 0.5
    failure: ignore
    timeout: 90
  - name: two
    entrypoint: [/bin/echo, hi]
    working_dir: /abs
services:
  - name: db
    image: hako/redis:7
    ports: [6379, 6380]
""")
    assert (spec.name, spec.number, spec.timeout, spec.workspace) == ("all", 1, 3600, "/w")
    assert (spec.volumes, spec.labels) == (("cache",), {"arch": "amd64"})
    one, two = spec.steps
    assert (one.image, one.commands, one.shell, one.user) == ("debian:bookworm", ("make", "make test"), "bash", "1000")
    assert (one.privileged, one.working_dir, one.memory, one.cpus) == (True, "/w/sub/dir", 1 << 30, 0.5)
    assert (one.failure, one.timeout, one.line) == (OnFailure.IGNORE, 90, 9)
    assert one.volumes == (
        VolumeMount(name="cache", target="/c", read_only=True),
        VolumeMount(host="/host", target="/h"),
        VolumeMount(name="cache", target="/d"),
    )
    assert (two.image, two.entrypoint, two.commands, two.working_dir) == ("busybox", ("/bin/echo", "hi"), (), "/abs")
    assert (two.shell, two.depends_on) == ("/bin/sh", ("one",))
    (db,) = spec.services
    assert (db.image, db.ports, db.environment["CI_STEP_TYPE"]) == ("hako/redis:7", (6379, 6380), "service")


def test_serial_is_a_chain() -> None:
    """Without any `depends_on` each step waits for the one before it."""
    spec = stage("{image: b, steps: [{name: a}, {name: b}, {name: c}]}")
    assert graph(spec) == {"a": (), "b": ("a",), "c": ("b",)}


@pytest.mark.parametrize("first", ["a", "[]"])
def test_any_dependency_makes_a_graph(first: str) -> None:
    """One `depends_on`, an empty one too, and every other step starts at once."""
    text = f"{{image: b, steps: [{{name: a}}, {{name: b, depends_on: {first}}}, {{name: c}}]}}"
    assert graph(stage(text)) == {"a": (), "b": ("a",) if first == "a" else (), "c": ()}


def test_skipped_steps_are_passed_over() -> None:
    """Who waited for a skipped step waits for what that one waited for."""
    spec = stage("""
image: b
steps:
  - {name: a}
  - {name: b, when: {event: tag}}
  - {name: c, when: {branch: dev}}
  - {name: d}
""")
    assert graph(spec) == {"a": (), "d": ("a",)}
    assert spec.skipped == ("b", "c")
    spec = stage("""
image: b
steps:
  - {name: end, depends_on: [left, right, start]}
  - {name: left, depends_on: [start], when: {event: tag}}
  - {name: right, depends_on: [left], when: {event: tag}}
  - {name: start}
""")
    assert graph(spec) == {"end": ("start",), "start": ()}


def test_status() -> None:
    """`when.status` becomes the two halves of it."""
    spec = stage("""
image: b
steps:
  - {name: a}
  - {name: b, when: {status: failure}}
  - {name: c, when: {status: [success, failure]}}
""")
    halves = [(step.run_on_success, step.run_on_failure) for step in spec.steps]
    assert halves == [(True, False), (False, True), (True, True)]


def test_services_have_conditions() -> None:
    """A service whose condition does not hold is left out; and without a step there is none at all."""
    services = "services: [{name: s, image: b, when: {event: tag}}, {name: t, image: b}]\n"
    text = services + "steps: [{name: a, image: b, when: WHEN}]"
    assert [one.name for one in stage(text.replace("WHEN", "{event: push}")).services] == ["t"]
    empty = stage(text.replace("WHEN", "{event: tag}"))
    assert (empty.steps, empty.services, empty.skipped) == ((), (), ("a",))


def test_order_of_environments() -> None:
    """The document's < `CI_*` < the matrix' < the step's own."""
    (first, _) = stages("""
environment: {A: document, B: document, C: document, CI: document}
matrix: {B: [matrix, other], C: [matrix], CI_REPO: [matrix]}
steps:
  - name: a
    image: b
    environment: {C: step, CI_REPO_NAME: step, D: "${B} ${CI_STEP_NAME} $$B $HOME", E: ~}
""")
    found = first.steps[0].environment
    assert {name: found[name] for name in ("A", "B", "C", "CI", "D", "E", "CI_REPO", "CI_REPO_NAME")} == {
        "A": "document",
        "B": "matrix",
        "C": "step",
        "CI": "hako",
        "D": "matrix a $B $HOME",
        "E": "",
        "CI_REPO": "matrix",
        "CI_REPO_NAME": "step",
    }
    assert first.matrix == {"B": "matrix", "C": "matrix", "CI_REPO": "matrix"}


def test_values_are_as_they_were_written() -> None:
    """A version is no number, and `yes` no truth."""
    found = stage(
        "steps: [{name: a, image: b, environment: {A: 1.10, B: 0755, C: yes, D: true, E: 2024-01-02, F: 1_000}}]"
    )
    assert [found.steps[0].environment[name] for name in "ABCDEF"] == [
        "1.10",
        "0755",
        "yes",
        "true",
        "2024-01-02",
        "1_000",
    ]


def test_secrets() -> None:
    """A secret goes to its variable; of a secret and a plain value the one nearer to the step wins."""
    spec = stage("""
image: b
environment: {PLAIN: document}
secrets: [deploy-key, token]
steps:
  - name: a
    secrets: [npm_token, {source: key, target: OTHER}]
    environment: {FROM: {from_secret: pass.word}, DEPLOY_KEY: step}
  - name: b
    environment: {PLAIN: {from_secret: x}}
services:
  - {name: s, image: b, secrets: [own]}
""")
    a, b = spec.steps
    assert a.secrets == {"TOKEN": "token", "NPM_TOKEN": "npm_token", "OTHER": "key", "FROM": "pass.word"}
    assert a.environment["DEPLOY_KEY"] == "step"
    assert b.secrets == {"DEPLOY_KEY": "deploy-key", "TOKEN": "token", "PLAIN": "x"}
    assert not (set(a.secrets) & set(a.environment) or set(b.secrets) & set(b.environment))
    assert spec.services[0].secrets == {"OWN": "own"}


def test_matrix_variables_in_every_value() -> None:
    """`${…}` is replaced in every value but commands, which are the shell's."""
    spec = stage("""
matrix: {V: ["7"]}
timeout: ${V}m
workspace: /w${V}
labels: {gen: "${V}"}
volumes: [cache]
steps:
  - name: a
    image: debian:${V}
    commands: ["echo ${V} $$ ${HOME:-x}"]
    user: ${V}
    memory: ${V}g
    cpus: ${V}
    timeout: ${V}s
    directory: d${V}
    volumes: ["cache:/c${V}", "/h${V}:/h"]
services:
  - {name: s, image: "redis:${V}", ports: ["${V}000"], entrypoint: ["x${V}"]}
""")
    (step,), (service,) = spec.steps, spec.services
    assert (spec.timeout, spec.workspace, spec.labels) == (420, "/w7", {"gen": "7"})
    assert (step.image, step.commands) == ("debian:7", ("echo ${V} $$ ${HOME:-x}",))
    assert (step.user, step.memory, step.cpus, step.timeout, step.working_dir) == ("7", 7 << 30, 7, 7, "/w7/d7")
    assert [mount.target for mount in step.volumes] == ["/c7", "/h"]
    assert step.volumes[1].host == "/h7"
    assert (service.image, service.ports, service.entrypoint) == ("redis:7", (7000,), ("x7",))
    assert step.environment["CI_WORKSPACE"] == "/w7"


def test_events_stay_values() -> None:
    """A message with commands, variables and YAML in it is a value, once, and nothing else."""
    spec = stage('{matrix: {GO: [x]}, steps: [{name: a, image: b, environment: {M: "<${CI_COMMIT_MESSAGE}>"}}]}')
    assert spec.steps[0].environment["M"] == f"<{EVENT.message}>"
    assert len(spec.steps) == 1


def test_a_bad_value_that_only_the_event_shows() -> None:
    """It is an error with its place, as lint's."""
    text = "steps:\n  - name: a\n    image: b\n    timeout: ${CI_COMMIT_BRANCH}\n"
    with pytest.raises(CompileError, match=r"line 4, column 14.*main.*not a duration"):
        stages(text)
    host = "steps: [{name: a, image: b, volumes: ['/cache/${CI_COMMIT_BRANCH}:/c']}]"
    with pytest.raises(CompileError, match=r"\.\."):
        stages(host, replace(EVENT, branch="../../etc"))
    with pytest.raises(CompileError, match="image"):
        stages("steps: [{name: a, image: 'b:${CI_COMMIT_BRANCH}'}]", replace(EVENT, branch="a b"))


def test_stages_of_a_build() -> None:
    """Documents × cells, numbered through; a condition looks at the cell; skipped ones are passed over."""
    text = """
name: lint
image: b
when: {event: push}
steps: [{name: a}]
---
name: test
image: b
depends_on: lint
matrix: {V: [1, 2, 3]}
when: {matrix: {V: {exclude: "2"}}}
steps: [{name: a}]
---
name: tell
image: b
depends_on: [test]
when: {status: [success, failure]}
steps: [{name: a}]
"""
    found = stages(text, number=8)
    assert [(one.number, one.name, one.matrix.get("V"), one.depends_on) for one in found] == [
        (1, "lint", None, ()),
        (2, "test", "1", ("lint",)),
        (3, "test", "3", ("lint",)),
        (4, "tell", None, ("test",)),
    ]
    assert [(one.run_on_success, one.run_on_failure) for one in found] == [(True, False)] * 3 + [(True, True)]
    assert found[2].steps[0].environment["CI_PIPELINE_NUMBER"] == "8"
    assert found[2].steps[0].environment["CI_WORKFLOW_NUMBER"] == "3"
    found = stages(text.replace('exclude: "2"', "include: nothing"), replace(EVENT, kind=EventKind.TAG, tag="x"))
    assert [(one.number, one.name, one.depends_on) for one in found] == [(1, "tell", ())]


def test_pure() -> None:
    """The same document and event give the same Stages."""
    text = "{matrix: {A: [1, 2]}, steps: [{name: a, image: b}, {name: c, image: d}]}"
    assert stages(text) == stages(text)
    assert stages(text)[0].steps[0].environment["CI_PIPELINE_NUMBER"] == "1"


def test_cycles_end() -> None:
    """A document that lint refuses does not make compile run for ever."""
    documents = ci.pipeline.load("{image: b, steps: [{name: a, depends_on: c}, {name: c, depends_on: a}]}").documents
    with pytest.raises(CompileError, match="cycle"):
        compile(documents[0], EVENT)
    documents = ci.pipeline.load("{name: a, depends_on: a, image: b, steps: [{name: a}]}").documents
    with pytest.raises(CiError, match="wait for each other"):
        compile_all(documents, EVENT)


@given(st.data())
def test_what_is_compiled_can_be_scheduled(data: st.DataObject) -> None:
    """Whatever is skipped, each dependency is a step that is there, and comes before in some order."""
    count = data.draw(st.integers(1, 8))
    steps = []
    for index in range(count):
        targets = data.draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        event = data.draw(st.sampled_from(["push", "tag"]))
        steps.append(f"{{name: s{index}, depends_on: {[f's{one}' for one in targets]}, when: {{event: {event}}}}}")
    spec = stage(f"{{image: b, steps: [{', '.join(steps)}]}}")
    done: set[str] = set()
    for step in spec.steps:  # written so that each depends on earlier ones
        assert set(step.depends_on) <= done
        done.add(step.name)
    assert len(spec.steps) + len(spec.skipped) == count
