"""Graphs of names: cycles, order, and what remains when names go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline import graph

NAMES = "abcdefg"
graphs = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES + "x"), max_size=4), max_size=7)
acyclic = graphs.map(lambda one: {name: [to for to in targets if to < name] for name, targets in sorted(one.items())})


def test_cycles_are_shown_as_a_way() -> None:
    """A cycle is the names on its way; one that is found from two sides is found once."""
    assert graph.cycles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a", "d"]}) == [("a", "b", "c"), ("d",)]
    assert graph.cycles({"a": ["b", "x"], "b": []}) == []


@given(graphs)
def test_cycles_or_order(one: dict[str, list[str]]) -> None:
    """A graph has either a cycle, each step of which is there, or an order that respects every dependency."""
    cycles = graph.cycles(one)
    for cycle in cycles:
        for name, target in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert target in one[name]
    if cycles:
        with pytest.raises(ValueError, match="depends on itself"):
            graph.order(one)
        return
    order = graph.order(one)
    assert sorted(order) == sorted(one)
    for name, targets in one.items():
        assert all(order.index(target) < order.index(name) for target in targets if target in one)


@given(acyclic, st.sets(st.sampled_from(NAMES)))
def test_without_keeps_what_is_reached(one: dict[str, list[str]], gone: set[str]) -> None:
    """Who is left depends on precisely those that it reached through names that are gone."""

    def reached(name: str) -> set[str]:
        found: set[str] = set()
        for target in one[name]:
            if target in one:
                found |= reached(target) if target in gone else {target}
        return found

    result = graph.without(one, gone.__contains__)
    assert {name: set(targets) for name, targets in result.items()} == {
        name: reached(name) for name in one if name not in gone
    }


def test_long_chains() -> None:
    """A chain of 20,000 is no deeper than one of two."""
    chain = {str(n): [str(n - 1)] for n in range(20_000)}
    assert len(graph.order(chain)) == 20_000
    assert graph.cycles(chain) == []
    assert graph.cycles({**chain, "0": ["19999"]})[0][0] == "0"
    assert graph.without(chain, lambda name: 0 < int(name) < 19_999)["19999"] == ("0",)
