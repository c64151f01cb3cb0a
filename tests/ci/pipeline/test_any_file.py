"""Files of drone and Woodpecker of any shape: nothing raises, and what has no errors compiles, or says why not."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.compile import CompileError, compile_all
from ci.pipeline.convert import convert
from ci.pipeline.diagnostics import render
from ci.pipeline.dialects import drone, woodpecker
from ci.pipeline.event import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Iterable

GOLDEN = Path(__file__).parent / "golden"
WORDS = [
    *("from_secret", "include", "exclude", "source", "target", "path", "host", "temp", "depth", "limit", "optional"),
    *("main", "push", "tag", "failure", "ignore", "host", "/dev/x", "/a:/b", "a:1.2.3.4", "64m", "10", "yes", "<<"),
    *("${CI_COMMIT_BRANCH}", "${DRONE_TAG:-x}", "$${HOME}", "${A", "${A^^}", "${CI_COMMIT_MESSAGE//a/b}", "[", "*"),
]


@cache
def golden(dialect: str, place: str, key: str) -> st.SearchStrategy[Any]:
    """What the golden file of a key has for it."""
    text = (GOLDEN / dialect / f"{place}-{key}.yml").read_text().partition("\n---")[0]
    document = yaml.safe_load(text.replace("${DB}", "$DB"))  # PyYAML takes the braces for a map
    holder = document if place == "document" else document["steps"][0]
    holder = holder["when"] if place == "when" else holder
    return st.just(holder.get(key, "x") if isinstance(holder, dict) else "x")


def files(tables: Any) -> st.SearchStrategy[list[Any]]:
    """Documents made of a dialect's keys, with the values of the golden files, few of any shape in between."""
    dialect = tables.__name__.rpartition(".")[2]
    keys = st.sampled_from([*tables.DOCUMENT_KEYS, *tables.STEP_KEYS, *tables.WHEN_KEYS, *WORDS])
    values = st.recursive(
        keys | st.none() | st.booleans() | st.integers(0, 99) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=10,
    )

    def value(place: str, key: str) -> st.SearchStrategy[Any]:
        return st.integers(0, 30).flatmap(lambda n: golden(dialect, place, key) if n else values)

    def likely(place: str, names: Iterable[str]) -> dict[str, st.SearchStrategy[Any]]:
        return {key: value(place, key) for key in names}

    conditions = st.fixed_dictionaries({}, optional=likely("when", tables.WHEN_KEYS))
    fields = likely(
        "step", [key for key in tables.STEP_KEYS if key not in {"name", "image", "when", "devices", "volumes"}]
    )
    step = st.fixed_dictionaries({"image": st.just("b")}, optional={**fields, "when": conditions})
    steps = st.lists(step, max_size=3).map(
        lambda found: {f"s{n}": one for n, one in enumerate(found, 1)} or {"s": {"image": "b"}}
    )
    rest = likely(
        "document", [key for key in tables.DOCUMENT_KEYS if key not in {"steps", "pipeline", "kind", "variables"}]
    )
    document = st.fixed_dictionaries(
        {"steps": steps, "kind": st.just("pipeline")}, optional=rest | {"when": conditions, "trigger": conditions}
    )
    return st.lists(document, min_size=1, max_size=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [".drone.yml", ".woodpecker.yml"])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(EventKind), branch=st.sampled_from(["main", "$(id)", "a b", "[", ""]))
def test_nearly_right_files(name: str, data: st.DataObject, kind: EventKind, branch: str) -> None:
    """Keys with values of any shape never raise, whatever the event; a file that can be run can be converted."""
    documents = data.draw(files(drone if name == ".drone.yml" else woodpecker))
    loaded = ci.pipeline.load(yaml.safe_dump_all(documents, allow_unicode=True), name)
    render(loaded.diagnostics)
    assert all(one.position.line >= 1 for one in loaded.diagnostics)
    if not loaded.ok:
        return
    convert(loaded.documents)
    try:
        compile_all(loaded.documents, Event(kind=kind, branch=branch, message="a`b`", changed_files=("a",)))
    except CompileError as error:
        assert error.position.line
