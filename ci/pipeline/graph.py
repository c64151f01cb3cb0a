"""Graphs of names: what depends on what, for the steps of a Stage and the Stages of a build.

A graph maps each name to the names it depends on; a name that is no key is not of this graph and is passed over. Pure,
deterministic (the order of the mapping decides every tie), and without recursion, because a chain may be thousands
long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Graph = Mapping[str, Sequence[str]]


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """Cycles, each as the names on the way, so that each depends on the next and the last on the first.

    At least one for every set of names that depend on each other; none twice. A name that depends on itself is a cycle
    of one.
    """
    found: list[tuple[str, ...]] = []
    seen: set[frozenset[str]] = set()
    done: set[str] = set()
    for root in graph:
        if root in done:
            continue
        path: list[str] = [root]
        depth = {root: 0}
        stack = [iter(graph[root])]
        while stack:
            target = next(stack[-1], None)
            if target is None:
                stack.pop()
                done.add(path[-1])
                del depth[path.pop()]
            elif target in depth:
                cycle = tuple(path[depth[target] :])
                if (members := frozenset(cycle)) not in seen:
                    seen.add(members)
                    found.append(cycle)
            elif target in graph and target not in done:
                depth[target] = len(path)
                path.append(target)
                stack.append(iter(graph[target]))
    return found


def ancestors(graph: Graph) -> dict[str, frozenset[str]]:
    """For each name all that it depends on, however far away; names that are no key are left out.

    In a cycle, where there is no end, everything on it is found once at least.
    """
    found: dict[str, frozenset[str]] = {}
    for root in graph:
        seen: set[str] = set()
        waiting = list(graph[root])
        while waiting:
            name = waiting.pop()
            if name in graph and name not in seen:
                seen.add(name)
                if name in found:
                    seen |= found[name]
                else:
                    waiting += graph[name]
        found[root] = frozenset(seen)
    return found


def without(graph: Graph, gone: Callable[[str], bool]) -> dict[str, tuple[str, ...]]:
    """The graph without the names that are gone: who depended on one depends on what that one depended on.

    The order of the dependencies is kept, each once; of a name that is no key nothing remains. The graph has no cycles.
    """
    kept: dict[str, tuple[str, ...]] = {}
    for name in order(graph):
        targets: dict[str, None] = {}
        for target in graph[name]:
            if target not in graph:
                continue
            for resolved in kept[target] if gone(target) else (target,):
                targets[resolved] = None
        kept[name] = tuple(targets)
    return {name: kept[name] for name in graph if not gone(name)}


def order(graph: Graph) -> tuple[str, ...]:
    """The names so that each stands behind all it depends on. Raises ValueError if there is a cycle."""
    result: list[str] = []
    state: dict[str, bool] = {}  # False: begun, True: done
    for root in graph:
        if root in state:
            continue
        state[root] = False
        stack = [(root, iter(graph[root]))]
        while stack:
            name, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                stack.pop()
                state[name] = True
                result.append(name)
            elif target in graph:
                if target not in state:
                    state[target] = False
                    stack.append((target, iter(graph[target])))
                elif not state[target]:
                    raise ValueError(f"{target!r} depends on itself")
    return tuple(result)
