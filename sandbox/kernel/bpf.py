"""Classic BPF for seccomp: small decision trees turned into instructions.

`seccomp` decides what happens to each system call; this module only writes it down so that the kernel's evaluation is
cheap: a binary search over ranges of call numbers, then, where a call has conditions, comparisons of its 64-bit
arguments. The code of every part uses relative jumps inside itself only, so parts are joined by concatenation. Only
instructions that the kernel's own emulation for its cache of always-allowed calls understands stand on the way to an
unconditional answer (kernel/seccomp.c). Source: Documentation/userspace-api/seccomp_filter.rst, linux/bpf_common.h.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Instruction: TypeAlias = tuple[int, int, int, int]  # code, jump if true, jump if false, k
    Code: TypeAlias = list[Instruction]
    # (argument's index, comparison, mask, value)
    Condition: TypeAlias = tuple[int, str, int, int]
    # all conditions hold -> action
    Clause: TypeAlias = tuple[tuple[Condition, ...], int]
    # an action, or clauses tried in order and the action when none applies
    Decision: TypeAlias = int | tuple[tuple[Clause, ...], int]

MAXIMUM_INSTRUCTIONS = 4096  # BPF_MAXINSNS

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS: a word of struct seccomp_data
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER_OFFSET = 0
_ARCHITECTURE_OFFSET = 4
_ARGUMENTS_OFFSET = 16
_LONGEST_SHORT_JUMP = 255  # a conditional jump's offset is one byte

COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "masked"})


def load_number() -> Code:
    """The call's number into the accumulator."""
    return [(_LOAD, 0, 0, _NUMBER_OFFSET)]


def load_architecture() -> Code:
    """The AUDIT_ARCH_… of the call's convention into the accumulator."""
    return [(_LOAD, 0, 0, _ARCHITECTURE_OFFSET)]


def answer(action: int) -> Code:
    """End with `action`, a SECCOMP_RET_… value."""
    return [(_RETURN, 0, 0, action)]


def when_equal(value: int, code: Code) -> Code:
    """`code` if the accumulator is `value`; else go on behind it."""
    return [*_skip_unless(_EQUAL, value, len(code)), *code]


def when_at_least(value: int, code: Code) -> Code:
    """`code` if the accumulator is `value` or more; else go on behind it."""
    return [*_skip_unless(_AT_LEAST, value, len(code)), *code]


def search(ranges: Sequence[tuple[int, Decision]]) -> Code:
    """A binary search for the accumulator. `ranges` are (first number, decision), ascending, the first from 0; each
    reaches to the next one's start, the last to the end.
    """
    if len(ranges) == 1:
        return _decide(ranges[0][1])
    middle = len(ranges) // 2
    below = search(ranges[:middle])
    above = search(ranges[middle:])
    pivot = ranges[middle][0]
    if len(below) <= _LONGEST_SHORT_JUMP:
        return [(_AT_LEAST, len(below), 0, pivot), *below, *above]
    return [(_AT_LEAST, 0, 1, pivot), (_JUMP, 0, 0, len(below)), *below, *above]


def assemble(code: Code) -> bytes:
    """The bytes of `struct sock_filter[]`. Raises `ValueError` for a program longer than the kernel takes."""
    if len(code) > MAXIMUM_INSTRUCTIONS:
        raise ValueError(f"{len(code)} instructions, the kernel takes {MAXIMUM_INSTRUCTIONS}")
    pack = struct.Struct("=HBBI").pack
    return b"".join([pack(*instruction) for instruction in code])


def _skip_unless(test: int, value: int, length: int) -> Code:
    if length <= _LONGEST_SHORT_JUMP:
        return [(test, 0, length, value)]
    return [(test, 1, 0, value), (_JUMP, 0, 0, length)]


def _decide(decision: Decision) -> Code:
    if isinstance(decision, int):
        return answer(decision)
    clauses, otherwise = decision
    code: Code = []
    for conditions, action in clauses:
        clause = answer(action)
        for condition in reversed(conditions):
            clause = _compare(condition, len(clause)) + clause
        code += clause
    return code + answer(otherwise)


def _compare(condition: Condition, rest: int) -> Code:
    """Go on behind this code when the condition holds, else skip the `rest` that follows it.

    An argument is 64 bits, loaded as two words (little-endian machines only: the high word is the second).
    """
    index, comparison, mask, value = condition
    low, high = value & 0xFFFF_FFFF, value >> 32
    load_low = (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * index)
    load_high = (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * index + 4)
    match comparison:
        case "eq":
            return [load_high, (_EQUAL, 0, rest + 2, high), load_low, (_EQUAL, 0, rest, low)]
        case "ne":
            return [load_high, (_EQUAL, 0, 2, high), load_low, (_EQUAL, rest, 0, low)]
        case "gt" | "ge":
            last = _GREATER if comparison == "gt" else _AT_LEAST
            return [
                load_high,
                (_GREATER, 3, 0, high),
                (_EQUAL, 0, rest + 2, high),
                load_low,
                (last, 0, rest, low),
            ]
        case "lt" | "le":
            last = _AT_LEAST if comparison == "lt" else _GREATER
            return [
                load_high,
                (_GREATER, rest + 3, 0, high),
                (_EQUAL, 0, 2, high),
                load_low,
                (last, rest, 0, low),
            ]
        case _:  # masked
            return [
                load_high,
                (_AND, 0, 0, mask >> 32),
                (_EQUAL, 0, rest + 3, high),
                load_low,
                (_AND, 0, 0, mask & 0xFFFF_FFFF),
                (_EQUAL, 0, rest, low),
            ]
