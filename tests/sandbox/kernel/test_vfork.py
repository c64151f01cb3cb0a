"""Children in our own memory."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest

from sandbox.kernel import process
from sandbox.kernel.namespaces import Flags, clone, unshare
from sandbox.kernel.vfork import Command, ExecuteError, call, sleeper, spawn
from tests.sandbox.kernel.children import alone


def _true() -> Command:
    return Command("/bin/true", ["true"], {})


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def _code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@alone
def test_a_function_in_a_child() -> None:
    """It has another pid, and what it does to objects is done here; its working directory and descriptors are its
    own.
    """
    others = _children()
    seen: list[int] = []
    before = Path.cwd(), len(list(Path("/proc/self/fd").iterdir()))

    def function() -> None:
        seen.append(os.getpid())
        os.chdir("/")
        os.open("/dev/null", os.O_RDONLY)

    call(function)
    assert seen
    assert seen[0] != os.getpid()
    assert (Path.cwd(), len(list(Path("/proc/self/fd").iterdir()))) == before
    assert _children() == others


@alone
def test_an_exception_comes_back() -> None:
    """The very object, with its traceback; nobody is left."""
    others = _children()
    error = KeyError("inside")

    def function() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        call(function)
    assert caught.value is error
    with pytest.raises(KeyError):
        spawn(function)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        spawn(_true, within=function)
    with pytest.raises(KeyError):
        spawn(function, within=lambda: None)  # type: ignore[arg-type]
    assert _children() == others


@alone
def test_a_command_runs() -> None:
    """With its arguments and environment; its end is ours to wait for."""
    reader, writer = os.pipe()

    def function() -> Command:
        os.dup2(writer, 1)
        return Command("/bin/sh", ["sh", "-c", 'echo "$0 $A"', "zero"], {"A": "b"})

    pid = spawn(function)
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read() == "zero b\n"
    assert _code(pid) == 0


@pytest.mark.parametrize("between", [False, True])
@alone
def test_a_command_that_is_not_there(*, between: bool) -> None:
    """Its error is told apart from what the function raises."""
    others = _children()
    with pytest.raises(ExecuteError) as caught:
        spawn(lambda: Command("/nonesuch", ["x"], {}), within=(lambda: None) if between else None)
    assert isinstance(caught.value.error, FileNotFoundError)
    assert _children() == others


@pytest.mark.parametrize("between", [False, True])
@alone
def test_killed_on_its_way(*, between: bool) -> None:
    """The caller goes down with its child: its interpreter would be in the middle of the child's work."""
    caller = os.fork()
    if caller == 0:
        try:
            spawn(
                lambda: os.kill(os.getpid(), signal.SIGKILL),  # type: ignore[arg-type, return-value]
                within=(lambda: None) if between else None,
            )
        finally:
            os._exit(1)
    assert _code(caller) == 137


@pytest.mark.root
@alone
def test_born_where_the_process_between_is() -> None:
    """In its new process namespace, as the first of it, and our child."""
    reader, writer = os.pipe()

    def function() -> Command:
        os.dup2(writer, 1)
        return Command("/bin/sh", ["sh", "-c", "echo $$; readlink /proc/self/ns/uts"], {})

    pid = spawn(function, within=lambda: unshare(Flags.NEWPID | Flags.NEWUTS))
    os.close(writer)
    with os.fdopen(reader) as file:
        number, space = file.read().split()
    assert _code(pid) == 0
    assert number == "1"
    assert space != str(Path("/proc/self/ns/uts").readlink())


@alone
def test_signals_and_the_collector_are_as_before() -> None:
    """Blocked only meanwhile; the command has none blocked that the caller had not."""
    for collecting in (True, False):
        (gc.enable if collecting else gc.disable)()
        try:
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            assert _code(spawn(_true)) == 0
            assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
            assert gc.isenabled() == collecting
        finally:
            gc.enable()


@alone
def test_many_times() -> None:
    """The interpreter stays sound: no descriptor, no memory of note, no depth of recursion is lost on the way."""

    def depth(number: int = 0) -> int:
        try:
            return depth(number + 1)
        except RecursionError:
            return number

    def size() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def several(count: int) -> None:
        for _ in range(count):
            assert _code(spawn(_true, within=lambda: None)) == 0
            with pytest.raises(ExecuteError):
                spawn(lambda: Command("/nonesuch", ["x"], {}))

    several(20)
    before = depth(), size(), len(list(Path("/proc/self/fd").iterdir()))
    several(100)
    assert len(list(Path("/proc/self/fd").iterdir())) == before[2]
    assert before[0] - depth() <= 200
    assert size() - before[1] < 1 << 20


@alone
def test_a_child_that_forks() -> None:
    """The fork is an ordinary copy, on its own, while we go on."""
    receive, send = os.pipe()
    pid = 0

    def function() -> None:
        nonlocal pid
        pid, pidfd = clone(parent=True)
        if pid == 0:
            os.write(send, b"".join(b"%d " % len("x" * number) for number in range(1000)))
            os._exit(7)
        os.close(pidfd)

    call(function)
    text = " ".join(str(number) for number in range(1000))
    os.close(send)
    with os.fdopen(receive) as pipe:
        assert pipe.read().strip() == text
    assert _code(pid) == 7


@alone
def test_deep_frames_around_it() -> None:
    """Wherever on the interpreter's stack of frames it happens, its chunks' borders too, all frames come back whole."""

    def nested(level: int) -> int:
        local = [level] * 3
        if level == 0:
            return 0
        if level % 7 == 0:
            assert _code(spawn(lambda: _deeper(level % 40))) == 0
        assert nested(level - 1) == level - 1
        return local[2]

    def _deeper(level: int) -> Command:
        return _deeper(level - 1) if level else _true()

    assert nested(300) == 300


@pytest.mark.root
@alone
def test_a_sleeper_holds_namespaces() -> None:
    """While the block lasts; then nobody is left."""
    with sleeper(Flags.NEWUTS) as pid:
        assert str(Path(f"/proc/{pid}/ns/uts").readlink()) != str(Path("/proc/self/ns/uts").readlink())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
@alone
def test_a_sleeper_ends_by_itself() -> None:
    """When its maker has gone."""
    process.set_child_subreaper(True)
    try:
        maker = os.fork()
        if maker == 0:
            with sleeper(signal.SIGCHLD, seconds=1):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(maker, 0)
        assert os.waitpid(-1, 0)[1] == 0
    finally:
        process.set_child_subreaper(False)


@alone
def test_from_a_process_with_a_tracer(tmp_path: Path) -> None:
    """A trace function set by a debugger sees the function's frames and does no harm."""
    seen: list[str] = []

    def function() -> Command:
        return _true()

    sys.settrace(lambda frame, event, _: seen.append(f"{event} {frame.f_code.co_name}"))
    try:
        pid = spawn(function)
    finally:
        sys.settrace(None)
    assert _code(pid) == 0
    assert "call function" in seen
