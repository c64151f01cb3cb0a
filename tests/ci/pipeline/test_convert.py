"""Files of drone and Woodpecker in our own language: they mean the same, and what they cannot say is noted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.convert import Converted, convert
from ci.pipeline.diagnostics import Report
from ci.pipeline.event import Event, EventKind
from ci.pipeline.nodes import Mapping, Scalar
from ci.pipeline.source import read
from ci.pipeline.writing import write
from ci.pipeline.yaml import parse

if TYPE_CHECKING:
    from ci.pipeline.nodes import Node
    from ci.pipeline.spec import StageSpec

CORPUS = Path(__file__).parent / "corpus"
EVENT = Event(branch="main", default_branch="main", commit="0" * 40, repository="team/app", changed_files=("src/a.ts",))


def converted(text: str, name: str = ".drone.yml") -> Converted:
    """A file, converted."""
    return convert(ci.pipeline.load(text, name).require())


def stages(text: str, name: str, event: Event = EVENT) -> tuple[StageSpec, ...]:
    """What a file compiles to."""
    return compile_all(ci.pipeline.load(text, name).require(), event)


@pytest.mark.parametrize("kind", [EventKind.PUSH, EventKind.TAG, EventKind.PULL_REQUEST, EventKind.DEPLOYMENT])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("drone/anchors.yml", ".drone.yml"),
        ("drone/services.yml", ".drone.yml"),
        ("woodpecker/old.yml", ".woodpecker.yml"),
    ],
)
def test_it_means_the_same(path: str, name: str, kind: EventKind) -> None:
    """The new file has no mistakes, and the same Stages, steps, images, dependencies and settings for an event."""
    text = (CORPUS / path).read_text()
    event = replace(EVENT, kind=kind, tag="v1" if kind is EventKind.TAG else "", pull_request=3)
    before, after = stages(text, name, event), stages(converted(text, name).text, ".ci.yml", event)
    assert [(one.name, one.matrix, one.skipped) for one in after] == [
        (one.name, one.matrix, one.skipped) for one in before
    ]
    for old, new in zip(before, after, strict=True):
        kept = (
            "name",
            "image",
            "depends_on",
            "detach",
            "privileged",
            "volumes",
            "failure",
            "secrets",
            "run_on_failure",
        )
        for one, other in zip((*old.services, *old.steps), (*new.services, *new.steps), strict=True):
            assert [getattr(other, field) for field in kept] == [getattr(one, field) for field in kept]
            plugin = {key: value for key, value in one.environment.items() if key.startswith("PLUGIN_")}
            assert plugin.items() <= other.environment.items()


def test_commands() -> None:
    """Variables are the shell's now, by our names; bash is asked for where an operator is bash's."""
    done = converted(
        "kind: pipeline\nsteps:\n- name: Build & test\n  image: b\n  commands:\n"
        "  - echo ${DRONE_BRANCH} $DRONE_TAG $${HOME} ${DRONE_TAG##v}\n"
        "- name: deploy\n  image: b\n  commands: ['./x ${DRONE_COMMIT_SHA:0:8}']\n  when: {event: [promote, custom]}\n"
    )
    assert done.text.splitlines() == [
        "steps:",
        "  - name: Build-test",
        "    image: b",
        "    commands:",
        "      - echo ${CI_COMMIT_BRANCH} $CI_COMMIT_TAG ${HOME} ${CI_COMMIT_TAG##v}",
        "  - name: deploy",
        "    image: b",
        "    shell: bash",
        "    commands:",
        "      - ./x ${CI_COMMIT_SHA:0:8}",
        "    when:",
        "      event:",
        "        - deployment",
        "        - manual",
    ]
    assert done.notes == (
        (3, '"Build & test" is called "Build-test"'),
        (7, "deploy: its commands want bash now; the image must have it"),
    )


def test_what_was_nothing_is_a_variable_now() -> None:
    """In a command, a name that only the shell knows; in drone it was replaced by nothing."""
    done = converted("kind: pipeline\nsteps:\n- name: a\n  image: b\n  commands: ['${HOME} ${DRONE_TAG} $${PWD}']\n")
    assert "- ${HOME} ${CI_COMMIT_TAG} ${PWD}\n" in done.text
    assert done.notes == ((5, "${HOME} has no value when drone reads the file; here it is the shell's variable"),)


def test_what_has_no_counterpart() -> None:
    """It is left out, and noted with its line."""
    done = converted(
        "kind: pipeline\nclone: {depth: 1}\nconcurrency: {limit: 1}\nimage_pull_secrets: [x]\n"
        "steps:\n- name: a\n  image: b\n  memswap_limit: 1g\n"
        "  environment: {A: '${DRONE_TAG:-none}', B: $DRONE_SEMVER}\n"
    )
    assert [line for line, _ in done.notes] == [1, 4, 8, 9]
    assert "clone:\n  submodules: false\n  tags: false\n  depth: 1\nconcurrency: 1\n" in done.text


def test_a_clone_with_an_image_of_its_own() -> None:
    """There is room for one; the others are noted."""
    done = converted(
        "clone:\n  a: {image: team/fetch, settings: {depth: 7}}\n  b: {image: x}\nsteps: [{name: c, image: d}]\n",
        ".woodpecker.yml",
    )
    assert "clone:\n  image: team/fetch\n  settings:\n    depth: 7\n" in done.text
    assert done.notes == ((3, 'the clone step "b" is not taken over: a clone has one image'),)


@given(
    st.recursive(
        st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_what_is_written_is_read(value: object) -> None:
    """Any texts, lists and maps come back as they were."""
    text = write({"a": value})
    if any(character in text for character in "\x85\u2028\u2029\ufeff\ufffe\uffff"):
        return  # no pipeline file may hold these
    source = read(text, "x")
    report = Report(source)
    (node,) = parse(source, report)
    assert report.diagnostics == ()
    assert plain(node) == {"a": value}


def plain(node: Node) -> object:
    """A node's value, all single ones as text."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Mapping):
        return {entry.key.value: plain(entry.value) for entry in node.entries}
    return [plain(item) for item in node.items]
