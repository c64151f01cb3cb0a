"""Containers from creation to removal, on the real kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ConflictError, InvalidError, NotFoundError, SandboxError
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec, ExecSpec, LogDriver, Security, Stdio
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.runtime.conftest import Run

pytestmark = pytest.mark.root


def _spec(*command: str, **fields: object) -> ContainerSpec:
    return ContainerSpec(image="busybox", command=command, network="none", **fields)  # type: ignore[arg-type]


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def _log(engine: Engine, identifier: str) -> str:
    return b"".join(record.data for record in engine.logs(identifier)).decode()


def test_both_streams_and_the_exit_code(run: Run) -> None:
    """Output and error arrive apart, whole, and the command's exit code is the container's."""
    result = run("echo out; echo err >&2; exit 3")
    assert (result.output, result.error, result.status.code) == ("out\n", "err\n", 3)


def test_standard_input(run: Run) -> None:
    """What is written to its input is read by the command, and the end of input is seen."""
    assert run("cat; echo end", stdin=b"hello ").output == "hello end\n"


def test_without_input_the_command_reads_nothing(run: Run) -> None:
    """A container whose input nobody opened has /dev/null there."""
    assert run("cat; readlink /proc/self/fd/0").output == "/dev/null\n"


def test_a_death_by_signal_is_128_and_more(run: Run) -> None:
    """As docker and shells report it."""
    assert run("kill -KILL $$; sleep 9", command=("sh", "-c", "sh -c 'kill -KILL $$'; exit $?")).status.code == 137


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("nonexistent",), 127, "no such command"),
        (("/nonexistent",), 127, "no such command"),
        (("/etc",), 126, "permission denied"),
        (("/etc/passwd",), 126, "permission denied"),
    ],
)
def test_a_command_that_cannot_run(run: Run, engine: Engine, command: tuple[str, ...], code: int, words: str) -> None:
    """127 for a missing command, 126 for one that is none; the container is gone with --rm."""
    with pytest.raises(SandboxError, match=words) as caught:
        run("", command=command)
    assert caught.value.exit_code == code


def test_the_life_of_a_container(engine: Engine) -> None:
    """Created, running, exited, started again, removed: each state is seen, and its log grows."""
    identifier = engine.create(_spec("sh", "-c", "echo once; exit 4", name="life"))
    assert engine.state("life").status is Status.CREATED
    status = engine.start("life").wait(30)
    assert status is not None
    assert status.code == 4
    state = engine.state("life")
    assert (state.status, state.exit_code, state.pid) == (Status.EXITED, 4, 0)
    engine.start(identifier[:10]).wait(30)
    assert _log(engine, "life") == "once\nonce\n"
    engine.remove("life")
    with pytest.raises(NotFoundError, match="no such container"):
        engine.state("life")


def test_what_it_writes_stays_until_it_is_removed(engine: Engine) -> None:
    """A container's root is its own snapshot: files survive a restart and other containers do not see them."""
    first = engine.create(_spec("sh", "-c", "test -e /made && exit 5; touch /made"))
    assert engine.start(first).wait(30).code == 0  # type: ignore[union-attr]
    assert engine.start(first).wait(30).code == 5  # type: ignore[union-attr]
    second = engine.create(_spec("test", "-e", "/made"))
    assert engine.start(second).wait(30).code == 1  # type: ignore[union-attr]


def test_a_running_one_is_not_started_or_removed(engine: Engine) -> None:
    """Both are refused with what to do; with force it is ended first."""
    identifier = engine.create(_spec("sleep", "60"))
    engine.start(identifier)
    with pytest.raises(ConflictError, match="is running"):
        engine.start(identifier)
    with pytest.raises(ConflictError, match="sandbox stop"):
        engine.remove(identifier)
    engine.remove(identifier, force=True)


@pytest.mark.parametrize("network", ["none", "bridge"])
@pytest.mark.parametrize("way", ["stop", "remove"])
def test_one_that_is_only_starting(engine: Engine, way: str, network: str) -> None:
    """Stopped, or removed with force, by another engine from the first moment of its start on: it ends."""
    starting = Engine(engine.home, launcher=True)

    def start(identifier: str) -> None:
        with contextlib.suppress(SandboxError):
            starting.start(identifier).wait(20)

    for delay in (0, 0.001, 0.003, 0.006, 0.01):
        identifier = engine.create(_spec("sleep", "60")._replace(network=network))
        folder = engine._containers.find(identifier)
        starter = threading.Thread(target=start, args=(identifier,))
        starter.start()
        assert _eventually(folder.is_running)
        time.sleep(delay)
        if way == "stop":
            engine.stop(identifier, timeout=0)
        else:
            engine.remove(identifier, force=True)
            assert not folder.path.exists()
        starter.join(10)
        assert not starter.is_alive()
    starting.close()


