"""What a compiled filter answers for a call, worked out here instead of in the kernel; and what its rules say."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from sandbox.kernel import seccomp
from sandbox.kernel.seccomp_numbers import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENOSYS = seccomp.refuse(errno.ENOSYS)
AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}


def evaluate(program: bytes, architecture: str, number: int, arguments: Sequence[int] = ()) -> int:
    """What the kernel would answer: the instructions of `program` carried out one by one."""
    data = struct.pack("=IIQ6Q", number, AUDIT[architecture], 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, position = 0, 0
    tests: dict[int, Callable[[int, int], bool]] = {
        0x15: lambda a, k: a == k,
        0x25: lambda a, k: a > k,
        0x35: lambda a, k: a >= k,
    }
    while True:
        operation, true, false, k = code[position]
        position += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x05:
            position += k
        elif operation == 0x06:
            return int(k)
        else:
            position += true if tests[operation](accumulator, k) else false


def expected(profile: seccomp.Profile, architecture: str, number: int, arguments: Sequence[int] = ()) -> int:
    """The same by the rules, read one by one: plain, slow and written apart from the compiler."""
    table = numbers(architecture)
    names = {name for name, value in table.items() if value == number}
    comparisons: dict[str, Callable[[int, int, int], bool]] = {
        "eq": lambda a, _, v: a == v,
        "ne": lambda a, _, v: a != v,
        "lt": lambda a, _, v: a < v,
        "le": lambda a, _, v: a <= v,
        "gt": lambda a, _, v: a > v,
        "ge": lambda a, _, v: a >= v,
        "masked": lambda a, m, v: a & m == v,
    }
    own = [rule for rule in profile.rules if names.intersection(rule.names)]
    for rule in sorted(own, key=lambda rule: bool(rule.conditions)):
        if all(comparisons[how](arguments[index], mask, value) for index, how, mask, value in rule.conditions):
            return rule.action
    if number > max(table[name] for rule in profile.rules for name in rule.names if name in table):
        return ENOSYS
    return profile.default
