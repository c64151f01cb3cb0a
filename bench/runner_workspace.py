"""The workspace of a repository's next build on a runner: 10,000 commits, 5,000 files, one commit after the last build.

The mirror has the commit, as it has when the server's webhook was quicker; so no network is in the figures. Beside it
what one would do otherwise with a mirror on the host: `git clone --shared`, and a clone of depth 1.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target
from runners.checkout import Source, check_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_COMMITS, _FILES = 10_000, 5_000
_SHARED, _SHALLOW = "git clone --shared", "git clone --depth 1"


def _history() -> Iterator[str]:
    """The input of git fast-import (its manual has the format)."""
    for number in range(_FILES):
        text = f"line of file {number}\n" * 40
        yield f"blob\nmark :{number + 1}\ndata {len(text)}\n{text}\n"
    for commit in range(_COMMITS):
        yield f"commit refs/heads/main\ncommitter A <a@localhost> {1_700_000_000 + commit} +0000\ndata 6\nchange\n"
        if commit == 0:
            yield from (f"M 100644 :{n + 1} d{n // 500}/s{n // 50}/f{n}.c\n" for n in range(_FILES))
        text = f"change {commit}\n"
        yield f"M 100644 inline d{commit % 10}/change{commit % 100}.c\ndata {len(text)}\n{text}\n"


def _mirror(path: Path) -> tuple[str, str]:
    """A bare repository with a history; its last two commits."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True)
    feeding = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=path, stdin=subprocess.PIPE, text=True)
    assert feeding.stdin is not None  # noqa: S101  (as asked)
    feeding.stdin.writelines(_history())
    feeding.stdin.close()
    if feeding.wait():
        raise RuntimeError("git fast-import failed")
    listed = subprocess.run(
        ["git", "rev-list", "--max-count=2", "main"], cwd=path, check=True, capture_output=True, text=True
    )
    newest, before = listed.stdout.split()
    return newest, before


def _clone(mirror: Path, target: Path, *options: str) -> Callable[[], float]:
    source = mirror if "--shared" in options else mirror.as_uri()  # a path has no depth

    def measure() -> float:
        began = time.perf_counter()
        subprocess.run(
            ["git", "clone", "-q", *options, source, target],
            check=True,
        )
        took = (time.perf_counter() - began) * 1000
        shutil.rmtree(target)
        return took

    return measure


@contextmanager
def _contest(setup: Setup) -> Iterator[Contest]:
    mirror = setup.directory / "mirror.git"
    commits = itertools.cycle(_mirror(mirror))
    slot = setup.directory / "slot"

    def ours() -> float:
        source = Source(mirror=mirror, url="https://localhost/p.git", commit=next(commits), branch="main")
        began = time.perf_counter()
        check_out(source, slot)
        return (time.perf_counter() - began) * 1000

    ours()
    yield Contest(
        contenders=(
            Contender(name=OURS, measure=ours),
            Contender(name=_SHARED, measure=_clone(mirror, setup.directory / "a", "--shared")),
            Contender(name=_SHALLOW, measure=_clone(mirror, setup.directory / "b", "--depth", "1")),
        )
    )


BENCHMARKS = (
    Benchmark(
        name="runner-workspace",
        title="a runner's workspace: 10,000 commits, 5,000 files, one commit after the last build",
        prepare=_contest,
        targets=(Target(limit=100),),
        rounds=10,
    ),
)
