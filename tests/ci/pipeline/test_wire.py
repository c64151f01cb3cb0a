"""Events and compiled Stages survive their JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import CiError
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event, EventKind, Previous
from ci.pipeline.loading import load
from ci.pipeline.outputs import Reference
from ci.pipeline.spec import Cache, Health, Piece, StageSpec, StepSpec
from ci.pipeline.wire import from_document, to_document

FULL = StepSpec(
    name="a",
    image="b",
    composed={"X": (Piece("t"), Piece("", "s"))},
    caches=(Cache(paths=("a",), key="k"),),
    outputs={"Y": Reference("step", "name")},
    healthcheck=Health(command=("true",)),
    extra_hosts=(("a", "10.0.0.1"),),
    timeout=1.5,
)


def test_a_stage_with_everything() -> None:
    """Through text, as a database and a connection have it."""
    stage = StageSpec(name="x", number=1, steps=(FULL,), services=(FULL,), matrix={"go": "1"}, timeout=60.0)
    assert from_document(StageSpec, json.loads(json.dumps(to_document(stage)))) == stage


def test_an_event_with_everything() -> None:
    """With the build before it."""
    event = Event(
        kind=EventKind.TAG,
        labels=("a",),
        parameters=(("x", "1"),),
        changed_files=("a", "b"),
        previous=Previous(number=3, status="failure", event=Event()),
    )
    assert from_document(Event, json.loads(json.dumps(to_document(event)))) == event
    assert from_document(Event, json.loads(json.dumps(to_document(Event())))) == Event()


CORPUS = sorted(Path(__file__).parent.glob("corpus/**/*.y*ml"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus(path: Path) -> None:
    """Whatever compiles comes back as it was."""
    loaded = load(path.read_bytes(), path.name)
    if not loaded.ok:
        pytest.skip("a file with mistakes")
    for stage in compile_all(loaded.documents, Event(branch="main")):
        assert from_document(StageSpec, json.loads(json.dumps(to_document(stage)))) == stage


def test_other_versions() -> None:
    """What is not known is left out, what is missing has its default."""
    document = to_document(StageSpec(name="x", number=1, steps=()))
    assert from_document(StageSpec, document | {"news": [1]}).name == "x"
    del document["workspace"]
    assert from_document(StageSpec, document) == StageSpec(name="x", number=1, steps=())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(StageSpec)]), inner)
    ),
)


@given(JSON)
def test_what_is_no_stage(value: object) -> None:
    """One line, whatever it is."""
    try:
        from_document(StageSpec, value)
    except CiError as error:
        assert error.reference == "bad-document"
