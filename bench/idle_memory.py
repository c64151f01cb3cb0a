"""What an idle container costs beside itself: its share of our supervisor's memory, beside podman's conmon.

Memory is Pss, of which what several processes share counts in parts (Documentation/filesystems/proc.rst). One process
of an engine supervises many containers: what counts is how it grew from the first to the last of them.
"""

from __future__ import annotations

import itertools
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import peers
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target
from bench.home import engine_home
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_COUNT = 50
_COMMAND = ("sleep", "1000")


@contextmanager
def _idle(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, closing(Engine(home, launcher=True)) as engine, peers.podman(setup) as podman:
        containers: list[str] = []
        try:
            ours = _grown(engine, containers)
            contenders = [Contender(name=OURS, measure=ours)]
            if podman:
                contenders.append(Contender(name="podman's conmon", measure=_conmons(podman)))
            yield Contest(contenders=tuple(contenders))
        finally:
            for container in containers:
                engine.remove(container, force=True)


def _grown(engine: Engine, containers: list[str]) -> Callable[[], float]:
    """Start a first container and fifty more, into `containers`; measures what each of the fifty has added."""

    def start() -> int:
        container = engine.create(ContainerSpec(image="busybox", command=_COMMAND, network="none"))
        containers.append(container)
        return _parent(engine.start(container).pid)

    supervisors = {start()}
    before = _pss(supervisors)
    supervisors.update(start() for _ in range(_COUNT))
    return lambda: (_pss(supervisors) - before) / _COUNT


def _conmons(podman: tuple[str, ...]) -> Callable[[], float]:
    command = [*podman, "run", "--detach", *peers.PODMAN_LIMITS, "--network", "none", "busybox", *_COMMAND]
    names = [peers.quietly(command).strip() for _ in range(_COUNT)]
    pids = peers.quietly([*podman, "inspect", "--format", "{{.State.ConmonPid}}", *names]).split()
    return lambda: _pss(map(int, pids)) / _COUNT


def _parent(pid: int) -> int:
    return int(_field(Path(f"/proc/{pid}/status"), "PPid:"))


def _pss(pids: Iterable[int]) -> float:
    """Of all of them together, in KiB."""
    return sum(float(_field(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")) for pid in pids)


def _field(path: Path, name: str) -> str:
    fields = itertools.pairwise(path.read_text().split())
    return next(value for key, value in fields if key == name)


BENCHMARKS = (
    Benchmark(
        name="idle-memory",
        title=f"memory beside each of {_COUNT} idle containers (Pss)",
        prepare=_idle,
        targets=(Target(limit=1, peer="podman's conmon"),),
        unit="KiB",
        rounds=3,
    ),
)
