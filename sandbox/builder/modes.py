"""`--chmod`: octal, or chmod(1)'s symbols such as `u=rwX,go=rX`. Pure. Source: POSIX chmod, without the umask."""

from __future__ import annotations

import re

from sandbox.errors import InvalidError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


def change_mode(text: str, mode: int, *, directory: bool) -> int:
    """The permission bits after a change; InvalidError for a text that is none."""
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        return int(text, 8)
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise InvalidError(f"invalid mode {text!r}", hint="write octal figures such as 0755, or u=rwX,go=rX")
        who = match[1].replace("a", "ugo") or "ugo"
        for operator, what in _ACTION.findall(match[2]):
            mode = _apply(mode, who, operator, what, directory=directory)
    return mode


def _apply(mode: int, who: str, operator: str, what: str, *, directory: bool) -> int:
    executable = directory or bool(mode & 0o111)
    bits = mask = 0
    for name in set(who):
        shift = _SHIFTS[name]
        mask |= 7 << shift
        if what in _SHIFTS and what:
            bits |= (mode >> _SHIFTS[what] & 7) << shift
            continue
        for letter in what:
            if letter in _BITS or (letter == "X" and executable):
                bits |= _BITS.get(letter, 1) << shift
            elif letter == "s" and name != "o":
                bits |= 0o4000 if name == "u" else 0o2000
            elif letter == "t":
                bits |= 0o1000
    if operator == "+":
        return mode | bits
    return mode & ~bits if operator == "-" else mode & ~mask | bits
