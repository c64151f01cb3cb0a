"""Containers that share processes or memory: `--pid container:NAME`, `--ipc container:NAME`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.errors import ConflictError, InvalidError, NotFoundError, SandboxError
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.runtime.spec import ContainerSpec, ExecSpec, Shared, Stdio
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.runtime.engine import Engine
    from tests.sandbox.runtime.conftest import Run

pytestmark = pytest.mark.root

SHAREABLE = Shared(ipc_shareable=True)


def _start(engine: Engine, *command: str, **fields: Any) -> str:
    spec = ContainerSpec(image="busybox", command=command or ("sleep", "600"), network="none")
    identifier = engine.create(spec._replace(**fields))
    engine.start(identifier)
    return identifier


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _execute(engine: Engine, identifier: str, script: str) -> str:
    reader, writer = os.pipe()
    process = engine.execute(identifier, ExecSpec(command=("sh", "-c", script)), Stdio(stdout=writer, stderr=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    process.wait(60)
    return text


def test_processes(engine: Engine, run: Run) -> None:
    """Each sees the other's, and root of the second has root's power over them: a debugger beside a service."""
    first = _start(engine, "sh", "-c", "trap 'echo hit > /told' USR1; while :; do sleep 0.05; done", hostname="first")
    script = "tr '\\0' '\\n' < /proc/1/environ | grep HOSTNAME; ls -d /proc/1/root/bin; kill -USR1 1"
    result = run(script, shared=Shared(pid_container=first))
    assert (result.output, result.error) == ("HOSTNAME=first\n/proc/1/root/bin\n", "")
    assert _eventually(lambda: _execute(engine, first, "cat /told") == "hit\n")


def test_a_further_process_beside_another_container(engine: Engine) -> None:
    """`exec` and `cp` of the second come into the second: its files, the shared processes."""
    first = _start(engine)
    second = _start(engine, "sleep", "601", shared=Shared(pid_container=first), hostname="second")
    text = _execute(engine, second, "hostname; grep -c . /proc/1/cmdline; ps")
    assert text.startswith("second\n")
    assert "sleep 600" in text
    assert "sleep 601" in text
    with engine.files(second) as files:
        assert files.look("/bin/busybox", follow=True).kind == "file"


def test_memory(engine: Engine) -> None:
    """/dev/shm, and what has keys (shmget(2)) or names in /dev/mqueue; nothing of that with a container beside."""
    first = _start(engine, shared=SHAREABLE)
    second = _start(engine, shared=Shared(ipc_container=first))
    third = _start(engine)
    _execute(engine, first, "echo here > /dev/shm/file; ipcmk -Q > /dev/null 2>&1; echo > /dev/mqueue/queue")
    assert _execute(engine, second, "cat /dev/shm/file; ls /dev/mqueue") == "here\nqueue\n"
    _execute(engine, second, "echo back > /dev/shm/file")
    assert _execute(engine, first, "cat /dev/shm/file") == "back\n"
    assert _execute(engine, third, "ls /dev/shm /dev/mqueue") == "/dev/mqueue:\n\n/dev/shm:\n"
    spaces = [Path(f"/proc/{engine.state(one).pid}/ns/ipc").readlink() for one in (first, second, third)]
    assert spaces[0] == spaces[1] != spaces[2]
    assert len({Path(f"/proc/{engine.state(one).pid}/ns/pid").readlink() for one in (first, second, third)}) == 3


def test_ids_are_shared_until_both_have_ended(engine: Engine) -> None:
    """The second goes on without the first, and nobody else gets the ids meanwhile."""
    if not in_initial_namespace():
        pytest.skip("an ordinary user's containers share ids anyway")

    def owners() -> list[str]:
        links = [link for link in (engine.home / "ids").glob("[0-9]*") if second in str(link.readlink())]
        return [owner for link in links for owner in str(link.readlink()).split()]

    first = _start(engine, shared=SHAREABLE)
    second = _start(engine, shared=Shared(ipc_container=first))
    base = engine.state(first).id_base
    assert engine.state(second).id_base == base
    assert len(owners()) == 2
    engine.remove(first, force=True)
    assert owners() == [second]
    assert _execute(engine, second, "echo > /dev/shm/still && ls /dev/shm") == "still\n"
    others = [_start(engine) for _ in range(3)]
    assert base not in [engine.state(other).id_base for other in others]
    engine.stop(second, timeout=0)
    assert owners() == []


def test_the_end_of_the_first(engine: Engine) -> None:
    """It takes processes that share its namespace along, and they can begin again only when it has."""
    first = _start(engine)
    second = _start(engine, shared=Shared(pid_container=first))
    engine.kill(first)
    assert _eventually(lambda: engine.state(second).status is Status.EXITED)
    assert engine.state(second).exit_code == 128 + signal.SIGKILL
    with pytest.raises(SandboxError, match="is not running"):
        engine.start(second)
    engine.start(first)
    engine.start(second)
    assert "sleep 600" in _execute(engine, second, "cat /proc/1/cmdline | tr '\\0' ' '")


def test_the_end_of_the_second(engine: Engine) -> None:
    """All that it began among the first one's processes goes, and the first goes on."""
    first = _start(engine)
    second = _start(engine, "sh", "-c", "setsid sleep 1234 & sleep 600", shared=Shared(pid_container=first))
    assert _eventually(lambda: "sleep 1234" in _execute(engine, first, "ps"))
    if not engine.statistics(second):
        pytest.skip("without a control group nobody knows whose process it is")
    engine.stop(second, timeout=0)
    assert _eventually(lambda: "sleep 1234" not in _execute(engine, first, "ps"))
    assert engine.state(first).status is Status.RUNNING


def test_what_is_refused(engine: Engine) -> None:
    """A container that is not there, that keeps its memory for itself, two at once, or that has other ids."""
    first, other = _start(engine), _start(engine, shared=SHAREABLE)
    spec = ContainerSpec(image="busybox", command=("true",), network="none")
    wrong: tuple[tuple[Shared, type[SandboxError], str], ...] = (
        (Shared(pid_container="nonesuch"), NotFoundError, "nonesuch"),
        (Shared(ipc_container=first), ConflictError, "keeps its shared memory for itself"),
        (Shared(pid_container=first, ipc_container=other), InvalidError, "two containers"),
        (Shared(pid_container=first, user=True), InvalidError, "ids of its own"),
    )
    for shared, kind, words in wrong:
        with pytest.raises(kind, match=words):
            engine.create(spec._replace(shared=shared))


def test_with_the_host_s_ids(engine: Engine, run: Run) -> None:
    """Whoever shares with a container that has the host's ids has them, too."""
    first = _start(engine, shared=Shared(user=True))
    result = run("readlink /proc/1/ns/user; readlink /proc/self/ns/user", shared=Shared(pid_container=first))
    assert set(result.output.split()) == {str(Path("/proc/self/ns/user").readlink())}
