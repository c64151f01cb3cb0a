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
from sandbox.image.committing import commit
from sandbox.image.loading import load
from sandbox.image.saving import members, write_archive
from sandbox.image.store import ImageStore
from sandbox.image.tree import Tree
from sandbox.image.unpack import in_user_namespace
from sandbox.image.whiteout import opaque_attribute
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROCESSES = 200


def reclaim(store: ImageStore) -> None:
    """Until nobody holds a lease: a child of a process that was killed may have it for a moment more."""
    deadline = time.monotonic() + 5
    while store.reclaim() >= 0 and any((store.images / "leases").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)


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
    """Import, tag, look up, save, load, commit, prune and remove, with few names and few contents so that processes
    meet.
    """
    store = ImageStore(home)
    chance = random.Random(number)  # noqa: S311
    for _ in range(4):
        name = f"app:{chance.randrange(4)}"
        layer = archive(*(member(f"d/{index}", data=b"x" * 50) for index in range(chance.randrange(3) * 20)))
        match chance.randrange(8):
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
            case 4:
                store.prune(lambda image: not image.references)
            case 5:
                move(store, name, f"{name}-{number}")
            case 6:
                grow(store, name, home.parent / "upper")
            case _:
                for image in store.list():
                    assert image.size == sum(layer.size for layer in image.layers)
                store.reclaim()


def move(store: ImageStore, name: str, folder: str) -> None:
    """Save an image, if it is there as long as that takes, and load it again."""
    path = store.home.parent / folder
    try:
        with path.open("wb") as file:
            write_archive(members(store, [name]), file.write)
        with path.open("rb") as file:
            (loaded,) = load(store, file.fileno())
        assert loaded.names == (name,)
    except (SandboxError, FileNotFoundError) as error:
        assert getattr(error, "reference", "not-found") == "not-found", error
    finally:
        path.unlink(missing_ok=True)


def grow(store: ImageStore, name: str, upper: Path) -> None:
    """Make an image of another and a few files."""
    try:
        base = store.get(name)
        tree = Tree([upper], opaque_attribute(user_namespace=in_user_namespace()), whiteouts=True)
        made = commit(store, base, tree, config=base.config, reference=name, created="2025-01-01T00:00:00Z")
        assert len(made.layers) == len(base.layers) + 1
    except SandboxError as error:
        assert error.reference == "not-found", error


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_processes_at_once(tmp_path: Path) -> None:
    """Two hundred processes import, tag, save, load, commit, list, prune, remove and reclaim; none fails, and what is
    left is whole.
    """
    home = tmp_path / "home"
    (tmp_path / "upper" / "d").mkdir(parents=True)
    for number in range(10):
        (tmp_path / "upper" / "d" / str(number)).write_text("x" * number)
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


MOVER = """
import os, pathlib, sys
from sandbox.image.committing import commit
from sandbox.image.loading import load
from sandbox.image.saving import members, write_archive
from sandbox.image.store import ImageStore
from sandbox.image.tree import Tree
from sandbox.image.unpack import in_user_namespace
from sandbox.image.whiteout import opaque_attribute
store = ImageStore(pathlib.Path(sys.argv[1]))
opaque = opaque_attribute(user_namespace=in_user_namespace())
print("ready", flush=True)
for number in range(1000):
    with open(sys.argv[2], "rb") as stream:
        (loaded,) = load(store, stream.fileno())
    tree = Tree([pathlib.Path(sys.argv[3])], opaque, whiteouts=True)
    made = commit(store, loaded.image, tree, config=loaded.image.config, reference=f"made:{number % 2}")
    write_archive(members(store, ["made:0"]), lambda data: None)
    store.prune(lambda image: "kept:latest" not in image.references)
"""


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL while importing, tagging, loading, committing, saving and removing in a circle: the next start finds all
    garbage, images are whole.
    """
    home = tmp_path / "home"
    upper = tmp_path / "upper"
    upper.mkdir()
    for number in range(40):
        (upper / str(number)).write_bytes(b"y" * 3000)
    layer = tmp_path / "layer.tar"
    layer.write_bytes(archive(*(member(f"d{index % 9}/{index}", data=b"x" * 2000) for index in range(60))))
    store = ImageStore(home)
    kept = store.import_tar(io.BytesIO(archive(member("kept"))), reference="kept")
    archived = tmp_path / "archive.tar"
    store.import_tar(io.BytesIO(layer.read_bytes()), reference="loaded")
    with archived.open("wb") as file:
        write_archive(members(store, ["loaded"]), file.write)
    store.remove("loaded")
    chance = random.Random(7)  # noqa: S311
    for program, source in ((IMPORTER, layer), (MOVER, archived)) * 10:
        process = subprocess.Popen(
            [sys.executable, "-c", program, home, source, upper], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.stdout.close()
        time.sleep(chance.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        process.wait()
        reclaim(store)
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
