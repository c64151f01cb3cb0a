"""Containers' folders, names and locks on disk."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.runtime.config import ContainerConfig
from sandbox.runtime.spec import ContainerSpec
from sandbox.runtime.state import ContainerFolder, Containers, State, Status

if TYPE_CHECKING:
    from pathlib import Path


def _config(identifier: str, name: str) -> ContainerConfig:
    return ContainerConfig(
        id=identifier * 64,
        name=name,
        created=0.0,
        image_id="",
        layers=(),
        argv=("true",),
        environment=(),
        working_dir="/",
        user="",
        hostname="",
        stop_signal="",
        spec=ContainerSpec(image="i"),
    )


def test_look_up(tmp_path: Path) -> None:
    """By name, id and a beginning of it; one that several share is refused, one that none has is not found."""
    containers = Containers(tmp_path / "containers")
    for digit, name in (("a", "one"), ("b", "two")):
        containers.add(_config(digit, name))
    (containers.root / ("ab" * 32)).mkdir()
    assert containers.find("one").id == "a" * 64
    assert containers.find("b").id == "b" * 64
    assert containers.find("b" * 64).id == "b" * 64
    with pytest.raises(InvalidError, match="begins the ids of 2"):
        containers.find("a")
    for nothing in ("c", "", "..", "a/b", "names"):
        with pytest.raises(NotFoundError):
            containers.find(nothing)


def test_one_of_many_gets_a_name(tmp_path: Path) -> None:
    """Of twenty that want one name at once, one has it and the others leave nothing."""
    containers = Containers(tmp_path / "containers")
    results: list[str] = []

    def add(number: int) -> None:
        try:
            results.append(containers.add(_config(f"{number:02x}"[-1] if number < 16 else "g", "same")).id)
        except (ConflictError, FileExistsError):
            results.append("")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [result for result in results if result]
    assert len(winners) == 1
    assert containers.find("same").id == winners[0]
    assert {path.name for path in containers.root.iterdir()} == {winners[0], "names"}


def test_state_is_read_as_written(tmp_path: Path) -> None:
    """Field for field; before the first write it is `created`."""
    containers = Containers(tmp_path / "containers")
    folder = containers.add(_config("a", "one"))
    assert folder.state() == State()
    state = State(status=Status.EXITED, exit_code=3, oom=True, error="e", warnings=("w",), address="10.0.0.2/24")
    folder.write_state(state)
    assert folder.state() == state


def test_what_a_later_version_adds_to_a_state_is_ignored(tmp_path: Path) -> None:
    """Two versions of the engine work on one state directory: the older one passes over what it does not know."""
    state = State(status=Status.EXITED, exit_code=3)
    assert State.from_json(state.to_json() | {"colour": "blue"}) == state


def test_the_lock_tells_whether_it_runs(tmp_path: Path) -> None:
    """Held, it runs, also for other processes; dropped, it does not."""
    folder = Containers(tmp_path / "containers").add(_config("a", "one"))
    assert not folder.is_running()
    lock = folder.try_lock()
    assert lock is not None
    assert folder.is_running()
    assert folder.try_lock() is None
    os.close(lock)
    assert not folder.is_running()


def test_a_removed_container_is_gone(tmp_path: Path) -> None:
    """Its folder with all that was in it, and its name, which another may have then."""
    containers = Containers(tmp_path / "containers")
    folder = containers.add(_config("a", "one"))
    (folder.path / "upper/deep/er").mkdir(parents=True)
    (folder.path / "upper/deep").chmod(0)
    containers.remove(folder, "one")
    assert [path.name for path in containers.root.iterdir()] == ["names"]
    with pytest.raises(NotFoundError):
        folder.config()
    containers.add(_config("b", "one"))


def test_what_a_crash_leaves_is_removed(tmp_path: Path) -> None:
    """A hidden folder that nobody holds, and names without a container; what is being removed is left alone."""
    containers = Containers(tmp_path / "containers")
    assert (containers.remove_unfinished(), containers.free_stale_names()) == ([], [])
    containers.add(_config("a", "one"))
    for digit, name in (("b", "made"), ("c", "going")):
        (containers.root / ("." + digit * 64)).mkdir()
        (containers.names / name).symlink_to(digit * 64)
    lock = ContainerFolder(containers.root / ("." + "c" * 64)).try_lock()
    assert lock is not None
    assert containers.remove_unfinished() == ["b" * 64]
    assert sorted(containers.free_stale_names()) == ["going", "made"]
    os.close(lock)
    assert containers.remove_unfinished() == ["c" * 64]
    assert [path.name for path in containers.names.iterdir()] == ["one"]
    assert containers.find("one").is_pristine()


def test_what_is_being_made_is_waited_for(tmp_path: Path) -> None:
    """Containers that are made while somebody cleans up all come into being, with their names."""
    containers = Containers(tmp_path / "containers")
    containers.add(_config("a", "first"))
    stopped = threading.Event()
    taken: list[str] = []

    def clean() -> None:
        while not stopped.is_set():
            taken.extend((*containers.remove_unfinished(), *containers.free_stale_names()))

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for number in range(200):
            folder = containers.add(_config("b", f"n{number}")._replace(id=f"{number:064x}"))
            assert containers.find(f"n{number}").path == folder.path
            lock = folder.try_lock()
            assert lock is not None
            containers.remove(folder, f"n{number}")
            os.close(lock)
    finally:
        stopped.set()
        cleaner.join()
    assert taken == []
    assert [path.name for path in containers.names.iterdir()] == ["first"]