def test_a_name_is_used_once(engine: Engine) -> None:
    """The second container of a name is refused, and the name is free after the first is removed."""
    engine.create(_spec("true", name="taken"))
    with pytest.raises(ConflictError, match="'taken' is in use"):
        engine.create(_spec("true", name="taken"))
    engine.remove("taken")
    engine.create(_spec("true", name="taken"))


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "..", "é", "x" * 300])
def test_names_that_are_none(engine: Engine, name: str) -> None:
    """Refused where they are given; an empty one is replaced."""
    if name:
        with pytest.raises(InvalidError, match="not valid"):
            engine.create(_spec("true", name=name))
    else:
        assert "_" in engine.config(engine.create(_spec("true", name=name))).name


def test_a_first_process_that_fails_early(run: Run) -> None:
    """Its own error is what the caller hears, though the host's side fails too when it is gone."""
    with pytest.raises(SandboxError, match="hostname 'xxx"):
        run("true", hostname="x" * 70)


def test_missing_image(engine: Engine) -> None:
    """The image is named."""
    with pytest.raises(NotFoundError, match="nonesuch"):
        engine.create(ContainerSpec(image="nonesuch", command=("true",)))


def test_stop_asks_first(engine: Engine) -> None:
    """The stop signal reaches the command, which may end by itself."""
    identifier = engine.create(_spec("sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"))
    process = engine.start(identifier)
    assert _eventually(lambda: _log(engine, identifier) == "ready\n")
    engine.stop(identifier, timeout=10)
    assert process.wait(5).code == 7  # type: ignore[union-attr]


def test_stop_ends_what_does_not_listen(engine: Engine) -> None:
    """After the grace SIGKILL ends the command and everything it started, in sessions of their own too."""
    script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 71.5' & echo ready; sleep 71.5"
    identifier = engine.create(_spec("sh", "-c", script))
    process = engine.start(identifier)
    assert _eventually(lambda: _log(engine, identifier) == "ready\n")
    engine.stop(identifier, timeout=0.1)
    assert process.wait(5).code == 137  # type: ignore[union-attr]
    assert "71.5" not in _command_lines()


def _command_lines() -> str:
    texts = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(texts)


def test_others_wait_and_look(engine: Engine) -> None:
    """A second engine sees the container run, waits for its end, and kills it."""
    other = Engine(engine.home)
    identifier = engine.create(_spec("sleep", "60", name="seen"))
    engine.start(identifier)
    assert other.state("seen").status is Status.RUNNING
    assert other.wait("seen", timeout=0.05) is None
    other.kill("seen", "TERM")
    other.kill("seen", 9)
    assert other.wait("seen", timeout=10).code == 137  # type: ignore[union-attr]
    with pytest.raises(ConflictError, match="not running"):
        other.kill("seen")


def test_waiting_for_what_is_just_ending(engine: Engine) -> None:
    """Whoever asks while the supervisor is at its end hears the exit code, or that it does not run any more."""
    identifier = engine.create(_spec("sh", "-c", "exit 5"))
    for number in range(40):
        engine.start(identifier)
        time.sleep(number / 10_000)
        status = engine.wait(identifier, timeout=10)
        assert status is not None
        assert status.code == 5
        with pytest.raises(ConflictError, match="not running"):
            engine.kill(identifier)


