"""Moments as people write them in `--since` and `--until`, and back as docker prints them. Pure; the time comes in.

Docker's forms: a length of time before now (`10m`, `1h30m`), seconds since the epoch (`1700000000.5`), or a date as in
RFC 3339 with as much of it as one likes (`2026-01-02T15:04`), local time where it names no zone.
"""

from __future__ import annotations

import re
import time

from sandbox.cli.options import UsageError

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?")


def length(text: str, option: str) -> float:
    """Seconds of `1h30m`, `500ms`, `0`."""
    found = _LENGTH.findall(text)
    if text == "0":
        return 0.0
    if not found or "".join(number + unit for number, unit in found) != text:
        raise UsageError(f"{option} {text!r} is not a length of time", hint="such as 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in found)


def parse(text: str, option: str, now: float) -> int:
    """Nanoseconds since the epoch."""
    if _SECONDS.fullmatch(text):
        seconds, _, rest = text.partition(".")
        return int(seconds) * 1_000_000_000 + int(rest.ljust(9, "0") or 0)
    if _LENGTH.match(text):
        return int((now - length(text, option)) * 1e9)
    from datetime import datetime  # noqa: PLC0415  (few lines have a date)

    whole = text.replace("Z", "+00:00").replace("z", "+00:00")
    main, dot, fraction = whole.partition(".")
    digits = re.match(r"\d*", fraction).group() if dot else ""  # type: ignore[union-attr]
    try:
        moment = datetime.fromisoformat(main + fraction[len(digits) :])
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no moment",
            hint="such as 10m for ten minutes ago, 2026-01-02T15:04:05, or seconds since 1970",
        ) from None
    return int(moment.timestamp()) * 1_000_000_000 + int(digits[:9].ljust(9, "0") or 0)


def shown(nanoseconds: int) -> str:
    """RFC 3339 in local time with nanoseconds, as docker prints events."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    here = time.localtime(seconds)
    zone = time.strftime("%z", here)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', here)}.{rest:09d}{zone[:3]}:{zone[3:]}"
