"""Which devices a group may use, as a program in the kernel: what cgroup v2 has in place of the `devices` controller.

Called by `cgroups_v2` for a container whose devices are limited. The rules are those of version 1's files, "c 1:3 rwm",
"b 8:* r", "a": everything is refused that no single rule allows. Sources: linux/bpf.h (`struct bpf_cgroup_dev_ctx`),
Documentation/bpf/standardization/instruction-set.rst, cgroup-v1/devices.rst of Linux.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.kernel.syscalls import syscall

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Instruction: TypeAlias = tuple[int, int, int, int]  # code, registers (source << 4 | target), jump, immediate

_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, _CHAR
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_MKNOD, _READ, _WRITE
_ALL = 7

_LOAD = 0x61  # BPF_LDX | BPF_MEM | BPF_W: a 32-bit field of the context, which register 1 points to
_COPY = 0xBC  # BPF_ALU | BPF_MOV | BPF_X, 32 bits wide like all below
_SET = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_SHIFT_RIGHT = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_UNLESS = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K
_UNLESS_SAME = 0x5E  # BPF_JMP32 | BPF_JNE | BPF_X
_EXIT = 0x95  # BPF_JMP | BPF_EXIT; register 0 is the answer, 1 for yes

_RESULT, _CONTEXT, _TYPE, _ASKED, _MAJOR, _MINOR = range(6)  # registers

_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE = 15
_CGROUP_DEVICE = 6  # the place of attachment
_ALLOW_MULTI = 2  # beside programs that stand above: each of them has to say yes


def program(rules: Iterable[str]) -> bytes:
    """`struct bpf_insn[]` that allows what one of `rules` allows. Raises `InvalidError` for what is no rule."""
    code: list[Instruction] = [
        (_LOAD, _CONTEXT << 4 | _TYPE, 0, 0),  # access_type: what is asked for << 16 | the device's type
        (_COPY, _TYPE << 4 | _ASKED, 0, 0),
        (_AND, _TYPE, 0, 0xFFFF),
        (_SHIFT_RIGHT, _ASKED, 0, 16),
        (_LOAD, _CONTEXT << 4 | _MAJOR, 4, 0),
        (_LOAD, _CONTEXT << 4 | _MINOR, 8, 0),
    ]
    for rule in rules:
        code += _rule(rule)
    code += [(_SET, _RESULT, 0, 0), (_EXIT, 0, 0, 0)]
    return b"".join(struct.pack("<BBhi", *instruction) for instruction in code)


def limit(directory: str, rules: Iterable[str]) -> None:
    """Let the processes of the cgroup2 group `directory` use only the devices of `rules`.

    The kernel keeps the program until the group is removed. Raises `InvalidError` for a bad rule, and `OSError` where
    programs cannot be loaded: that takes CAP_BPF and CAP_NET_ADMIN in the first user namespace.
    """
    code = program(rules)
    instructions, license_ = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"Dual MIT/GPL")
    attributes = struct.pack(
        "=IIQQ", _PROG_TYPE_CGROUP_DEVICE, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(license_)
    )
    loaded = syscall("bpf", _PROG_LOAD, attributes, len(attributes), path=directory)
    try:
        group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attributes = struct.pack("=IIII", group, loaded, _CGROUP_DEVICE, _ALLOW_MULTI)
            syscall("bpf", _PROG_ATTACH, attributes, len(attributes), path=directory)
        finally:
            os.close(group)
    finally:
        os.close(loaded)


def _rule(rule: str) -> list[Instruction]:
    """Yes and the end, behind the tests that a rule needs; a test that fails jumps behind them."""
    kind, number, letters = _parts(rule)
    tests: list[Instruction] = []
    if kind != "a":
        tests.append((_UNLESS, _TYPE, 0, _TYPES[kind]))
    access = sum(_ACCESS[letter] for letter in set(letters))
    if access != _ALL:  # nothing may be asked for beyond what the rule has; register 0 is free until the answer
        tests += [
            (_COPY, _ASKED << 4 | _RESULT, 0, 0),
            (_AND, _RESULT, 0, access),
            (_UNLESS_SAME, _ASKED << 4 | _RESULT, 0, 0),
        ]
    major, _, minor = number.partition(":")
    for register, text in ((_MAJOR, major), (_MINOR, minor)):
        if text != "*":
            tests.append((_UNLESS, register, 0, int(text)))
    body: list[Instruction] = [*tests, (_SET, _RESULT, 0, 1), (_EXIT, 0, 0, 0)]
    jumps = (_UNLESS, _UNLESS_SAME)
    return [
        (code, registers, len(body) - place - 1 if code in jumps else offset, value)
        for place, (code, registers, offset, value) in enumerate(body)
    ]


def _parts(rule: str) -> tuple[str, str, str]:
    """(type, "major:minor", access)."""
    words = rule.split()
    if words == ["a"]:
        return "a", "*:*", "rwm"
    if len(words) == 3:
        kind, number, letters = words
        pair = number.split(":")
        known = kind in ("a", "b", "c") and len(pair) == 2 and set(letters) <= set(_ACCESS)
        if known and all(text == "*" or (text.isascii() and text.isdigit() and len(text) < 9) for text in pair):
            return kind, number, letters
    raise InvalidError(f"bad device rule {rule!r}", hint="such as 'c 1:3 rwm', 'b 8:* r' or 'a'")