def test_exec(engine: Engine) -> None:
    """A further process shares the container's namespaces, files and limits, and has an exit code of its own."""
    identifier = engine.create(_spec("sleep", "60", environment={"A": "b"}, hostname="box"))
    engine.start(identifier)
    reader, writer = os.pipe()
    script = "hostname; echo $A $B $$; pwd; cat /proc/1/comm; grep -c . /proc/self/cgroup >/dev/null; exit 9"
    spec = ExecSpec(command=("sh", "-c", script), environment={"B": "c"}, working_dir="/tmp")
    process = engine.execute(identifier, spec, Stdio(stdout=writer, stderr=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        lines = file.read().split("\n")
    assert process.wait(10).code == 9  # type: ignore[union-attr]
    assert lines[0] == "box"
    assert lines[1].startswith("b c ")
    assert lines[2:4] == ["/tmp", "sleep"]


def test_exec_of_what_is_not_there(engine: Engine) -> None:
    """The error comes back as an error, and the container goes on."""
    identifier = engine.create(_spec("sleep", "60"))
    engine.start(identifier)
    with pytest.raises(SandboxError, match="no such command") as caught:
        engine.execute(identifier, ExecSpec(command=("nonesuch",)))
    assert caught.value.exit_code == 127
    assert engine.state(identifier).status is Status.RUNNING


def test_exec_leaves_no_descriptor(engine: Engine) -> None:
    """Neither here nor in the supervisor, whether it starts, fails or has a terminal."""
    identifier = engine.create(_spec("sleep", "60"))
    engine.start(identifier)
    supervisor = int(Path(f"/proc/{engine.state(identifier).pid}/stat").read_text().rpartition(")")[2].split()[1])

    def opened() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), supervisor)]

    def executions() -> None:
        for terminal in (False, True):
            with pytest.raises(SandboxError, match="no such command"):
                engine.execute(identifier, ExecSpec(command=("nonesuch",), terminal=terminal))
            process = engine.execute(identifier, ExecSpec(command=("true",), terminal=terminal))
            process.wait()
            if process.terminal is not None:
                os.close(process.terminal)

    executions()
    before = opened()
    for _ in range(5):
        executions()
    # Twenty executions: what comes and goes by itself, beside them, is less than one for each.
    assert _eventually(lambda: all(now < then + 5 for now, then in zip(opened(), before, strict=True)))


