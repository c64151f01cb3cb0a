"""Seccomp filters: rules by name, compiled to classic BPF, put on the calling process.

The runtime makes the program before it clones (`compile(default_profile(…))` or `compile(load_json(…))`) and installs
it in the container's first process, last of all. Rules of one call are a union as with libseccomp, so profiles mean
here what they mean for Docker: a rule without conditions wins over those with, the first of equals counts, and calls
newer than every call that the profile names are ENOSYS rather than EPERM, so that programs try their older ways.
`Rule` and `Profile` are named tuples because a frozen dataclass costs half a millisecond at every start of the command.
Source: seccomp(2), https://docs.docker.com/engine/security/seccomp/.
"""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING

from sandbox.errors import UnsupportedError
from sandbox.kernel import bpf
from sandbox.kernel.seccomp_numbers import X32_BIT, numbers
from sandbox.kernel.syscalls import syscall
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

ALLOW = 0x7FFF_0000
LOG = 0x7FFC_0000
TRACE = 0x7FF0_0000
TRAP = 0x0003_0000
ERRNO = 0x0005_0000  # | the number
KILL_THREAD = 0x0000_0000
KILL_PROCESS = 0x8000_0000

_ACTION_MASK = 0xFFFF_0000
_LARGEST_ERRNO = 4095
_AUDIT_ARCHITECTURES = {"x86_64": 0xC000_003E, "i386": 0x4000_0003, "aarch64": 0xC000_00B7}
_SET_MODE_FILTER = 1


class Rule(NamedTuple):
    """`action` (a SECCOMP_RET_… value) for the calls in `names` when all `conditions` hold.

    A condition is (index of the argument, comparison out of `bpf.COMPARISONS`, mask, value); the mask counts for
    `masked` only: argument & mask == value.
    """

    names: tuple[str, ...]
    action: int
    conditions: tuple[bpf.Condition, ...] = ()


class Profile(NamedTuple):
    """Rules for one machine. `compatible` lets 32-bit programs make the same calls (i386 on x86_64); else those are
    ENOSYS.
    """

    architecture: str
    default: int
    rules: tuple[Rule, ...]
    compatible: bool = False


def refuse(code: int) -> int:
    """The action that fails a call with errno `code`."""
    return ERRNO | min(code, _LARGEST_ERRNO)


def default_profile(capabilities: Collection[int], architecture: str) -> Profile:
    """Hako's default profile for a process with `capabilities`; see `seccomp_profile`."""
    from sandbox.kernel import seccomp_profile  # noqa: PLC0415 - not needed with a profile of the user's own

    return seccomp_profile.default_profile(capabilities, architecture)


def load_json(text: str, capabilities: Collection[int], architecture: str, kernel: str = "") -> Profile:
    """A profile in Docker's JSON; see `seccomp_json`. Raises `InvalidError`."""
    from sandbox.kernel import seccomp_json  # noqa: PLC0415 - rare, and needs json

    return seccomp_json.load(text, capabilities, architecture, kernel)


def compile(profile: Profile) -> bytes:
    """The program for `install`. Names that the machine lacks are left out, as Docker does.

    Raises `UnsupportedError` for a machine whose table Hako lacks, or a profile too large for the kernel.
    """
    if profile.architecture not in ("x86_64", "aarch64"):
        raise UnsupportedError(
            f"no seccomp filter can be made for {profile.architecture}",
            hint="run without one: --security-opt seccomp=unconfined",
        )
    native = _search(profile, profile.architecture)
    if profile.architecture == "x86_64":
        native = bpf.when_at_least(X32_BIT, bpf.answer(refuse(errno.ENOSYS))) + native
    code = bpf.load_architecture()
    code += bpf.when_equal(_AUDIT_ARCHITECTURES[profile.architecture], bpf.load_number() + native)
    if profile.architecture == "x86_64" and profile.compatible:
        code += bpf.when_equal(_AUDIT_ARCHITECTURES["i386"], bpf.load_number() + _search(profile, "i386"))
    code += bpf.answer(refuse(errno.ENOSYS))
    try:
        return bpf.assemble(code)
    except ValueError as error:
        raise UnsupportedError(f"the seccomp profile is too large: {error}", hint="merge its rules") from None


def install(program: bytes) -> None:
    """Put the filter on the calling process and all it starts; it can never be taken off again.

    Needs no_new_privs, or CAP_SYS_ADMIN in the process's user namespace (else EACCES). Makes no import and no
    allocation of note: safe between clone and exec.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(instructions))
    syscall("seccomp", _SET_MODE_FILTER, 0, ctypes.byref(header))


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _search(profile: Profile, architecture: str) -> bpf.Code:
    """The search over all call numbers of one calling convention."""
    table = numbers(architecture)
    always: dict[int, int] = {}
    conditional: dict[int, list[bpf.Clause]] = {}
    for rule in profile.rules:
        if rule.action == profile.default:
            continue
        found = [table[name] for name in rule.names if name in table]
        if rule.conditions:
            clause = (rule.conditions, rule.action)
            for number in found:
                conditional.setdefault(number, []).append(clause)
        else:
            for number in found:
                always.setdefault(number, rule.action)
    decisions: dict[int, bpf.Decision] = {
        number: (tuple(clauses), profile.default) for number, clauses in conditional.items()
    }
    decisions.update(always)
    ranges: list[tuple[int, bpf.Decision]] = [(0, profile.default)]
    following = 0  # the number behind the last range that was given a decision of its own
    for number in sorted(decisions):
        if number > following:
            _extend(ranges, following, profile.default)
        _extend(ranges, number, decisions[number])
        following = number + 1
    # Calls that came after the profile was written
    newest = max((table[name] for rule in profile.rules for name in rule.names if name in table), default=-1) + 1
    if newest > following:
        _extend(ranges, following, profile.default)
    lenient = profile.default & _ACTION_MASK in (ALLOW & _ACTION_MASK, LOG & _ACTION_MASK)
    _extend(ranges, newest, profile.default if lenient else refuse(errno.ENOSYS))
    return bpf.search(ranges)


def _extend(ranges: list[tuple[int, bpf.Decision]], start: int, decision: bpf.Decision) -> None:
    """Let `decision` hold from `start` on, joining it with an equal one before."""
    if ranges[-1][0] == start:
        ranges.pop()
    if not ranges or ranges[-1][1] != decision:
        ranges.append((start, decision))
