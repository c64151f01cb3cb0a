"""What a process sets on itself, and how it is told from a later one with the same number."""

from __future__ import annotations

import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from sandbox.kernel import namespaces, process
from sandbox.kernel.namespaces import Flags
from tests.sandbox.kernel.children import in_child


def _status(key: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:"))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _namespace(pid: int | str, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


@pytest.mark.parametrize("name", ["plain", "a b c", ") 1 2 (", "((x) y", "é\udcff"])
def test_start_time_survives_any_name(name: str) -> None:
    """A command's name with spaces and parentheses does not shift the fields of /proc/PID/stat."""

    def child() -> tuple[int, int]:
        before = process.start_time(os.getpid())
        process.set_name(name)
        return before, process.start_time(os.getpid())

    before, after = in_child(child)
    assert before == after


def test_start_time_is_in_ticks_since_boot() -> None:
    """A process just made started about now, seen from boot."""
    started = in_child(lambda: process.start_time(os.getpid()))
    now = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    assert now - 60 * os.sysconf("SC_CLK_TCK") < started <= now + 1


def test_start_time_of_nobody_is_an_error() -> None:
    """A process that is gone has no start time."""
    gone = in_child(os.getpid)
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        process.start_time(gone)


def test_boot_id_is_one_uuid() -> None:
    """The identity of this boot is a UUID that does not change while we look."""
    assert uuid.UUID(process.boot_id()) == uuid.UUID(process.boot_id())


def test_no_new_privs_is_set() -> None:
    """The kernel reports the bit."""

    def child() -> str:
        process.set_no_new_privs()
        return _status("NoNewPrivs")

    assert in_child(child) == "1"


def test_name_is_cut_to_what_the_kernel_keeps() -> None:
    """15 bytes of a longer name remain."""

    def child() -> str:
        process.set_name("0123456789abcdefgh")
        return _status("Name")

    assert in_child(child) == "0123456789abcde"


@pytest.mark.root
def test_an_undumpable_process_belongs_to_root() -> None:
    """Without dumpable, /proc/self is root's, so that the same user outside cannot look into it; and back."""

    def child() -> tuple[int, int]:
        os.setresuid(54_321, 54_321, 54_321)
        process.set_dumpable(True)
        open_owner = Path("/proc/self/mem").stat().st_uid
        process.set_dumpable(False)
        return open_owner, Path("/proc/self/mem").stat().st_uid

    assert in_child(child) == (54_321, 0)


def test_a_parents_death_is_a_signal() -> None:
    """A child that asked for it is killed when its parent ends."""
    receive, send = os.pipe()

    def child() -> None:
        pid, _ = namespaces.clone()
        if pid == 0:
            process.set_parent_death_signal(signal.SIGKILL)
            os.write(send, b"ready")
            time.sleep(60)
            os._exit(0)
        os.read(receive, 5)

    in_child(child)
    os.close(send)
    assert os.read(receive, 1) == b""  # the grandchild held the last other end
    os.close(receive)


@pytest.mark.root
@pytest.mark.parametrize("keep", [False, True])
def test_keep_capabilities(keep: bool) -> None:
    """Only with the flag do permitted capabilities outlive the change to another user."""

    def child() -> str:
        process.set_keep_capabilities(keep)
        os.setresuid(54_321, 54_321, 54_321)
        return _status("CapPrm")

    assert (int(in_child(child), 16) != 0) == keep


def test_a_subreaper_inherits_orphans() -> None:
    """The grandchild's new parent is the subreaper."""

    def child() -> bool:
        process.set_child_subreaper(True)
        receive, send = os.pipe()
        middle, _ = namespaces.clone()
        if middle == 0:
            middle = os.getpid()
            orphan, _ = namespaces.clone()
            if orphan == 0:
                while os.getppid() == middle:
                    time.sleep(0.001)
                os.write(send, str(os.getppid()).encode())
            os._exit(0)
        os.waitpid(middle, 0)
        found = int(os.read(receive, 20)) == os.getpid()
        os.wait()
        return found

    assert in_child(child)


def test_close_range_closes_or_marks() -> None:
    """Within the range and nowhere else; with cloexec the descriptors stay open until exec."""

    def child() -> tuple[bool, bool, list[bool]]:
        descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        process.close_range(descriptors[1], descriptors[1])
        process.close_range(descriptors[2], cloexec=True)
        inheritable = os.get_inheritable(descriptors[0]), os.get_inheritable(descriptors[3])
        process.close_range(descriptors[3])
        return (*inheritable, [_is_open(descriptor) for descriptor in descriptors])

    assert in_child(child) == (True, False, [True, False, True, False])


def test_pidfd_setns_enters_several_namespaces_at_once() -> None:
    """User and UTS namespace of another process are entered in one step; a child is then in its PID namespace."""

    def child() -> bool:
        pid, pidfd = namespaces.clone(Flags.NEWUSER | Flags.NEWUTS | Flags.NEWPID)
        if pid == 0:
            signal.pause()
        wanted = [_namespace(pid, kind) for kind in ("user", "uts", "pid")]
        process.pidfd_setns(pidfd, Flags.NEWUSER | Flags.NEWUTS | Flags.NEWPID)
        found = [_namespace("self", kind) for kind in ("user", "uts", "pid_for_children")]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return wanted == found

    assert in_child(child)


def test_the_mask_of_signals() -> None:
    """All that can be blocked are, and the mask of before comes back; an empty one lets everything through."""
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    before = process.block_signals()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    process.set_signal_mask(before)
    assert blocked >= signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == usual
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    process.set_signal_mask(process.NO_SIGNALS)
    assert signal.pthread_sigmask(signal.SIG_SETMASK, usual) == set()


def test_all_descriptors_but_some() -> None:
    """Those that are kept stay open, whatever lies between them."""

    def child() -> list[int]:
        before = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
        first = max(before) + 10
        for number in (0, 1, 2, 10, 20):
            os.dup2(0, first + number)
        process.close_all_but([*before, first + 1, first + 10])
        return [number for number in range(21) if _is_open(first + number)]

    assert in_child(child) == [1, 10]
