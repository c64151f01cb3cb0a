"""Profiles in Docker's JSON: what is in them counts, and mistakes are named."""

from __future__ import annotations

import errno
import json

import pytest

from sandbox.errors import InvalidError, UnsupportedError
from sandbox.kernel import seccomp
from sandbox.kernel.seccomp_numbers import X32_BIT, numbers
from tests.sandbox.kernel.evaluation import evaluate

SYS_ADMIN, SYS_CHROOT, SYSLOG = 21, 18, 34
DOCKER = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31})
EPERM, ENOSYS = seccomp.refuse(errno.EPERM), seccomp.refuse(errno.ENOSYS)


def test_json_profile_of_docker() -> None:
    """Names, name, errnoRet, args, includes and excludes mean what they mean for Docker; unknown names are left out."""
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 2,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": [
                {"names": ["read", "statx", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
                {"name": "getpid", "action": "SCMP_ACT_ERRNO", "errnoRet": 7},
                {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
                {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
                {"names": ["iopl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
                {
                    "names": ["clone"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
                },
                {
                    "names": ["personality"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [
                        {"index": 0, "value": 3, "op": "SCMP_CMP_EQ"},
                        {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"},
                    ],
                },
                {"names": ["setuid"], "action": "SCMP_ACT_LOG", "comment": "ignored"},
            ],
        }
    )
    table = numbers("x86_64")
    program = seccomp.compile(seccomp.load_json(text, DOCKER, "x86_64", "6.1.0-18-amd64"))
    privileged = seccomp.compile(seccomp.load_json(text, {SYS_ADMIN}, "x86_64", "6.1.0"))
    answers = {
        name: evaluate(program, "x86_64", table[name])
        for name in ("read", "open", "getpid", "mount", "chroot", "ptrace", "kcmp", "arch_prctl", "iopl", "setuid")
    }
    default = seccomp.refuse(2)
    assert answers == {
        "read": seccomp.ALLOW,
        "open": default,
        "getpid": seccomp.refuse(7),
        "mount": default,
        "chroot": seccomp.ALLOW,
        "ptrace": seccomp.ALLOW,
        "kcmp": default,
        "arch_prctl": seccomp.ALLOW,
        "iopl": default,
        "setuid": seccomp.LOG,
    }
    assert evaluate(privileged, "x86_64", table["mount"]) == seccomp.ALLOW
    assert evaluate(privileged, "x86_64", table["chroot"]) == default
    assert evaluate(program, "x86_64", table["clone"], (17,)) == seccomp.ALLOW
    assert evaluate(program, "x86_64", table["clone"], (0x10000011,)) == default
    assert [evaluate(program, "x86_64", table["personality"], (value,)) for value in (3, 4, 5)] == [
        seccomp.ALLOW,
        default,
        seccomp.ALLOW,
    ]
    assert evaluate(program, "i386", numbers("i386")["read"]) == seccomp.ALLOW


def test_json_deny_list() -> None:
    """A profile that allows by default refuses its names, also for x32, and leaves calls unknown to it alone."""
    text = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}'
    program = seccomp.compile(seccomp.load_json(text, DOCKER, "x86_64"))
    assert evaluate(program, "x86_64", numbers("x86_64")["mkdir"]) == EPERM
    assert evaluate(program, "x86_64", 2000) == seccomp.ALLOW
    assert evaluate(program, "x86_64", X32_BIT | numbers("x86_64")["mkdir"]) == ENOSYS
    assert evaluate(program, "i386", numbers("i386")["mkdir"]) == ENOSYS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "defaultAction"),
        ('{"defaultAction": "SCMP_ACT_MAYBE"}', "SCMP_ACT_MAYBE"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 3}', "syscalls"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [3]}', "no object"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}', "no names"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"]}]}', "action"),
        (
            '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", '
            '"args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}]}',
            "argument 9",
        ),
        (
            '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", '
            '"args": [{"index": 1, "value": 1, "op": "SCMP_CMP_ODD"}]}]}',
            "SCMP_CMP_ODD",
        ),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": "x"}', "defaultErrnoRet"),
    ],
)
def test_json_mistakes_are_named(text: str, message: str) -> None:
    """A malformed profile is one clear error that names the place."""
    with pytest.raises(InvalidError, match=message):
        seccomp.load_json(text, DOCKER, "x86_64")


def test_json_notify_is_unsupported() -> None:
    """Actions that need a helper process are refused rather than weakened."""
    with pytest.raises(UnsupportedError, match="NOTIFY"):
        seccomp.load_json('{"defaultAction": "SCMP_ACT_NOTIFY"}', DOCKER, "x86_64")
