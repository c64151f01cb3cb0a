"""Many processes on one store, and processes that are killed: it stays sound."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.image import digest as digests
from sandbox.image.store import ImageStore
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROCESSES = 40


def check(store: ImageStore) -> None:
    """Every image has its layers and documents; every name has its image; nothing else is there."""
    snapshots: set[str] = set()
    blobs: set[str] = set()
    for image in store.list():
        assert [path.is_dir() for path in store.snapshots.lowers(image)] == [True] * len(image.layers)
        assert digests.of(store.content.read(image.id)) == image.id
        snapshots.update(layer.chain_id for layer in image.layers)
        blobs.update((image.id, image.manifest_digest))
        for name in image.references:
            assert store.get(name).id == image.id
    for chain_id in store.snapshots.list():
        assert store.snapshots.record(chain_id).layer.chain_id == chain_id
    assert set(store.snapshots.list()) == snapshots
    assert set(store.content.list()) == blobs
    for folder in (store.home / "tmp", store.images / "leases"):
        assert list(folder.iterdir()) == []


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own; its exit code is 1 when it raises."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        print(f"process {os.getpid()}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def busy(home: Path, number: int) -> None:
    """Import, tag, look up and remove, with few names and few contents so that processes meet."""
    store = ImageStore(home)
    chance = random.Random(number)  # noqa: S311
    for _ in range(6):
        name = f"app:{chance.randrange(4)}"
        layer = archive(*(member(f"d/{index}", data=b"x" * 50) for index in range(chance.randrange(3) * 20)))
        match chance.randrange(5):
            case 0 | 1:
                image = store.import_tar(io.BytesIO(layer), reference=name, created="2025-01-01T00:00:00Z")
                assert image.layers
            case 2:
                try:
                    store.tag(name, f"other:{chance.randrange(4)}")
                except SandboxError as error:
                    assert error.reference == "not-found", error
            case 3:
                try:
                    store.remove(name, force=True)
                except SandboxError as error:
                    assert error.reference == "not-found", error
            case _:
                for image in store.list():
                    assert image.size == image.layers[0].size
                store.reclaim()


@pytest.mark.slow
def test_many_processes_at_once(tmp_path: Path) -> None:
    """Forty processes import, tag, list, remove and reclaim; none fails, and what is left is whole."""
    home = tmp_path / "home"
    children = [fork(lambda number=number: busy(home, number)) for number in range(PROCESSES)]  # type: ignore[misc]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [0] * PROCESSES
    store = ImageStore(home)
    store.reclaim()
    check(store)


def test_the_same_layer_by_several_processes(tmp_path: Path) -> None:
    """One gives the snapshot its name, the others use it."""
    home = tmp_path / "home"
    data = archive(*(member(f"{index}", data=b"x" * 500) for index in range(300)))

    def work() -> None:
        ImageStore(home).import_tar(io.BytesIO(data), reference=f"a:{os.getpid()}", created="2025-01-01T00:00:00Z")

    children = [fork(work) for _ in range(6)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 6
    store = ImageStore(home)
    (image,) = store.list()
    assert len(image.references) == 6
    check(store)


IMPORTER = """
import pathlib, sys
from sandbox.image.store import ImageStore
store = ImageStore(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
for number in range(1000):
    with open(sys.argv[2], "rb") as stream:
        store.import_tar(stream, reference=f"killed:{number % 2}", created=f"2025-01-01T00:00:{number % 2:02}Z")
    store.tag(f"killed:{number % 2}", "also:1")
    store.remove(f"killed:{number % 2}", force=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL while importing, tagging and removing in a circle: the next start finds all garbage, images are whole."""
    home = tmp_path / "home"
    layer = tmp_path / "layer.tar"
    layer.write_bytes(archive(*(member(f"d{index % 9}/{index}", data=b"x" * 2000) for index in range(60))))
    store = ImageStore(home)
    kept = store.import_tar(io.BytesIO(archive(member("kept"))), reference="kept")
    chance = random.Random(7)  # noqa: S311
    for _ in range(15):
        process = subprocess.Popen([sys.executable, "-c", IMPORTER, home, layer], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.stdout.close()
        time.sleep(chance.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        process.wait()
        store.reclaim()
        check(store)
    assert store.get("kept").id == kept.id


def test_reclaim_spares_the_living(tmp_path: Path) -> None:
    """A process that is in the middle of an import loses nothing to another's reclaim."""
    store = ImageStore(tmp_path / "home")
    reading, writing = os.pipe()
    data = archive(*(member(f"{index}", data=b"x" * 3000) for index in range(200)))

    def work() -> None:
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            store.import_tar(stream, reference="slow")

    pid = fork(work)
    os.close(reading)
    with os.fdopen(writing, "wb") as stream:
        for start in range(0, len(data), 100_000):
            stream.write(data[start : start + 100_000])
            stream.flush()
            store.reclaim()
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(store.snapshots.path(store.get("slow").layers[0].chain_id).iterdir())) == 200
    check(store)
