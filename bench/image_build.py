"""`sandbox build`, whole processes, beside BuildKit (docker's), `podman build --layers` and `buildah bud --layers`.

A cold round is one for a Dockerfile or files that nobody has seen: a number in them is another one each time, so that
caches cannot answer and nobody has to remove what is there. A cached round is the same build once more. Each contender
has a folder of its own with the same files.
"""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from bench import peers
from bench.dockerd import docker
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process
from bench.home import engine_home, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NUMBER = "@NUMBER@"
_TEN = "FROM busybox\n" + "".join(f"RUN echo {_NUMBER} {step} > /file{step}\n" for step in range(10))
_STAGES = f"""
FROM busybox AS one
RUN echo {_NUMBER} > /one
FROM busybox AS two
RUN echo {_NUMBER} > /two
FROM one AS three
RUN cp /one /three
FROM busybox
COPY --from=two /two /
COPY --from=three /one /three /
RUN cat /one /two /three > /all
"""
_MANY = f"""
FROM busybox
RUN for folder in $(seq 200); do mkdir -p /made/$folder; for file in $(seq 100); do \\
    echo {_NUMBER} > /made/$folder/$file; done; done
"""
_COPY = "FROM busybox\nCOPY files /files\n"
_FOLDERS, _FILES, _SIZE = 50, 100, 40_000  # folders, files in each, bytes of each


def _write_files(folder: Path) -> None:
    """The files of a context, with other contents than before."""
    for number in range(_FOLDERS):
        inner = folder / str(number)
        inner.mkdir(parents=True, exist_ok=True)
        for file in range(_FILES):
            (inner / str(file)).write_bytes(os.urandom(_SIZE))


@contextmanager
def _peers(setup: Setup) -> Iterator[dict[str, tuple[str, ...]]]:
    """The command of each peer that is here, without the folder."""
    with peers.podman(setup) as podman, peers.buildah(setup) as buildah, docker(setup) as daemon:
        found: dict[str, tuple[str, ...]] = {}
        if daemon:
            # Debian's client has BuildKit in it; newer ones have it in a plugin, which may be missing.
            client = shutil.which("docker", path="/usr/bin") or daemon.client[0]
            found["buildkit"] = (client, *daemon.client[1:], "build", "--quiet")
        if podman:
            found["podman"] = (*podman, "build", *peers.PODMAN_LIMITS, "--layers", "--quiet")
        if buildah:
            found["buildah"] = (*buildah, "bud", *peers.runtime(), *peers.PODMAN_LIMITS, "--layers", "--quiet")
        yield found


@contextmanager
def _build(setup: Setup, text: str, *, files: bool = False, cold: bool) -> Iterator[Contest]:
    """Builds of a Dockerfile and of files; a cold one's are other ones for every round."""
    with engine_home(setup) as home, _peers(setup) as stack:
        contenders = []
        environment = {**os.environ, "HAKO_HOME": str(home), "DOCKER_BUILDKIT": "1"}
        for name, command in ((OURS, (setup.commands / "sandbox", "build", "--quiet")), *stack.items()):
            folder = setup.directory / "contexts" / name
            folder.mkdir(parents=True)
            renew = partial(_renew, folder, text, itertools.count(), files=files)
            renew()
            measure = process([*command, folder], environment=environment)
            contenders.append(Contender(name=name, measure=_before(renew, measure) if cold else measure))
        yield Contest(contenders=tuple(contenders))


def _renew(folder: Path, text: str, numbers: Iterator[int], *, files: bool) -> None:
    number = f"{folder.name} {next(numbers)}"
    (folder / "Dockerfile").write_text(text.replace(_NUMBER, number))
    if files:
        _write_files(folder / "files")
        os.sync()  # or the disk would be at it while somebody is measured


def _before(prepare: Callable[[], object], measure: Callable[[], float]) -> Callable[[], float]:
    """The same measure, of something that is made ready outside its time."""

    def both() -> float:
        prepare()
        return measure()

    return both


@contextmanager
def _commit(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home:
        context = setup.directory / "large"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM busybox\nRUN dd if=/dev/urandom of=/large bs=1M count=1024\n")
        sandbox(setup, home, "build", "--tag", "large", context)()
        change = sandbox(setup, home, "start", "--attach", "writer")
        write = "head -c 16 /dev/urandom > /changed"
        sandbox(setup, home, "run", "--name", "writer", "--network", "none", "large", "sh", "-c", write)()
        os.sync()  # the large file
        measure = _before(change, sandbox(setup, home, "commit", "writer"))
        yield Contest(contenders=(Contender(name=OURS, measure=measure),))


BENCHMARKS = (
    Benchmark(
        name="build-ten",
        title="sandbox build of ten trivial RUNs, cold",
        prepare=partial(_build, text=_TEN, cold=True),
        targets=(
            Target(limit=0.1, peer="buildkit"),
            Target(limit=0.1, peer="buildah"),
            Target(limit=0.1, peer="podman"),
        ),
        rounds=5,
    ),
    Benchmark(
        name="build-ten-cached",
        title="sandbox build of ten trivial RUNs, cached",
        prepare=partial(_build, text=_TEN, cold=False),
        targets=(Target(limit=1.2, peer="buildkit"),),
        rounds=15,
    ),
    Benchmark(
        name="build-stages",
        title="sandbox build of four stages of which two are independent, cold",
        prepare=partial(_build, text=_STAGES, cold=True),
        targets=(Target(limit=0.25, peer="buildkit"),),
        rounds=5,
    ),
    Benchmark(
        name="build-many-files",
        title="sandbox build of a RUN that writes 20,000 files",
        prepare=partial(_build, text=_MANY, cold=True),
        targets=(Target(limit=0.6, peer="buildkit"),),
        rounds=5,
    ),
    Benchmark(
        name="build-copy",
        title="sandbox build with a COPY of 5,000 files, 200 MB, cold",
        prepare=partial(_build, text=_COPY, files=True, cold=True),
        targets=(Target(limit=0.4, peer="buildkit"),),
        rounds=3,
    ),
    Benchmark(
        name="build-copy-cached",
        title="sandbox build with a COPY of 5,000 files, 200 MB, cached",
        prepare=partial(_build, text=_COPY, files=True, cold=False),
        targets=(Target(limit=0.8, peer="buildkit"),),
        rounds=10,
    ),
    Benchmark(
        name="commit-large",
        title="sandbox commit of one changed file on an image of 1 GB, the whole process",
        prepare=_commit,
        targets=(Target(limit=50),),
        rounds=15,
    ),
)
