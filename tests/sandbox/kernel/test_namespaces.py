"""The engine's fork: born into namespaces and a control group, known by a pidfd."""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import uuid
from pathlib import Path

import pytest

from sandbox.kernel import namespaces, process
from sandbox.kernel.namespaces import Flags
from tests.sandbox.kernel.children import alone, in_child

WALL = 0x4000_0000
KINDS = {
    "cgroup": Flags.NEWCGROUP,
    "ipc": Flags.NEWIPC,
    "mnt": Flags.NEWNS,
    "net": Flags.NEWNET,
    "user": Flags.NEWUSER,
    "uts": Flags.NEWUTS,
}


def _namespaces() -> dict[str, str]:
    return {kind: str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in KINDS}


@alone
def test_clone_gives_pid_and_pidfd() -> None:
    """The parent gets both; the exit status comes by either, and the pidfd is close-on-exec."""
    pid, pidfd = namespaces.clone()
    if pid == 0:
        os._exit(7)
    assert not os.get_inheritable(pidfd)
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    assert result is not None
    assert (result.si_pid, result.si_status) == (pid, 7)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_child_is_born_into_new_namespaces(kind: str) -> None:
    """The kind that was asked for is new (with a user namespace, so that nobody needs root), the rest is ours."""
    before = _namespaces()
    inside = in_child(_namespaces, flags=KINDS[kind] | Flags.NEWUSER)
    assert {name for name in KINDS if inside[name] != before[name]} == {kind, "user"}


def test_the_first_child_of_a_pid_namespace_is_its_init() -> None:
    """With NEWPID the child sees itself as 1 and its parent as 0."""
    assert in_child(lambda: (os.getpid(), os.getppid()), flags=Flags.NEWPID | Flags.NEWUSER) == (1, 0)


def test_an_exit_signal_of_0_hides_a_child_from_other_waits() -> None:
    """A wait for any child of code that knows nothing of ours does not take it."""

    def child() -> int:
        pid, pidfd = namespaces.clone(exit_signal=0)
        if pid == 0:
            os._exit(5)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, 0)
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | WALL)
        assert result is not None
        return result.si_status

    assert in_child(child) == 5


def test_a_sibling_belongs_to_the_callers_parent() -> None:
    """With `parent=True` the one that forked the caller waits for the child."""

    def child() -> tuple[int, int]:
        receive, send = os.pipe()
        middle, _ = namespaces.clone()
        if middle == 0:
            sibling, _ = namespaces.clone(parent=True)
            if sibling == 0:
                os._exit(9)
            os.write(send, str(sibling).encode())
            os._exit(0)
        os.waitpid(middle, 0)
        sibling = int(os.read(receive, 20))
        return os.waitpid(sibling, 0)[1] >> 8, sibling

    assert in_child(child)[0] == 9


@pytest.mark.root
@alone
def test_a_child_is_born_into_a_control_group() -> None:
    """With a descriptor of a cgroup v2 directory the child never was anywhere else."""
    mounted = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    hierarchy = next((Path(line[1]) for line in mounted if line[2] == "cgroup2"), None)
    if hierarchy is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = hierarchy / f"hako-test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        descriptor = os.open(group, os.O_PATH | os.O_DIRECTORY)
        pid, pidfd = namespaces.clone(cgroup=descriptor)
        if pid == 0:
            signal.pause()
            os._exit(0)
        try:
            assert (group / "cgroup.procs").read_text().split() == [str(pid)]
        finally:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pidfd)
            os.close(descriptor)
    finally:
        group.rmdir()


def test_a_failed_clone_leaves_the_parent_sound(tmp_path: Path) -> None:
    """A descriptor that is no control group is an OSError that names the call; importing and forking work
    afterwards.
    """
    descriptor = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(OSError, match="clone3"):
            namespaces.clone(cgroup=descriptor)
    finally:
        os.close(descriptor)
    import colorsys  # noqa: F401, PLC0415

    assert in_child(os.getpid) != os.getpid()


def test_python_knows_that_it_forked() -> None:
    """The fork hooks have run: the child's random numbers are not the parent's, and signals reach its handlers."""
    random.seed(1)
    state = random.Random(1).random()  # noqa: S311
    assert in_child(random.random) != state

    def child() -> bool:
        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append(True))
        os.kill(os.getpid(), signal.SIGUSR1)
        return seen == [True]

    assert in_child(child)


def test_a_child_leaves_the_parents_objects_to_it() -> None:
    """What existed before the fork is frozen in the child's collector, and only there."""
    frozen = gc.get_freeze_count()
    assert in_child(gc.get_freeze_count) > frozen + 1000
    assert gc.get_freeze_count() == frozen
    assert in_child(gc.isenabled) == gc.isenabled()


def test_setns_enters_what_a_descriptor_names() -> None:
    """The namespace of another process; a wrong kind is refused."""

    def child() -> bool:
        pid, pidfd = namespaces.clone(Flags.NEWUSER)
        if pid == 0:
            signal.pause()
        descriptor = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        with pytest.raises(OSError, match=f"fd {descriptor}"):
            namespaces.setns(descriptor, Flags.NEWNET)
        namespaces.setns(descriptor, Flags.NEWUSER)
        same = Path("/proc/self/ns/user").readlink() == Path(f"/proc/{pid}/ns/user").readlink()
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(pid, 0)
        return same

    assert in_child(child)


def test_unshare_moves_the_caller() -> None:
    """A host name set after it is seen inside only."""
    outside = socket.gethostname()

    def child() -> str:
        namespaces.unshare(Flags.NEWUSER | Flags.NEWUTS)
        socket.sethostname("inside")
        return socket.gethostname()

    assert in_child(child) == "inside"
    assert socket.gethostname() == outside


def test_children_of_many_forks_are_independent() -> None:
    """A hundred children at once, each with its own answer; nothing is left to wait for."""

    def child() -> list[int]:
        running = []
        for number in range(100):
            pid, pidfd = namespaces.clone()
            if pid == 0:
                os._exit(number)
            os.close(pidfd)
            running.append(pid)
        answers = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running]
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return answers

    assert in_child(child) == list(range(100))


@alone
def test_a_child_can_exec(tmp_path: Path) -> None:
    """The usual end of a child: another program, with its output where we point it."""
    output = tmp_path / "output"
    pid, pidfd = namespaces.clone()
    if pid == 0:
        try:
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
            process.close_range(3, cloexec=True)
            os.execv("/bin/sh", ["sh", "-c", "echo fine"])  # noqa: S606
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    os.close(pidfd)
    assert output.read_text() == "fine\n"
