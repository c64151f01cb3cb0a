"""`sandbox pull` and `push` of an image of 170 MB, the whole process, from and to a registry on loopback.

Beside docker's pull, which unpacks too, and podman's push, which compresses too.

Each round has another image, of which neither side has seen a byte; see `image_load` for why none is removed.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from bench import peers
from bench.dockerd import docker
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process
from bench.home import engine_home, sandbox
from bench.image_load import write_image
from bench.peers import quietly
from bench.registry import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ROUNDS = 4  # and one to warm up


@contextmanager
def _pull(setup: Setup) -> Iterator[Contest]:
    blobs = setup.directory / "registry"
    with engine_home(setup) as home, registry(blobs) as address, docker(setup) as daemon:
        source = setup.directory / "source"
        for number in range(_ROUNDS + 1):
            _load(setup, source, number)
            name = f"{address}/large:{number}"
            for words in (("tag", f"localhost/large:{number}", name), ("push", "--quiet", name)):
                sandbox(setup, source, *words)()
        ours = _numbered(lambda number: sandbox(setup, home, "pull", f"{address}/large:{number}"))
        contenders = [Contender(name=OURS, measure=ours)]
        if daemon is None:
            yield Contest(contenders=tuple(contenders))
            return
        quietly([*daemon.inside, "ip", "link", "set", "lo", "up"])
        with registry(blobs, prefix=daemon.inside) as inside:
            pull = _numbered(lambda number: process([*daemon.client, "pull", f"{inside}/large:{number}"]))
            contenders.append(Contender(name="docker", measure=pull))
            yield Contest(contenders=tuple(contenders))


@contextmanager
def _push(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, registry(setup.directory / "registry") as address, peers.podman(setup) as podman:
        for number in range(_ROUNDS + 1):
            archive = _load(setup, home, number)
            sandbox(setup, home, "tag", f"localhost/large:{number}", f"{address}/ours:{number}")()
            if podman:
                quietly([*podman, "load", "--quiet", "--input", str(archive)])
        ours = _numbered(lambda number: sandbox(setup, home, "push", f"{address}/ours:{number}"))
        contenders = [Contender(name=OURS, measure=ours)]
        if podman:
            there = f"docker://{address}/podmans"
            words = (*podman, "push", "--tls-verify=false")
            push = _numbered(lambda number: process([*words, f"localhost/large:{number}", f"{there}:{number}"]))
            contenders.append(Contender(name="podman", measure=push))
        yield Contest(contenders=tuple(contenders))


def _load(setup: Setup, home: Path, number: int) -> Path:
    """Have an image `localhost/large:NUMBER` in a state directory; its archive."""
    archive = setup.directory / f"{number}.tar"
    if not archive.exists():
        archive = write_image(setup.directory, number)
    home.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(
        [setup.commands / "sandbox", "load", "--quiet", "--input", archive],
        env={**os.environ, "HAKO_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return archive


def _numbered(command: Callable[[int], Callable[[], float]]) -> Callable[[], float]:
    """A measure with another image each time."""
    numbers = count()

    def measure() -> float:
        return command(next(numbers))()

    return measure


BENCHMARKS = (
    Benchmark(
        name="pull",
        title="sandbox pull of an image of 170 MB from a registry on loopback, the whole process",
        prepare=_pull,
        targets=(Target(limit=0.7, peer="docker"),),
        rounds=_ROUNDS,
    ),
    Benchmark(
        name="push",
        title="sandbox push of an image of 170 MB to a registry on loopback, the whole process",
        prepare=_push,
        targets=(Target(limit=0.6, peer="podman"),),
        rounds=_ROUNDS,
    ),
)
