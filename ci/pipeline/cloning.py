"""`clone` of a pipeline file: how the project is fetched, by the settings of each dialect and what is so without them.

drone has few settings of its own; Woodpecker's are those of its clone plugin. Both are read into the names that our own
dialect has: SETTINGS. Pure; called by the front ends, lint and compile.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ci.pipeline import values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ci.pipeline.compiling import Value
    from ci.pipeline.document import CloneUse
    from ci.pipeline.event import Event
    from ci.pipeline.rules import Rules
    from ci.pipeline.spec import Clone

SETTINGS: Mapping[str, Callable[[str], object]] = {
    "depth": values.count,
    "submodules": values.flag,
    "lfs": values.flag,
    "tags": values.flag,
    "partial": values.flag,
    "retries": values.count,
    "backoff": values.duration,
    "skip_verify": values.flag,
}


def _urls(text: str) -> tuple[tuple[str, str], ...]:
    """A map of names to addresses, in JSON, as plugins are given one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise values.BadValue("bad-value", "the addresses of submodules are not a map of names to addresses")
    return tuple(found.items())


# Also what Woodpecker's plugin has and our own dialect has not.
ALL_SETTINGS: Mapping[str, Callable[[str], object]] = {**SETTINGS, "submodule_urls": _urls}
# What the settings are called in Woodpecker's plugin, and those of it that only tell it what a server knows.
WOODPECKER_NAMES = {
    "recursive": "submodules",
    "attempts": "retries",
    **dict.fromkeys(("submodule_override", "submodule_overrides"), "submodule_urls"),
}
WOODPECKER_IGNORED = ("home", "umask", "safe_directory", "object_format", "branch", "event")


def clone(use: CloneUse, rules: Rules, event: Event, value: Value) -> Clone:
    """What is written, over the dialect's own way.

    Woodpecker's plugin takes the tags for a tag's event, and else no more than the one commit.
    """
    from ci.pipeline.spec import Clone  # noqa: PLC0415  (lint needs the settings only)

    found: dict[str, Any] = {one.name.value: value(one.value, ALL_SETTINGS[one.name.value]) for one in use.settings}
    if use.disable is not None:
        found["disable"] = value(use.disable, values.flag)
    if not rules.clones_one_commit:
        return Clone(**(dict(rules.clone) | found))
    found.setdefault("tags", event.kind.of_tag)
    found["partial"] = found.get("partial", True) and not found["tags"]
    if found["partial"]:
        found["depth"] = 1
    return Clone(**found)
