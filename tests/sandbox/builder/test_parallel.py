"""Independent stages are built at the same time; the same step is done once; the end of one ends all."""

from __future__ import annotations

import re
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sandbox.builder import base
from sandbox.builder.cancelling import Cancellation, CancelledError
from sandbox.builder.parallel import Stages

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from sandbox.builder.base import Result
    from tests.sandbox.command import Sandbox

PATIENCE = 60.0
MEET = "touch /c/{me}; for i in $(seq 600); do [ -e /c/{other} ] && break; sleep 0.1; done; [ -e /c/{other} ]"


def result(number: int) -> Result:
    """Something that is told apart by its key."""
    return replace(base.scratch(""), key=str(number))


def test_a_stage_waits_for_the_results_that_it_asks_for() -> None:
    """In whatever order they are done; the last one's is the whole's."""

    def build(number: int) -> Result:
        below = [stages.result(other).key for other in range(number)]
        return replace(result(number), author=",".join(below))

    stages = Stages(build, Cancellation())
    assert stages.solve((0, 1, 2, 3)).author == "0,1,2"


def test_independent_stages_meet() -> None:
    """Each can wait for the others to be at work."""
    barrier = threading.Barrier(3)

    def build(number: int) -> Result:
        barrier.wait(PATIENCE)
        return result(number)

    assert Stages(build, Cancellation()).solve((2, 5, 7)).key == "7"


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_the_first_failure_ends_the_others_and_is_told(failing: int) -> None:
    """Those that wait for a lock, for a result, or for something that has an end of its own."""
    cancellation = Cancellation()
    ended: list[int] = []
    begun = threading.Barrier(3)

    def build(number: int) -> Result:
        begun.wait(PATIENCE)
        if number == failing:
            raise ValueError(number)
        gone = threading.Event()
        with cancellation.ending(gone.set):
            assert gone.wait(PATIENCE)
        ended.append(number)
        cancellation.check()
        return result(number)

    with pytest.raises(ValueError, match=str(failing)):
        Stages(build, cancellation).solve((0, 1, 2))
    assert sorted(ended) == [number for number in range(3) if number != failing]


def test_what_begins_after_the_end_is_ended_at_once() -> None:
    """The callback is called although the cancellation was before; results are not waited for."""
    cancellation = Cancellation()
    cancellation.cancel()
    called: list[bool] = []
    with cancellation.ending(lambda: called.append(True)):
        assert called == [True]
    with pytest.raises(CancelledError):
        Stages(result, cancellation).result(3)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A context."""
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def write(place: Path, text: str) -> str:
    """Write the Dockerfile; RUN mounts a cache of this test's at /c by $M, and is in nobody else's cache."""
    name = place.parent.name
    mounted = text.replace("$M", f"--mount=type=cache,id={name},target=/c").replace("$NAME", name)
    (place / "Dockerfile").write_text(mounted)
    return str(place)


def until(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Read its messages until one has the text."""
    assert process.stderr is not None
    assert any(text in line for line in process.stderr)


def gone(sandbox: Sandbox, name: str) -> bool:
    """Whether no container with the name in its command is left, within some time."""
    deadline = time.monotonic() + PATIENCE
    while name in sandbox("ps", "-a", "--no-trunc").stdout:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.slow
def test_stages_are_built_at_the_same_time(sandbox: Sandbox, place: Path) -> None:
    """Two RUNs that wait for each other both end."""
    one, other = MEET.format(me="a", other="b"), MEET.format(me="b", other="a")
    text = f"FROM busybox AS a\nRUN $M {one}\nFROM busybox\nRUN $M {other}\nCOPY --from=a /bin/true /t\n"
    made = sandbox("build", write(place, text))
    assert made.returncode == 0, made.stderr
    assert "[a 2/2] RUN" in made.stderr
    assert "[stage-1 2/3] RUN" in made.stderr


@pytest.mark.slow
def test_the_same_step_is_done_once(sandbox: Sandbox, place: Path) -> None:
    """In two stages of a build, also without a cache, and in two builds at once."""
    step = "RUN $M echo $NAME >> /c/n; sleep 0.5; wc -l < /c/n > /lines"
    text = f"FROM busybox AS a\n{step}\nFROM busybox\n{step}\nCOPY --from=a /lines /other\n"
    shown = "RUN cat /lines /other; [ $(cat /lines /other | wc -l) = 2 ]\n"
    context = write(place, text + shown)
    builds = [sandbox.start("build", context) for _ in range(2)]
    printed = [build.communicate(timeout=PATIENCE)[1].decode() for build in builds]
    assert [build.returncode for build in builds] == [0, 0], printed
    assert sum(one.count(" CACHED") for one in printed) >= 3
    again = sandbox("build", "--no-cache", context)
    assert re.findall(r"^#\d+ [\d.]+ (\d+)$", again.stderr, re.MULTILINE) == ["2", "2"], again.stderr


@pytest.mark.slow
def test_a_failure_ends_the_other_stages(sandbox: Sandbox, place: Path) -> None:
    """Their containers, too; what failed is what is told."""
    fails = f"{MEET.format(me='a', other='b')}; exit 9"
    stays = f"{MEET.format(me='b', other='a')}; sleep 600; echo $NAME"
    text = f"FROM busybox AS a\nRUN $M {fails}\nFROM busybox\nRUN $M {stays}\nCOPY --from=a /x /\n"
    started = time.monotonic()
    failed = sandbox("build", write(place, text))
    assert failed.returncode == 1
    assert time.monotonic() - started < PATIENCE
    assert "exit code: 9" in failed.stderr.splitlines()[-1]
    assert "CANCELED" in failed.stderr
    assert gone(sandbox, place.parent.name)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_from_outside_leaves_nothing_but_what_is_finished(
    sandbox: Sandbox, place: Path, number: signal.Signals
) -> None:
    """Containers of all stages end with the build, also when it is killed, and the next build takes the rest away."""
    finished = "FROM busybox\nRUN echo $NAME > /kept\n"
    stays = "echo $NAME; sleep 600"
    other = f"FROM busybox AS a\nRUN {stays}; touch /x\n"
    process = sandbox.start("build", write(place, f"{other}{finished}RUN {stays}\nCOPY --from=a /x /\n"))
    with process:
        for _ in range(2):
            until(process, b" " + place.parent.name.encode() + b"\n")
        process.send_signal(number)
        code = process.wait(PATIENCE)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert gone(sandbox, place.parent.name)
    assert sandbox("build", write(place, finished)).stderr.count("CACHED") == 1
