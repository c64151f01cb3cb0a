"""Fifty containers at once, each from its creation to its removal, from the engine's library, beside docker's API."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from bench.dockerd import docker
from bench.harness import OURS, Benchmark, BenchmarkError, Contender, Contest, Setup, Target
from bench.home import engine_home
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.dockerd import Docker

_COUNT = 50
_COMMAND = ("sleep", "1")


@contextmanager
def _fifty(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, closing(Engine(home, launcher=True)) as engine, docker(setup) as daemon:
        contenders = [Contender(name=OURS, measure=_at_once(lambda: _ours(engine)))]
        if daemon is not None:
            contenders.append(Contender(name="docker", measure=_at_once(lambda: _dockers(daemon))))
        yield Contest(contenders=tuple(contenders))


def _at_once(life: Callable[[], None]) -> Callable[[], float]:
    def measure() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(_COUNT) as pool:
            for done in [pool.submit(life) for _ in range(_COUNT)]:
                done.result()
        return (time.perf_counter() - started) * 1000

    return measure


def _ours(engine: Engine) -> None:
    container = engine.create(ContainerSpec(image="busybox", command=_COMMAND, network="bridge"))
    status = engine.start(container).wait()
    engine.remove(container)
    if status is None or status.code:
        raise BenchmarkError(f"the container ended with {status}")


def _dockers(daemon: Docker) -> None:
    container = daemon.ask("POST", "/containers/create", {"Image": "busybox", "Cmd": _COMMAND})["Id"]
    daemon.ask("POST", f"/containers/{container}/start")
    status = daemon.ask("POST", f"/containers/{container}/wait")
    daemon.ask("DELETE", f"/containers/{container}")
    if status["StatusCode"]:
        raise BenchmarkError(f"docker's container ended with {status}")


BENCHMARKS = (
    Benchmark(
        name="fifty-at-once",
        title=f"{_COUNT} × (create, start, {' '.join(_COMMAND)}, wait, remove) at once, on the bridge",
        prepare=_fifty,
        targets=(Target(limit=0.3, peer="docker"),),
        rounds=5,
    ),
)
