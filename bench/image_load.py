"""`sandbox load` of an image of 170 MB, the whole process, beside podman.

The image is one layer, not compressed: small files of the host's /usr, in the order of their names, and noise. Each
round has another, and none is removed before the end: ext4 looks at every inode that was freed in the last minutes
before it gives one away (`recently_deleted`, fs/ext4/ialloc.c): whoever comes next would pay for a removal.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tarfile
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from bench import peers
from bench.harness import OURS, Benchmark, Contender, Contest, Setup, Target, process
from bench.home import engine_home, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FILES = 120_000_000  # bytes of the host's
_NOISE = 50  # files of a megabyte
_LARGEST = 1_000_000


@contextmanager
def _load(setup: Setup) -> Iterator[Contest]:
    with engine_home(setup) as home, peers.podman(setup) as podman:
        archives = cache(lambda number: write_image(setup.directory, number))
        contenders = [_contender(OURS, archives, lambda *words: sandbox(setup, home, *words))]
        if podman:
            contenders.append(_contender("podman", archives, lambda *words: process([*podman, *words])))
        yield Contest(contenders=tuple(contenders))


def _contender(name: str, archives: Callable[[int], Path], command: Callable[..., Callable[[], float]]) -> Contender:
    numbers = count()

    def measure() -> float:
        archive = archives(next(numbers))
        return command("load", "--quiet", "--input", archive)()

    return Contender(name=name, measure=measure)


def write_image(directory: Path, number: int) -> Path:
    """docker's archive (image/spec v1.2) of the image of a round, on the disk to its last byte."""
    archive, layer = directory / f"{number}.tar", directory / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        for path in _some_of_the_host():
            tar.add(path, recursive=False)
        noise = random.Random(number)  # noqa: S311  (not a secret)
        for file in range(_NOISE):
            _add(tar, f"noise/{file}", noise.randbytes(1 << 20))
    with layer.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [f"localhost/large:{number}"], "Layers": [layer.name]}]
    with archive.open("wb") as opened:
        with tarfile.open(fileobj=opened, mode="w") as tar:
            _add(tar, "manifest.json", json.dumps(manifest).encode())
            _add(tar, "config.json", json.dumps(configuration).encode())
            tar.add(layer, layer.name)
        os.fsync(opened.fileno())
    layer.unlink()
    return archive


def _some_of_the_host() -> Iterator[Path]:
    left = _FILES
    for path in sorted(Path("/usr").rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST:
            left -= path.stat().st_size
            if left < 0:
                return
            yield path


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


BENCHMARKS = (
    Benchmark(
        name="load",
        title="sandbox load of an image of 170 MB, the whole process",
        prepare=_load,
        targets=(Target(limit=0.6, peer="podman"),),
        rounds=5,
    ),
)