def test_exec_has_the_same_rights(engine: Engine) -> None:
    """Capabilities, no_new_privs, filter and descriptors are those of a first process."""
    script = "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; ls /proc/self/fd"
    identifier = engine.create(_spec("sh", "-c", f"{script}; sleep 60"))
    engine.start(identifier)
    reader, writer = os.pipe()
    process = engine.execute(identifier, ExecSpec(command=("sh", "-c", script)), Stdio(stdout=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        second = file.read()
    process.wait(10)
    assert _eventually(lambda: _log(engine, identifier) == second)
    assert "CapInh:\t0000000000000000" in second


def test_new_privileges(engine: Engine) -> None:
    """Where they are allowed, a filter is there all the same, for any user, and in exec too."""
    script = "id -u; grep -E 'NoNew|Seccomp:' /proc/self/status"
    free = Security(no_new_privileges=False)
    identifier = engine.create(_spec("sh", "-c", f"{script}; sleep 60", user="7", security=free))
    engine.start(identifier)
    reader, writer = os.pipe()
    engine.execute(identifier, ExecSpec(command=("sh", "-c", script)), Stdio(stdout=writer)).wait(10)
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read() == "7\nNoNewPrivs:\t0\nSeccomp:\t2\n"
    assert _eventually(lambda: _log(engine, identifier) == "7\nNoNewPrivs:\t0\nSeccomp:\t2\n")


def test_output_without_a_log(engine: Engine) -> None:
    """With log driver none the attached descriptor gets everything, and `logs` says that nothing is kept."""
    reader, writer = os.pipe()
    identifier = engine.create(_spec("echo", "x", log_driver=LogDriver.NONE))
    process = engine.start(identifier, Stdio(stdout=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read() == "x\n"
    process.wait(10)
    with pytest.raises(ConflictError, match="keeps no output"):
        list(engine.logs(identifier))


def test_a_reader_that_goes_away(engine: Engine) -> None:
    """The container goes on printing to its log after its reader has closed."""
    reader, writer = os.pipe()
    identifier = engine.create(_spec("sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.05; done"))
    process = engine.start(identifier, Stdio(stdout=writer))
    os.close(writer)
    os.close(reader)
    assert process.wait(30).code == 0  # type: ignore[union-attr]
    assert _log(engine, identifier) == "1\n2\n3\n4\n5\n6\n"


def test_a_slow_reader_loses_nothing(run: Run) -> None:
    """More output than a pipe holds arrives whole, in both streams."""
    result = run("seq 1 200000; seq 1 1000 >&2")
    assert result.output == "".join(f"{number}\n" for number in range(1, 200001))
    assert result.error.count("\n") == 1000


def test_a_terminal(engine: Engine) -> None:
    """With a terminal the command has a controlling one of the size that was set, and answers Ctrl-C."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    identifier = engine.create(
        _spec(
            "sh",
            "-c",
            "trap 'exit 130' INT; tty; read x; stty size; while :; do sleep 0.1; done",
            terminal=True,
            open_stdin=True,
        )
    )
    process = engine.start(identifier, Stdio(stdin=in_read, stdout=out_write))
    os.close(in_read)
    os.close(out_write)
    engine.resize(identifier, 33, 44)
    os.write(in_write, b"\n")
    seen = b""
    while b"33 44" not in seen:
        seen += os.read(out_read, 1000)
    assert b"/dev/" in seen
    os.write(in_write, b"\x03")
    assert process.wait(10).code == 130  # type: ignore[union-attr]
    os.close(in_write)
    os.close(out_read)


def test_a_killed_supervisor_takes_the_container_along(engine: Engine) -> None:
    """After SIGKILL of the supervisor no process is left, the state is told right, and a start works again."""
    identifier = engine.create(_spec("sleep", "73.25"))
    engine.start(identifier)
    supervisor = _parent(engine.state(identifier).pid)
    os.kill(supervisor, signal.SIGKILL)
    assert _eventually(lambda: "73.25" not in _command_lines())
    state = engine.state(identifier)
    assert (state.status, state.exit_code) == (Status.EXITED, 137)
    assert any("supervisor was killed" in line for line in engine.reclaim())
    assert engine.reclaim() == [] or all(identifier[:12] not in line for line in engine.reclaim())
    engine.start(identifier)
    engine.stop(identifier, timeout=0)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_nothing_of_the_host_is_mounted(engine: Engine) -> None:
    """The host's mount table is the same while a container runs."""
    before = Path("/proc/self/mounts").read_text()
    identifier = engine.create(_spec("sleep", "60"))
    engine.start(identifier)
    assert Path("/proc/self/mounts").read_text() == before


def test_device_nodes_of_an_image_open_nothing(run: Run) -> None:
    """The root is mounted nodev, while the container's own devices work."""
    result = run("grep ' / overlay ' /proc/mounts | cut -d ' ' -f 4; head -c 3 /dev/zero | wc -c")
    options, count = result.output.split()
    assert "nodev" in options.split(",")
    assert count == "3"


def test_inspect_has_docker_names(engine: Engine) -> None:
    """The fields that tools read are there, with the values of this container."""
    identifier = engine.create(_spec("sleep", "60", name="look", labels={"a": "b"}))
    engine.start(identifier)
    described = engine.inspect("look")
    assert described["Name"] == "/look"
    assert described["State"]["Running"] is True
    assert described["State"]["Pid"] == engine.state("look").pid
    assert described["Config"]["Labels"] == {"a": "b"}
    assert described["HostConfig"]["NetworkMode"] == "none"


def test_a_plan_is_printed_and_nothing_made(engine: Engine) -> None:
    """The plan names every step from the mount namespace to the command, and leaves no container."""
    lines = engine.plan(_spec("true", name="planned")).lines()
    assert lines[0] == "host  unshare-mounts slave=no"
    assert lines[-1].startswith("init  execute argv=")
    assert any("mount-overlay" in line for line in lines)
    with pytest.raises(NotFoundError):
        engine.state("planned")


def test_many_at_once_through_a_launcher(engine: Engine) -> None:
    """An engine with threads starts containers through its launcher; each thread gets its own container's end."""
    threaded = Engine(engine.home, launcher=True)
    codes: dict[int, int] = {}

    def cycle(number: int) -> None:
        identifier = threaded.create(_spec("sh", "-c", f"exit {number}", auto_remove=True))
        status = threaded.start(identifier).wait(60)
        codes[number] = status.code if status is not None else -1

    threads = [threading.Thread(target=cycle, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threaded.close()
    assert codes == {number: number for number in range(10)}


def test_containers_outlive_their_engine(engine: Engine) -> None:
    """The end of the process that started them, or of its launcher, is not theirs."""
    other = Engine(engine.home, launcher=True)
    identifier = engine.create(_spec("sleep", "60"))
    other.start(identifier)
    other.close()
    assert engine.state(identifier).status is Status.RUNNING
    engine.stop(identifier, timeout=0)
