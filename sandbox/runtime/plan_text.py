"""A plan as lines for people, what `sandbox run --plan` prints. Pure.

Every value is shown as its users write it elsewhere: namespaces by name, ids as in uid_map(5), limits and mount options
as `name=value`, commands as a shell would take them.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from sandbox.kernel.idmap import IdMap
from sandbox.kernel.namespaces import Flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.kernel.idmap import IdRange
    from sandbox.runtime.operations import HostOperation, InitOperation, Plan

_NAMES = {"NEWNS": "mount"}


def lines(plan: Plan) -> list[str]:
    """One line an operation: side, verb, fields."""
    return [f"host  {line(operation)}" for operation in plan.host] + [
        f"init  {line(operation)}" for operation in plan.init
    ]


def line(operation: HostOperation | InitOperation) -> str:
    """`place-mount key=/proc target=/proc directory=yes`."""
    letters = (f"-{letter.lower()}" if letter.isupper() else letter for letter in type(operation).__name__)
    verb = "".join(letters).lstrip("-")
    fields = ((name, _value(name, value)) for name, value in operation._asdict().items())
    return " ".join([verb, *(f"{name}={text}" for name, text in fields)])


def _value(name: str, value: object) -> str:
    if name in _FIELDS and isinstance(value, (tuple, frozenset, str)):
        return _FIELDS[name](value)
    return _plain(value)


def _command(words: tuple[str, ...]) -> str:
    return _quoted(shlex.join(words)) if words else "none"


def _options(options: tuple[tuple[str, str | None], ...]) -> str:
    return _list(key if option is None else f"{key}={option}" for key, option in options)


def _profile(text: str) -> str:
    """A profile of the user's own is a whole file."""
    return f"own:{len(text)}-bytes" if text.lstrip().startswith("{") else text


def _plain(value: object) -> str:
    for kind, written in _TYPES:
        if isinstance(value, kind):
            return written(value)
    return _quoted(str(value))


def _flags(flags: Flags) -> str:
    return _list(_NAMES.get(str(flag.name), str(flag.name).removeprefix("NEW").lower()) for flag in flags)


def _ids(ids: IdMap) -> str:
    uids, gids = _ranges(ids.uids), _ranges(ids.gids)
    return uids if uids == gids else f"uids:{uids};gids:{gids}"


def _ranges(ranges: Iterable[IdRange]) -> str:
    """Inside, outside, how many; as newuidmap(1) has them."""
    return _list(f"{one.container}:{one.host}:{one.size}" for one in ranges)


def _tuple(value: Any) -> str:
    """A list, or what a record has set."""
    if not hasattr(value, "_asdict"):
        return _list(map(_plain, value))
    said = ((key, part) for key, part in value._asdict().items() if part not in (None, "", ()) and part is not False)
    return _list(f"{key}={_plain(part)}" for key, part in said)


def _list(words: Iterable[str]) -> str:
    return ",".join(words) or "none"


def _quoted(text: str) -> str:
    if not text or not text.isprintable() or " " in text or '"' in text:
        return json.dumps(text, ensure_ascii=False)
    return text


# By the name of the field, where its type alone does not say it.
_FIELDS: dict[str, Callable[[Any], str]] = {
    "argv": _command,
    "environment": _command,
    "attributes": _list,
    "lowers": _list,
    "capabilities": lambda kept: _list(sorted(one.name for one in kept)),
    "device": lambda numbers: ":".join(map(str, numbers)),
    "links": lambda links: _list(f"{target}->{source}" for source, target in links),
    "options": _options,
    "profile": _profile,
}

_TYPES: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (bool, lambda value: "yes" if value else "no"),
    (type(None), lambda _: "none"),
    (Flags, _flags),
    (IdMap, _ids),
    (tuple, _tuple),
)
