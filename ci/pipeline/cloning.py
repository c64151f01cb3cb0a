"""`clone` of a pipeline file: how the project is fetched, by the settings of each dialect and what is so without them,
or by steps with images of their own.

drone has few settings of its own; Woodpecker's are those of its clone plugin. Both are read into the names that our own
dialect has: SETTINGS. Pure; called by the front ends, lint and compile, and `with_files` by local runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ci.pipeline import values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ci.pipeline.compiling import Value
    from ci.pipeline.document import CloneUse
    from ci.pipeline.event import Event
    from ci.pipeline.rules import Rules
    from ci.pipeline.spec import Clone, StageSpec, StepSpec

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


def clone(use: CloneUse, rules: Rules, event: Event, value: Value, steps: tuple[str, ...]) -> Clone:
    """What is written, over the dialect's own way. `steps` are those of the steps that clone whose `when` holds.

    Woodpecker's plugin takes the tags for a tag's event, and else no more than the one commit.
    """
    from ci.pipeline.spec import Clone  # noqa: PLC0415  (lint needs the settings only)

    found: dict[str, Any] = {one.name.value: value(one.value, ALL_SETTINGS[one.name.value]) for one in use.settings}
    if use.disable is not None:
        found["disable"] = value(use.disable, values.flag)
    if use.steps:
        return Clone(disable=not steps, steps=steps)
    if not rules.clones_one_commit:
        return Clone(**(dict(rules.clone) | found))
    found.setdefault("tags", event.kind.of_tag)
    found["partial"] = found.get("partial", True) and not found["tags"]
    if found["partial"]:
        found["depth"] = 1
    return Clone(**found)


def after_clone(cloning: Sequence[StepSpec], steps: Sequence[StepSpec]) -> tuple[StepSpec, ...]:
    """All steps of a Stage: those that clone in a chain, then the others, which wait for the last of them."""
    chain: list[StepSpec] = []
    for step in cloning:
        chain.append(replace(step, depends_on=(chain[-1].name,) if chain else ()))
    if not chain:
        return tuple(steps)
    last = (chain[-1].name,)
    return (*chain, *(step if step.depends_on else replace(step, depends_on=last) for step in steps))


def with_files(stage: StageSpec) -> StageSpec:
    """The Stage for a workspace that has the project's files: without the steps that clone."""
    names = frozenset(stage.clone.steps)
    if not names:
        return stage
    return replace(
        stage,
        clone=replace(stage.clone, steps=()),
        steps=tuple(
            replace(step, depends_on=tuple(name for name in step.depends_on if name not in names))
            for step in stage.steps
            if step.name not in names
        ),
    )
