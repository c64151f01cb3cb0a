"""The functions of `--format`, and how Go's templates print, compare and look up values. Pure; called by `template`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sandbox.cli.options import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_MANY = 50
_WIDTH = 1000
_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")


class _Absent:
    """A field that is not there."""


ABSENT = _Absent()


def display(value: Any) -> str:
    """A value as Go prints it."""
    if value is ABSENT:
        return "<no value>"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(map(display, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{display(part)}' for key, part in sorted(value.items()))}]"
    return str(value)


def truth(value: Any) -> bool:
    """What `if` takes for true: anything but nothing, zero and empty things."""
    return value is not ABSENT and bool(value)


def item(data: Any, name: Any, word: str) -> Any:
    """A field of an object, or an element of a list."""
    if isinstance(data, dict):
        return data.get(name, ABSENT)
    if isinstance(data, (list, tuple, str)) and isinstance(name, int) and not isinstance(name, bool):
        if 0 <= name < len(data):
            return data[name]
        raise UsageError(f"--format: there is no element {name}")
    if data is None or data is ABSENT:
        return ABSENT
    raise UsageError(f"--format: there is no {name!r} in {word}")


def _index(first: Any, *keys: Any) -> Any:
    for key in keys:
        first = item(first, key, "index")
    return "" if first is ABSENT else first


def _slice(first: Any, *bounds: Any) -> Any:
    if not isinstance(first, (str, list)) or not all(isinstance(bound, int) and bound >= 0 for bound in bounds):
        raise UsageError("--format: slice takes a text or a list and numbers")
    return first[slice(*(bounds if len(bounds) == 2 else (bounds[0], None)))]


def _json(value: Any) -> str:
    return json.dumps(None if value is ABSENT else value, ensure_ascii=False, separators=(",", ":"))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, dict)) else 0


def _join(first: Any, separator: Any) -> str:
    return display(separator).join(map(display, first)) if isinstance(first, list) else display(first)


def _split(text: Any, separator: Any) -> list[str]:
    return display(text).split(display(separator)) if separator else list(display(text))


def _pad(text: Any, before: Any, after: Any) -> str:
    if not all(isinstance(width, int) and 0 <= width <= _WIDTH for width in (before, after)):
        raise UsageError("--format: pad takes a text and two widths")
    return f"{' ' * int(before)}{display(text)}{' ' * int(after)}"


def _truncate(text: Any, width: Any) -> str:
    if not isinstance(width, int) or width < 0:
        raise UsageError("--format: truncate takes a text and a length")
    return display(text)[: int(width)]


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other and isinstance(first, bool) == isinstance(other, bool) for other in others)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(first: Any, second: Any) -> bool:
        try:
            return compare(first, second)
        except TypeError:
            raise UsageError(f"--format: cannot compare {display(first)!r} with {display(second)!r}") from None

    return run


def _printf(form: Any, *values: Any) -> str:
    left = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        places = min(int(precision), _WIDTH) if precision else None
        text = _formatted(value, verb, places, signed="+" in flags)
        cells = min(int(width or 0), _WIDTH)
        if "-" in flags:
            return text.ljust(cells)
        return text.zfill(cells) if "0" in flags and verb in "dfx" else text.rjust(cells)

    return _VERB.sub(one, display(form))


def _formatted(value: Any, verb: str, places: int | None, *, signed: bool) -> str:
    if verb in "sv":
        return display(value)[:places]
    if verb == "q":
        return json.dumps(display(value), ensure_ascii=False)
    if isinstance(value, bool):
        return display(value) if verb == "t" else f"%!{verb}({display(value)})"
    if isinstance(value, int) and verb in "dxXo":
        return format(value, f"{'+' if signed else ''}{verb}")
    if isinstance(value, (int, float)) and verb in "feg":
        return format(float(value), f".{6 if places is None else places}{verb}")
    return f"%!{verb}({display(value)})"


def _print(*values: Any) -> str:
    return " ".join(map(display, values))


# name -> least and greatest number of operands, and what it does
FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "json": (1, 1, _json),
    "index": (1, _MANY, _index),
    "len": (1, 1, _length),
    "join": (2, 2, _join),
    "upper": (1, 1, lambda value: display(value).upper()),
    "lower": (1, 1, lambda value: display(value).lower()),
    "title": (1, 1, lambda value: display(value).title()),
    "split": (2, 2, _split),
    "slice": (2, 3, _slice),
    "pad": (3, 3, _pad),
    "truncate": (2, 2, _truncate),
    "print": (0, _MANY, _print),
    "println": (0, _MANY, lambda *values: _print(*values) + "\n"),
    "printf": (1, _MANY, _printf),
    "and": (1, _MANY, _and),
    "or": (1, _MANY, _or),
    "not": (1, 1, lambda value: not truth(value)),
    "eq": (2, _MANY, _equal),
    "ne": (2, 2, lambda first, second: not _equal(first, second)),
    "lt": (2, 2, _ordered(lambda first, second: bool(first < second))),
    "le": (2, 2, _ordered(lambda first, second: bool(first <= second))),
    "gt": (2, 2, _ordered(lambda first, second: bool(first > second))),
    "ge": (2, 2, _ordered(lambda first, second: bool(first >= second))),
}
