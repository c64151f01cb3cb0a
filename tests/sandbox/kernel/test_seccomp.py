"""Seccomp: what the default profile refuses, how profiles are compiled, and that the kernel does as the
program says.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import signal
import time
import warnings
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import UnsupportedError
from sandbox.kernel import bpf, seccomp
from sandbox.kernel.process import set_no_new_privs
from sandbox.kernel.seccomp_numbers import X32_BIT, numbers
from tests.sandbox.kernel.evaluation import evaluate, expected

if TYPE_CHECKING:
    from collections.abc import Callable

SYS_ADMIN, SYS_CHROOT, SYSLOG = 21, 18, 34
DOCKER = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31})
EPERM, ENOSYS = seccomp.refuse(errno.EPERM), seccomp.refuse(errno.ENOSYS)
MACHINE = platform.machine()

on_x86_64 = pytest.mark.skipif(MACHINE != "x86_64", reason="machine code of x86_64")


def under(program: bytes, function: Callable[[], object]) -> object:
    """What `function` gives in a child process under the filter; a negative errno for OSError, "signal N" for
    a death.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            set_no_new_privs()
            seccomp.install(program)
            try:
                result = function()
            except OSError as error:
                result = -(error.errno or 0)
            os.write(writing, json.dumps(result).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(pid, 0)
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else json.loads(answer)


def words(text: str) -> list[str]:
    """The words of `text`."""
    return text.split()


def call(name: str, *arguments: int) -> Callable[[], int]:
    """A system call by the number of this machine, its result or the negative errno."""
    number = numbers(MACHINE)[name]
    libc = ctypes.CDLL(None, use_errno=True)

    def made() -> int:
        result: int = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
        return -ctypes.get_errno() if result == -1 else result

    return made


@pytest.fixture(scope="module")
def default() -> bytes:
    """The compiled default profile for Docker's default capabilities."""
    return seccomp.compile(seccomp.default_profile(DOCKER, MACHINE))


@pytest.mark.parametrize("capabilities", [DOCKER, frozenset(), frozenset(range(41))])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_compiled_program_decides_as_the_rules(machine: str, capabilities: frozenset[int]) -> None:
    """Every call number of every calling convention, with plain arguments, gets the answer that the rules give."""
    profile = seccomp.default_profile(capabilities, machine)
    program = seccomp.compile(profile)
    for architecture in ("x86_64", "i386") if machine == "x86_64" else ("aarch64",):
        for number in range(600):
            for arguments in ((0,) * 6, (0x1000_0000, 40, 0, 0, 0, 0), (40, 0, 0, 0, 0, 0)):
                assert evaluate(program, architecture, number, arguments) == expected(
                    profile, architecture, number, arguments
                ), (architecture, number, arguments)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_default_profile_refuses_what_docker_refuses(machine: str) -> None:
    """Keys, mounts, namespaces, modules, io_uring, bpf, tracing of the kernel and clocks are EPERM by default."""
    program = seccomp.compile(seccomp.default_profile(DOCKER, machine))
    table = numbers(machine)
    refused = words("""
        add_key keyctl request_key mount umount2 pivot_root unshare setns fsopen fsconfig fsmount move_mount
        open_tree mount_setattr init_module finit_module delete_module kexec_load bpf perf_event_open
        io_uring_setup io_uring_enter io_uring_register userfaultfd syslog reboot swapon acct settimeofday
        clock_settime sethostname open_by_handle_at quotactl mbind move_pages kcmp pidfd_getfd fanotify_init
        nfsservctl lookup_dcookie
    """)
    for name in refused:
        assert evaluate(program, machine, table[name]) == EPERM, name
    allowed = words("""
        read write openat execve wait4 ptrace process_vm_readv chroot seccomp prctl openat2 statx futex
        memfd_create close_range pidfd_open landlock_create_ruleset mknodat setuid capset fchmodat2
        sched_setscheduler
    """)
    for name in allowed:
        number = table.get(name)
        assert number is not None, name
        assert evaluate(program, machine, number) == seccomp.ALLOW, name


def test_capabilities_open_their_groups() -> None:
    """A call that needs a capability passes exactly when the process has it."""
    table = numbers("x86_64")
    none = seccomp.compile(seccomp.default_profile(frozenset(), "x86_64"))
    assert evaluate(none, "x86_64", table["chroot"]) == EPERM
    for capability, names in {
        SYS_ADMIN: "mount unshare setns bpf clone3 perf_event_open",
        SYS_CHROOT: "chroot",
        SYSLOG: "syslog",
        2: "open_by_handle_at",
        16: "init_module",
        17: "iopl ioperm",
        19: "kcmp process_madvise",
        20: "acct",
        22: "reboot",
        23: "mbind set_mempolicy",
        25: "settimeofday clock_settime",
        26: "vhangup",
        38: "perf_event_open",
        39: "bpf",
    }.items():
        program = seccomp.compile(seccomp.default_profile(frozenset({capability}), "x86_64"))
        for name in names.split():
            assert evaluate(none, "x86_64", table[name]) & 0xFFFF0000 == seccomp.ERRNO, name
            assert evaluate(program, "x86_64", table[name]) == seccomp.ALLOW, name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_conditions_of_the_default_profile(machine: str) -> None:
    """clone3 is ENOSYS, clone passes without namespace flags, personality and socket by their values."""
    program = seccomp.compile(seccomp.default_profile(DOCKER, machine))
    table = numbers(machine)
    assert evaluate(program, machine, table["clone3"]) == ENOSYS
    assert evaluate(program, machine, table["clone"], (0x003D0F00,)) == seccomp.ALLOW  # a thread
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert evaluate(program, machine, table["clone"], (flag | 17,)) == EPERM
    for persona in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert evaluate(program, machine, table["personality"], (persona,)) == seccomp.ALLOW
    for persona in (0x40000, 1, 0x20001, 1 << 32):  # ADDR_NO_RANDOMIZE and others
        assert evaluate(program, machine, table["personality"], (persona,)) == EPERM
    for family in (1, 2, 10, 16, 17, 44):
        assert evaluate(program, machine, table["socket"], (family,)) == seccomp.ALLOW
    for family in (38, 40, 46, (1 << 32) | 40, 1 << 32):  # the kernel cuts a domain to 32 bits
        assert evaluate(program, machine, table["socket"], (family,)) == EPERM


def test_other_calling_conventions() -> None:
    """i386 calls follow the same names with their own numbers; x32 and an unknown convention are ENOSYS, newer calls
    too.
    """
    program = seccomp.compile(seccomp.default_profile(DOCKER, "x86_64"))
    i386 = numbers("i386")
    assert evaluate(program, "i386", i386["socketcall"]) == seccomp.ALLOW
    assert evaluate(program, "i386", i386["mmap2"]) == seccomp.ALLOW
    assert evaluate(program, "i386", i386["keyctl"]) == EPERM
    assert evaluate(program, "i386", i386["mount"]) == EPERM
    assert evaluate(program, "x86_64", X32_BIT | 0) == ENOSYS
    assert evaluate(program, "aarch64", 0) == ENOSYS
    assert evaluate(program, "x86_64", 2000) == ENOSYS
    assert evaluate(seccomp.compile(seccomp.default_profile(DOCKER, "aarch64")), "arm", 0) == ENOSYS


VALUES = (
    0,
    1,
    7,
    8,
    9,
    0xFFFFFFFF,
    0x1_00000000,
    0x1_00000008,
    0x7_FFFFFFFF,
    0x8_00000007,
    0x8_00000008,
    0x8_00000009,
    2**64 - 1,
)


@pytest.mark.parametrize("comparison", sorted(bpf.COMPARISONS))
def test_comparisons_of_64_bits(comparison: str) -> None:
    """Each comparison is right below, at and above the value, in both words."""
    for value in VALUES:
        for mask in (2**64 - 1, 0xFF, 0xFF_00000000):
            rule = seccomp.Rule(
                names=("getpid",), action=seccomp.ALLOW, conditions=((3, comparison, mask, value), (0, "eq", 0, 5))
            )
            later = seccomp.Rule(names=("getpid",), action=seccomp.TRAP, conditions=((0, "ge", 0, 6),))
            profile = seccomp.Profile(architecture="x86_64", default=EPERM, rules=(rule, later))
            program = seccomp.compile(profile)
            for argument in VALUES:
                for first in (4, 5, 6):
                    arguments = (first, 0, 0, argument, 0, 0)
                    assert evaluate(program, "x86_64", 39, arguments) == expected(profile, "x86_64", 39, arguments)


def test_jumps_longer_than_a_byte() -> None:
    """A call with hundreds of conditions is searched around, not into."""
    rules = [
        seccomp.Rule(names=("getpid",), action=seccomp.ALLOW, conditions=((0, "eq", 0, value << 20),))
        for value in range(300)
    ]
    rules.append(seccomp.Rule(names=("read", "getuid"), action=seccomp.ALLOW))
    profile = seccomp.Profile(architecture="x86_64", default=EPERM, rules=tuple(rules))
    program = seccomp.compile(profile)
    for number in (0, 1, 39, 102, 103):
        for argument in (0, 299 << 20, 300 << 20):
            arguments = (argument,) * 6
            assert evaluate(program, "x86_64", number, arguments) == expected(profile, "x86_64", number, arguments)


def test_a_profile_too_large_is_refused() -> None:
    """More instructions than the kernel takes are an error that says so."""
    rules = [
        seccomp.Rule(names=("getpid",), action=seccomp.ALLOW, conditions=((0, "eq", 0, value),)) for value in range(900)
    ]
    with pytest.raises(UnsupportedError, match="too large"):
        seccomp.compile(seccomp.Profile(architecture="x86_64", default=EPERM, rules=tuple(rules)))


def test_an_unknown_machine_is_refused() -> None:
    """Without a table of calls there is no filter, and the error names the machine."""
    with pytest.raises(UnsupportedError, match="riscv64"):
        seccomp.compile(seccomp.default_profile(DOCKER, "riscv64"))


def test_compiling_is_quick() -> None:
    """Making the default program takes milliseconds at most, for it is on the path of every run."""
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        seccomp.compile(seccomp.default_profile(DOCKER, "x86_64"))
        best = min(best, time.perf_counter() - start)
    assert best < 0.01


@pytest.mark.parametrize(
    ("made", "answer"),
    [
        (call("unshare", 0x10000000), -errno.EPERM),
        (call("setns", 0, 0), -errno.EPERM),
        (call("clone3", 0, 0), -errno.ENOSYS),
        (call("clone", 0x10000000 | 17, 0, 0, 0, 0), -errno.EPERM),
        (call("keyctl", 0, 0, 0), -errno.EPERM),
        (call("add_key", 0, 0, 0, 0, 0), -errno.EPERM),
        (call("request_key", 0, 0, 0, 0), -errno.EPERM),
        (call("mount", 0, 0, 0, 0, 0), -errno.EPERM),
        (call("umount2", 0, 0), -errno.EPERM),
        (call("bpf", 0, 0, 0), -errno.EPERM),
        (call("io_uring_setup", 1, 0), -errno.EPERM),
        (call("userfaultfd", 0), -errno.EPERM),
        (call("open_by_handle_at", 0, 0, 0), -errno.EPERM),
        (call("perf_event_open", 0, 0, 0, 0, 0), -errno.EPERM),
        (call("personality", 0x40000), -errno.EPERM),
        (call("personality", 0xFFFFFFFF), 0),
        (call("socket", 40, 1, 0), -errno.EPERM),
        (call("socket", 38, 5, 0), -errno.EPERM),
        (call("close", 999), -errno.EBADF),
    ],
)
def test_calls_under_the_default_profile(default: bytes, made: Callable[[], int], answer: int) -> None:
    """The running kernel refuses, under the installed filter, what the profile refuses."""
    assert under(default, made) == answer


def test_ordinary_programs_run_under_the_default_profile(default: bytes) -> None:
    """Files, sockets, pipes, children and exec work as without a filter."""

    def ordinary() -> object:
        a, b = os.pipe()
        os.write(b, b"through")
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo hello | grep -q hello && (sleep 0; true) && exit 7"], {})
        return [os.read(a, 100).decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]

    assert under(default, ordinary) == ["through", 7]


def test_threads_start_under_the_default_profile(default: bytes) -> None:
    """libc starts threads although clone3 is refused: ENOSYS lets it fall back on clone."""

    def threads() -> object:
        import threading  # noqa: PLC0415

        seen: list[int] = []
        thread = threading.Thread(target=seen.append, args=(1,))
        thread.start()
        thread.join()
        return seen

    assert under(default, threads) == [1]


def test_a_killing_profile_kills() -> None:
    """KILL_PROCESS ends the process with SIGSYS."""
    rules = (seccomp.Rule(names=("sysinfo",), action=seccomp.KILL_PROCESS),)
    program = seccomp.compile(seccomp.Profile(architecture=MACHINE, default=seccomp.ALLOW, rules=rules))
    assert under(program, call("sysinfo", 0)) == f"signal {int(signal.SIGSYS)}"


@on_x86_64
def test_i386_and_x32_calls_of_the_running_kernel(default: bytes) -> None:
    """int 0x80 is held to the same profile by its own numbers, x32 numbers are ENOSYS."""
    # push rbx; mov eax, edi; mov ebx, esi; int 0x80; pop rbx; ret
    code = bytes.fromhex("53 89f8 89f3 cd80 5b c3")

    def through_int80() -> object:
        with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as memory:
            memory.write(code)
            view = ctypes.c_char.from_buffer(memory)
            function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)(ctypes.addressof(view))
            table = numbers("i386")
            answers = [function(table["getpid"], 0) == os.getpid(), function(table["keyctl"], 0)]
            del view
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(ctypes.c_long(X32_BIT | numbers("x86_64")["getpid"]))
        return [*answers, ctypes.get_errno()]

    answer = under(default, through_int80)
    if answer == f"signal {int(signal.SIGSEGV)}":
        pytest.skip("the kernel has no 32-bit calls")
    assert answer == [True, -errno.EPERM, errno.ENOSYS]


def test_install_without_privilege_needs_no_new_privs(default: bytes) -> None:
    """A malformed program is refused by the kernel with an OSError, not ignored."""

    def broken() -> object:
        seccomp.install(default[:-8])
        return "installed"

    assert under(default, broken) == -errno.EINVAL
