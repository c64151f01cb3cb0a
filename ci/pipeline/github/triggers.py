"""`on` of a workflow → the maps of `when`, of which one must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.pipeline.nodes import Kind, Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Position

    Note = Callable[[Position, str], None]

_PLAIN = {"release": "release", "deployment": "deployment", "workflow_dispatch": "manual"}
_ACTIONS = {"synchronize": "synchronized"}
_SAME_PATTERNS = set("+?")  # repetition there, characters here


def triggers(node: Node, note: Note) -> list[dict[str, Any]]:
    """The maps; what no event of ours is, is noted."""
    if isinstance(node, Scalar):
        return _trigger(node, None, note)
    if isinstance(node, Sequence):
        return [one for item in node.items if isinstance(item, Scalar) for one in _trigger(item, None, note)]
    return [one for entry in node.entries for one in _trigger(entry.key, entry.value, note)]


def texts(node: Node | None) -> list[str]:
    """A value or a list of values as texts."""
    if isinstance(node, Sequence):
        return [item.value for item in node.items if isinstance(item, Scalar)]
    return [node.value] if isinstance(node, Scalar) and node.kind is not Kind.NULL else []


def entries(node: Node | None) -> dict[str, Node]:
    """A map's values by name; of anything else, none."""
    return {entry.key.value: entry.value for entry in node.entries} if isinstance(node, Mapping) else {}


def _trigger(key: Scalar, node: Node | None, note: Note) -> list[dict[str, Any]]:
    name, given = key.value, entries(node)
    if name == "push":
        return _push(given, key.position, note)
    if name in {"pull_request", "pull_request_target"}:
        if name == "pull_request_target":
            note(key.position, "pull_request_target: it is built as pull_request, with the rights of one")
        return _pull_request(given, key.position, note)
    if name == "schedule":
        times = ", ".join(texts(item)[0] for one in _items(node) for item in [entries(one).get("cron")] if texts(item))
        note(key.position, f"schedule: the times are set at the server ({times})")
        return [{"event": "cron"}]
    if name in _PLAIN:
        for inner in given:
            if inner != "types":
                note(key.position, f"{inner} of {name} is not taken over")
        return [{"event": _PLAIN[name]}]
    note(key.position, f"nothing is built for {name}")
    return []


def _push(given: dict[str, Node], position: Position, note: Note) -> list[dict[str, Any]]:
    """Branches and tags are two events here, each with its own patterns; paths are looked at for branches only."""
    branches = _patterns(given, "branches", position, note)
    tags = _patterns(given, "tags", position, note)
    paths = _patterns(given, "paths", position, note)
    found: list[dict[str, Any]] = []
    if branches or not tags:
        found.append(_present({"event": "push", "branch": branches, "path": paths}))
    if tags or not branches:
        found.append(_present({"event": "tag", "tag": tags}))
    if len(found) > 1 and not (branches or tags or paths):
        return [{"event": ["push", "tag"]}]
    return found


def _pull_request(given: dict[str, Node], position: Position, note: Note) -> list[dict[str, Any]]:
    types = texts(given.get("types"))
    parts = {
        "branch": _patterns(given, "branches", position, note),
        "path": _patterns(given, "paths", position, note),
    }
    opened = [_ACTIONS.get(word, word) for word in types if word != "closed"]
    found = []
    if opened or not types:
        found.append(_present({"event": "pull_request", "action": opened, **parts}))
    if "closed" in types:
        found.append(_present({"event": "pull_request_closed", **parts}))
    return found


def _patterns(given: dict[str, Node], key: str, position: Position, note: Note) -> Any:
    """Patterns; those that begin with `!`, and those of `…-ignore`, are excluded."""
    written = texts(given.get(key))
    include = [text for text in written if not text.startswith("!")]
    exclude = [text[1:] for text in written if text.startswith("!")] + texts(given.get(f"{key}-ignore"))
    for text in (*include, *exclude):
        if _SAME_PATTERNS & set(text):
            note(position, f'{key}: "+" and "?" mean something else in a pattern here: {text}')
    if exclude:
        return _present({"include": include, "exclude": exclude})
    return include[0] if len(include) == 1 else include


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _present(parts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parts.items() if value not in ([], {}, "")}
