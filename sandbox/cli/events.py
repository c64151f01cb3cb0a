"""`sandbox events`: what happens to containers, images, volumes and networks."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from sandbox.cli import moments, values
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine
from sandbox.cli.table import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox.cli.options import Arguments
    from sandbox.runtime.events import Event


def _names(event: Event, value: str) -> bool:
    return event.id == value or (len(value) > 3 and event.id.startswith(value)) or event.attributes.get("name") == value


FILTERS: Mapping[str, Callable[[Event, str], bool]] = {
    "type": lambda event, value: event.kind == value,
    "event": lambda event, value: event.action.partition(":")[0] == value or event.action == value,
    "container": lambda event, value: event.kind == "container" and _names(event, value),
    "image": lambda event, value: value in (event.attributes.get("image"), event.kind == "image" and event.id),
    "volume": lambda event, value: event.kind == "volume" and event.id == value,
    "network": lambda event, value: event.kind == "network" and _names(event, value),
    "label": lambda event, value: values.has_label(event.attributes, value),
}


def filters(texts: Sequence[str]) -> dict[str, list[str]]:
    """`KEY=VALUE` by key. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in FILTERS or not equals:
            raise UsageError(
                f"--filter {text!r} is unknown", hint=f"one of: {', '.join(f'{key}=…' for key in FILTERS)}"
            )
        found.setdefault(key, []).append(value)
    return found


def fits(event: Event, wanted: Mapping[str, Sequence[str]]) -> bool:
    """As docker has it: one value of each key must fit, of labels every one."""
    return all(
        (all if key == "label" else any)(FILTERS[key](event, value) for value in those) for key, those in wanted.items()
    )


def _events(arguments: Arguments, home: str) -> int:
    from sandbox.runtime import events  # noqa: PLC0415

    now = time.time()
    wanted = filters(arguments.texts("filter"))
    since = moments.parse(arguments.text("since"), "--since", now) if arguments.given("since") else int(now * 1e9)
    until = moments.parse(arguments.text("until"), "--until", now) if arguments.given("until") else None
    write = _writer(arguments.text("format"))
    engine = open_engine(home)
    for event in events.read(engine.home, going=lambda: until is None or time.time_ns() < until):
        if until is not None and event.time > until:
            break
        if event.time >= since and fits(event, wanted):
            write(event)
    return 0


def _writer(form: str) -> Callable[[Event], None]:
    if not form:
        return lambda event: say(f"{printable(line(event))}\n")
    if form == "json":
        return lambda event: say(json.dumps(describe(event), ensure_ascii=False, separators=(",", ":")) + "\n")
    from sandbox.cli.template import Template  # noqa: PLC0415  (brings regular expressions)

    template = Template(form)
    return lambda event: say(template.render(describe(event)) + "\n")


def line(event: Event) -> str:
    """`2026-01-02T15:04:05.000000000+00:00 container start 0123… (image=busybox, name=web)`."""
    told = ", ".join(f"{name}={value}" for name, value in sorted(event.attributes.items()))
    return f"{moments.shown(event.time)} {event.kind} {event.action} {event.id}" + (f" ({told})" if told else "")


def describe(event: Event) -> dict[str, Any]:
    """Docker's shape (Engine API, EventMessage)."""
    old = {"status": event.action, "id": event.id} if event.kind in ("container", "image") else {}
    if event.kind == "container":
        old["from"] = event.attributes.get("image", "")
    return {
        **old,
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time // 1_000_000_000,
        "timeNano": event.time,
    }


VERBS = {
    "events": Verb(
        Syntax(
            "print what happens, until Ctrl-C or --until",
            "",
            (
                Option(("-f", "--filter"), "only those that fit: type=…, event=…, container=…", "KEY=VALUE", many=True),
                Option(("--format",), "json, or a template such as '{{.Action}} {{.Actor.ID}}'", "FORMAT"),
                Option(("--since",), "also what happened since then: 10m, a date, seconds", "WHEN"),
                Option(("--until",), "end then", "WHEN"),
            ),
        ),
        _events,
    )
}
