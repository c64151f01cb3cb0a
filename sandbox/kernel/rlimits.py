"""Resource limits: reading Docker's `--ulimit name=soft[:hard]` and setting them on a process before it executes.

Called by the CLI and the Remote API (`parse`) and by the runtime's init (`apply`). Source: getrlimit(2), `docker run
--ulimit`.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# asm-generic/resource.h, the same on x86_64 and aarch64; Docker's names
NUMBERS = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "as": 9,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}
UNLIMITED = resource.RLIM_INFINITY


class ResourceLimit(NamedTuple):
    """`soft` is in force and may be raised by the process up to `hard`; units as in getrlimit(2), `UNLIMITED` for
    none.
    """

    name: str
    soft: int
    hard: int


def parse(text: str) -> ResourceLimit:
    """`nofile=1024:2048`, `core=-1`, `nproc=unlimited`; without a hard limit it is the soft one. Raises
    `InvalidError`.
    """
    name, equals, values = text.partition("=")
    soft_text, colon, hard_text = values.partition(":")
    if not equals or name not in NUMBERS:
        raise InvalidError(
            f"bad ulimit {text!r}", hint="write NAME=SOFT[:HARD], NAME one of " + " ".join(sorted(NUMBERS))
        )
    soft = _value(soft_text, text)
    hard = _value(hard_text, text) if colon else soft
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise InvalidError(f"bad ulimit {text!r}: the soft limit is above the hard one")
    return ResourceLimit(name=name, soft=soft, hard=hard)


def _value(word: str, text: str) -> int:
    if word in ("-1", "unlimited"):
        return UNLIMITED
    if not (word.isascii() and word.isdecimal()) or int(word) >= 2**63:
        raise InvalidError(f"bad ulimit {text!r}: {word!r} is not a number", hint="-1 means unlimited")
    return int(word)


def apply(limits: Iterable[ResourceLimit], pid: int = 0) -> tuple[str, ...]:
    """Set the limits of process `pid`, 0 for this one; one sentence for each that could only be set in part.

    Raising a hard limit takes SYS_RESOURCE in the first user namespace; without it the present hard limit is the most
    there is.
    """
    warnings = []
    for limit in limits:
        number = NUMBERS[limit.name]
        try:
            resource.prlimit(pid, number, (limit.soft, limit.hard))
        except (ValueError, PermissionError):  # both are said of EPERM
            _, most = resource.prlimit(pid, number)
            soft, hard = _lower(limit.soft, most), _lower(limit.hard, most)
            resource.prlimit(pid, number, (soft, hard))
            warnings.append(
                f"ulimit {limit.name} is {_show(soft)}:{_show(hard)} and not {_show(limit.soft)}:{_show(limit.hard)}: "
                "the hard limit cannot be raised here"
            )
    return tuple(warnings)


def _lower(value: int, most: int) -> int:
    if most == UNLIMITED:
        return value
    return most if value == UNLIMITED else min(value, most)


def _show(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)
