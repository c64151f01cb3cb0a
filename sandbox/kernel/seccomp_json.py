"""Docker's JSON form of seccomp profiles, read into a `Profile`.

Called through `seccomp.load_json` for `--security-opt seccomp=FILE`. Understood: `defaultAction`, `defaultErrnoRet`,
`architectures` or `archMap`, and `syscalls` with `name`/`names`, `action`, `errnoRet`, `args`, `includes` and
`excludes` (caps, arches, minKernel). Format: https://docs.docker.com/engine/security/seccomp/ and the OCI runtime
specification's `linux.seccomp`; `flags` and comments are ignored. SCMP_ACT_NOTIFY is refused: nobody would answer.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError, SandboxError, UnsupportedError
from sandbox.kernel import seccomp
from sandbox.kernel.capabilities import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sandbox.kernel.bpf import Condition

_ACTIONS = {
    "SCMP_ACT_ALLOW": seccomp.ALLOW,
    "SCMP_ACT_ERRNO": seccomp.ERRNO,
    "SCMP_ACT_KILL": seccomp.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": seccomp.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS,
    "SCMP_ACT_LOG": seccomp.LOG,
    "SCMP_ACT_TRACE": seccomp.TRACE,
    "SCMP_ACT_TRAP": seccomp.TRAP,
}
_COMPARISONS = {
    "SCMP_CMP_EQ": "eq",
    "SCMP_CMP_NE": "ne",
    "SCMP_CMP_LT": "lt",
    "SCMP_CMP_LE": "le",
    "SCMP_CMP_GT": "gt",
    "SCMP_CMP_GE": "ge",
    "SCMP_CMP_MASKED_EQ": "masked",
}
# what the profile's `arches` call a machine (Go's names), and its libseccomp names: the native one and the 32-bit one
_MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}
_DEFAULT_ERRNO = 1  # EPERM
_ARGUMENTS = 6
_WORD = 1 << 64


def load(text: str, capabilities: Collection[int], architecture: str, kernel: str = "") -> seccomp.Profile:
    """The rules of `text` that hold for `capabilities`, this `architecture` and `kernel` (a release; empty: the running
    one).

    Raises `InvalidError` for what is no such profile, `UnsupportedError` for an action that needs a helper process.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidError(f"the seccomp profile is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidError("the seccomp profile is no JSON object")
    default_errno = _integer(document, "defaultErrnoRet", _DEFAULT_ERRNO)
    default = _action(_text(document, "defaultAction", "the profile"), default_errno)
    facts = _Facts(capabilities, architecture, kernel or os.uname().release)
    rules: list[seccomp.Rule] = []
    for entry in _list(document, "syscalls"):
        if not isinstance(entry, dict):
            raise InvalidError("an entry of the seccomp profile's syscalls is no object")
        if facts.hold(entry):
            rules += _rules(entry, default_errno)
    return seccomp.Profile(
        architecture=architecture,
        default=default,
        rules=tuple(rules),
        compatible=_compatible(document, architecture),
    )


class _Facts:
    """What `includes` and `excludes` are compared with."""

    def __init__(self, capabilities: Collection[int], architecture: str, kernel: str) -> None:
        self._capabilities = capabilities
        self._machine = _MACHINES.get(architecture, (architecture,))[0]
        self._kernel = _version(kernel)

    def hold(self, entry: Mapping[str, Any]) -> bool:
        includes = _mapping(entry, "includes")
        excludes = _mapping(entry, "excludes")
        arches = _list(includes, "arches")
        if arches and self._machine not in arches:
            return False
        if self._machine in _list(excludes, "arches"):
            return False
        if not all(self._has(name) for name in _list(includes, "caps")):
            return False
        if any(self._has(name) for name in _list(excludes, "caps")):
            return False
        needed, ended = includes.get("minKernel"), excludes.get("minKernel")
        if needed is not None and self._kernel < _version(str(needed)):
            return False
        return ended is None or self._kernel < _version(str(ended))

    def _has(self, name: object) -> bool:
        try:
            return parse(str(name)) in self._capabilities
        except SandboxError:  # one that this kernel does not know is not held
            return False


def _version(release: str) -> tuple[int, int]:
    """(6, 1) of "6.1.0-18-amd64"; what is no number counts as 0."""
    parts = [part for part in release.replace("-", ".").replace("+", ".").split(".")[:2] if part.isdigit()]
    return (int(parts[0]) if parts else 0, int(parts[1]) if len(parts) > 1 else 0)


def _rules(entry: Mapping[str, Any], default_errno: int) -> list[seccomp.Rule]:
    names = tuple(str(name) for name in _list(entry, "names"))
    if entry.get("name"):
        names = (str(entry["name"]),)
    if not names:
        raise InvalidError("an entry of the seccomp profile's syscalls has no names")
    where = f"the rule for {names[0]}"
    action = _action(_text(entry, "action", where), _integer(entry, "errnoRet", default_errno))
    conditions = tuple(_condition(argument, where) for argument in _list(entry, "args"))
    indices = [condition[0] for condition in conditions]
    if len(set(indices)) < len(indices):
        # Docker's runtime: several tests of one argument are alternatives
        return [seccomp.Rule(names=names, action=action, conditions=(condition,)) for condition in conditions]
    return [seccomp.Rule(names=names, action=action, conditions=conditions)]


def _condition(argument: object, where: str) -> Condition:
    if not isinstance(argument, dict):
        raise InvalidError(f"{where} of the seccomp profile has an argument that is no object")
    operator = _text(argument, "op", where)
    comparison = _COMPARISONS.get(operator)
    if comparison is None:
        raise InvalidError(f"{where} of the seccomp profile has an unknown comparison {operator!r}")
    index, value, second = (_integer(argument, key, 0) for key in ("index", "value", "valueTwo"))
    if not 0 <= index < _ARGUMENTS:
        raise InvalidError(f"{where} of the seccomp profile compares argument {index}; there are 0 to 5")
    if comparison == "masked":
        return (index, comparison, value % _WORD, second % _WORD)
    return (index, comparison, 0, value % _WORD)


def _action(name: str, code: int) -> int:
    if name == "SCMP_ACT_NOTIFY":
        raise UnsupportedError(
            "the seccomp profile uses SCMP_ACT_NOTIFY", hint="nothing would answer it; use SCMP_ACT_ERRNO"
        )
    if name not in _ACTIONS:
        raise InvalidError(f"the seccomp profile has an unknown action {name!r}")
    action = _ACTIONS[name]
    if action == seccomp.ERRNO:
        return seccomp.refuse(code)
    return action | (code & 0xFFFF) if action == seccomp.TRACE else action


def _compatible(document: Mapping[str, Any], architecture: str) -> bool:
    """Whether 32-bit calls are among the architectures that the profile names."""
    _, native, compatible = _MACHINES.get(architecture, ("", "", ""))
    if compatible in _list(document, "architectures"):
        return True
    for entry in _list(document, "archMap"):
        if isinstance(entry, dict) and entry.get("architecture") == native:
            return compatible in _list(entry, "subArchitectures")
    return False


def _list(container: Mapping[str, Any], key: str) -> list[Any]:
    value = container.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidError(f"{key} of the seccomp profile is no list")
    return value


def _mapping(container: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = container.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidError(f"{key} of the seccomp profile is no object")
    return value


def _text(container: Mapping[str, Any], key: str, where: str) -> str:
    value = container.get(key)
    if not isinstance(value, str):
        raise InvalidError(f"{where} of the seccomp profile has no {key}")
    return value


def _integer(container: Mapping[str, Any], key: str, default: int) -> int:
    value = container.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidError(f"{key} of the seccomp profile is no number: {value!r}")
    return value
