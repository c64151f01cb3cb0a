"""A back end that plays containers on virtual time, for what the runner does around them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runners.backend import BackendError, Container, Ended, Handle, Health, HostMount, Kept, Prepared
from runners.loop import Loop
from runners.stage import StageInput, StageRun

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.report import StageResult, StepLog
    from runners.schedule import StepResult


class VirtualLoop(Loop):
    """Time moves only when nothing is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def now(self) -> float:
        """Virtual seconds."""
        return self.time

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._selector.select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("everything waits for ever")
            self.time += timeout
        return ready


@dataclass
class Act:
    """What a container does: prints, listens after some seconds, ends."""

    code: int = 0
    lasts: float = 1.0
    prints: bytes = b""
    writes: bytes = b""
    listens_after: float | None = None
    healthy_after: float | None = None
    fails: str = ""
    ignores_terminate: bool = True
    unkillable: bool = False
    oom: bool = False
    published: Mapping[int, str] = field(default_factory=dict)


@dataclass
class Played:
    """The back end and what it was asked, in order."""

    loop: VirtualLoop
    acts: dict[str, Act] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    containers: dict[str, Container] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    warnings: tuple[str, ...] = ()
    given: object = None

    def reclaim(self) -> None:
        """Nothing is ever left."""

    def missing_images(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """All images are here."""
        return names[:0]

    def fetch_image(self, name: str) -> None:
        """Never asked."""
        raise AssertionError(name)

    def prepare(self, stage: StageSpec, *, workspace: Path, mounts: tuple[HostMount, ...] = ()) -> Prepared:
        """A Stage."""
        self.calls.append(f"prepare {stage.name}")
        self.given = (workspace, mounts)
        if stage.name == "unpreparable":
            raise BackendError("no address is left")
        return PlayedStage(self, stage)


class PlayedStage:
    """One prepared Stage."""

    def __init__(self, backend: Played, stage: StageSpec) -> None:
        self.backend = backend
        self.stage = stage

    def start(self, container: Container) -> Handle:
        """Play a container."""
        name = container.step.name
        act = self.backend.acts.get(name, Act())
        self.backend.calls.append(f"start {name}")
        self.backend.containers[name] = container
        if act.fails:
            raise BackendError(act.fails)
        return PlayedHandle(self.backend, name, act, container.step)

    def image_id(self, step: StepSpec) -> str:
        """Its name."""
        return step.image

    def finish(self) -> None:
        """Remove."""
        self.backend.calls.append(f"finish {self.stage.name}")


class PlayedHandle:
    """One played container."""

    address = "127.0.0.1"

    def __init__(self, backend: Played, name: str, act: Act, step: StepSpec) -> None:
        self.backend, self.name, self.act = backend, name, act
        self.output, self._writing = os.pipe()
        self.ended, self._ended = os.pipe()
        self.published = act.published
        self._result: Ended | None = None
        self._listener: socket.socket | None = None
        backend.open.add(name)
        os.write(self._writing, act.prints)
        backend.loop.after(act.lasts, lambda: self._end(Ended(code=act.code, oom=act.oom)))
        if act.listens_after is not None:
            backend.loop.after(act.listens_after, lambda: self._listen(step.ports[0]))

    def _listen(self, port: int) -> None:
        if self._result is None:
            self._listener = socket.create_server(("127.0.0.1", port))

    def _end(self, result: Ended) -> None:
        if self._result is None:
            self._result = result
            os.close(self._writing)
            os.close(self._ended)
            if self._listener is not None:
                self._listener.close()

    def health(self) -> Health:
        """After so many seconds it has passed."""
        after = self.act.healthy_after
        return Health(passed=after is not None and self.backend.loop.now() >= after, output="no connection\nat all")

    def tcp_socket(self, family: int) -> socket.socket:
        """This host's."""
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    def result(self) -> Ended:
        """How it ended."""
        assert self._result is not None
        return self._result

    def terminate(self) -> None:
        """Maybe it listens."""
        self.backend.calls.append(f"terminate {self.name}")
        if not self.act.ignores_terminate:
            self._end(Ended(code=0))

    def kill(self) -> None:
        """It dies."""
        self.backend.calls.append(f"kill {self.name}")
        if not self.act.unkillable:
            self._end(Ended(code=137))

    def written(self) -> bytes:
        """Its outputs."""
        return self.act.writes

    def keep(self) -> Kept:
        """Its name."""
        self.backend.calls.append(f"keep {self.name}")
        return Kept(image=f"kept/{self.name}")

    def close(self) -> None:
        """Give all back."""
        if self.name in self.backend.open:
            self.backend.open.remove(self.name)
            self._end(Ended(code=137))
            os.close(self.output)
            os.close(self.ended)


@dataclass
class Recorder:
    """A reporter that remembers."""

    loop: Loop
    events: list[str] = field(default_factory=list)
    output: dict[str, bytes] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def stage_started(self, stage: StageSpec) -> None:
        """Remember."""
        self.events.append(f"{self.loop.now():g} stage {stage.name} started")

    def step_started(self, stage: StageSpec, step: StepSpec) -> StepLog:  # noqa: ARG002
        """Remember."""
        self.events.append(f"{self.loop.now():g} {step.name} started")
        self.output.setdefault(step.name, b"")
        return RecordedLog(self, step.name)

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:  # noqa: ARG002
        """Remember."""
        self.events.append(f"{self.loop.now():g} {result.name} {result.state}")

    def notice(self, stage: StageSpec, text: str) -> None:  # noqa: ARG002
        """Remember."""
        self.notices.append(text)

    def stage_expanded(self, stage: StageSpec, cells: Sequence[StageSpec]) -> None:
        """Remember."""
        self.events.append(f"{self.loop.now():g} stage {stage.name} is {len(cells)}")

    def stage_finished(self, result: StageResult) -> None:
        """Remember."""
        self.events.append(f"{self.loop.now():g} stage {result.stage.name} {result.state}")


class RecordedLog:
    """One step's output."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder, self.name, self.closed = recorder, name, False

    def write(self, data: bytes) -> None:
        """Remember."""
        assert not self.closed
        self.recorder.output[self.name] += data

    def close(self) -> None:
        """Remember."""
        assert not self.closed
        self.closed = True


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop on virtual time."""
    made = VirtualLoop()
    yield made
    made.close()


@pytest.fixture
def backend(loop: VirtualLoop) -> Iterator[Played]:
    """A played back end; afterwards nothing of it may be open."""
    made = Played(loop)
    yield made
    assert not made.open


@pytest.fixture
def reporter(loop: VirtualLoop) -> Recorder:
    """A reporter that remembers."""
    return Recorder(loop)


@pytest.fixture
def act() -> type[Act]:
    """What containers do."""
    return Act


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that nobody listens on."""

    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return int(server.getsockname()[1])

    return find


@pytest.fixture
def run(loop: Any, backend: Any, reporter: Any) -> Callable[..., StageResult]:
    """Runs a Stage to its end; `during` are calls at moments."""

    def run(
        it: StageSpec, *, during: tuple[tuple[float, Callable[[StageRun], None]], ...] = (), **given: Any
    ) -> StageResult:
        done: list[StageResult] = []
        made = StageRun(
            it,
            StageInput(**({"workspace": lambda: Path("/nowhere")} | given)),
            loop=loop,
            backend=backend,
            reporter=reporter,
            finished=done.append,
        )
        for moment, call in during:
            loop.after(moment, lambda call=call: call(made))
        made.start()
        loop.run(lambda: bool(done))
        assert backend.calls.count(f"finish {it.name}") == backend.calls.count(f"prepare {it.name}") or it.name == (
            "unpreparable"
        )
        return done[0]

    return run
