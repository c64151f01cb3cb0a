"""`sandbox commit` of a container with 20,000 new files, the whole process, beside podman and docker.

The container changes a file between the rounds, and no image is removed before the end, see `image_load`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import peers
from bench.dockerd import docker
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, followed, process
from bench.home import engine_home, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = 20_000
_WRITE = f"""
head -c 16 /dev/urandom > /changed
test -d /made && exit
for folder in $(seq {_FILES // 100}); do
    mkdir -p /made/$folder
    for file in $(seq 100); do echo $folder/$file > /made/$folder/$file; done
done
"""
_RUN = ("--name", "writer", "--network", "none", "busybox", "sh", "-c", _WRITE)


@contextmanager
def _commit(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, peers.podman(setup) as podman, docker(setup) as daemon:
        sandbox(setup, home, "run", *_RUN)()
        ours = followed(sandbox(setup, home, "commit", "writer"), sandbox(setup, home, "start", "--attach", "writer"))
        contenders = [Contender(name=OURS, measure=ours)]
        for name, client, limits in (
            ("podman", podman, peers.PODMAN_LIMITS),
            ("docker", daemon.client if daemon else (), ()),
        ):
            if client:
                process([*client, "run", *limits, *_RUN])()
                theirs = followed(
                    process([*client, "commit", "writer"]), process([*client, "start", "--attach", "writer"])
                )
                contenders.append(Contender(name=name, measure=theirs))
        yield Contest(contenders=tuple(contenders))


BENCHMARKS = (
    Benchmark(
        name="commit",
        title=f"sandbox commit of {_FILES:,} new files, the whole process",
        prepare=_commit,
        targets=(Target(limit=0.6, peer="podman"), Target(limit=0.6, peer="docker")),
        rounds=5,
    ),
)
