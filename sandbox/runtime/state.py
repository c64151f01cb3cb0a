"""Containers on disk: one folder each, whose lock says whether a supervisor lives.

The folder `containers/<id>` is itself the lock (flock on the directory): the supervisor holds it exclusively from
before the start until after the end, and the kernel drops it when that process dies, however it dies. So "running" is
never believed from a file alone, and no pid is ever trusted without its lock. `config.json` is written once,
`state.json` by the supervisor (or by whoever holds the lock) with an atomic rename. A name is a symbolic link in
`containers/names/` whose text is the container's id: it appears whole or not at all. There are few files, because
each costs a start and an end some hundredths of a millisecond.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.kernel import paths
from sandbox.runtime.config import ContainerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID_LENGTH = 64
_NAME_LENGTH = 200
_UNFINISHED_AGE = 60.0  # seconds: longer than any creation or removal takes between two steps
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Status(StrEnum):
    """Docker's words for the states that a container of ours can be in."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


class State(NamedTuple):
    """Times are seconds since the epoch; `pid` is init's on the host, with `start_time` (ticks since boot) to know it
    again.
    """

    status: Status = Status.CREATED
    pid: int = 0
    start_time: int = 0
    boot_id: str = ""
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    oom: bool = False
    error: str = ""
    address: str = ""
    gateway: str = ""
    mac: str = ""
    id_base: int = 0
    cgroup: str = ""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The shape of `state.json`."""
        return self._asdict()

    @staticmethod
    def from_json(data: dict[str, Any]) -> State:
        """Read what `to_json` wrote."""
        return State(**(data | {"status": Status(data["status"]), "warnings": tuple(data["warnings"])}))


class ContainerFolder:
    """The files of one container."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name

    def config(self) -> ContainerConfig:
        """What it was created as; NotFoundError once it is removed."""
        try:
            return ContainerConfig.from_json(json.loads((self.path / "config.json").read_bytes()))
        except FileNotFoundError:
            raise self._missing() from None

    def state(self) -> State:
        """What the last writer knew; `Containers.state` corrects it where that writer is dead."""
        try:
            return State.from_json(json.loads((self.path / "state.json").read_bytes()))
        except FileNotFoundError:
            return State()

    def write_config(self, config: ContainerConfig) -> None:
        """Write `config.json`; once, before the folder has its name."""
        (self.path / "config.json").write_text(json.dumps(config.to_json()))

    def write_state(self, state: State) -> None:
        """Replace `state.json`; the caller holds the lock."""
        part = self.path / "state.json.part"
        part.write_text(json.dumps(state.to_json()))
        part.rename(self.path / "state.json")

    def try_lock(self) -> int | None:
        """The lock's descriptor, or None while a supervisor holds it; raises NotFoundError where the folder is gone."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The folder may have been removed between the open and the lock.
            if self.path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)
        raise self._missing()

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._missing() from None

    def _missing(self) -> NotFoundError:
        return NotFoundError(f"no such container: {self.id[:12]}", reference="no-such-container")

    def is_running(self) -> bool:
        """Whether a supervisor holds the lock now."""
        try:
            descriptor = self._open()
        except NotFoundError:
            return False
        try:
            # A shared attempt never gets in the way of another reader, only of a starter in the same instant, who
            # tries again.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


class Containers:
    """`$HAKO_HOME/containers`: names, folders and look-up by name, id or the beginning of an id."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = root / "names"

    def add(self, config: ContainerConfig) -> ContainerFolder:
        """Take the name and make the folder; ConflictError names the owner of a taken name.

        The folder is made under a hidden name, locked, and renamed when whole, so that nobody meets half of one; a
        crash in between leaves a hidden folder that nobody holds and that `unfinished` finds.
        """
        check_name(config.name)
        hidden = ContainerFolder(self.root / f".{config.id}")
        self.names.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in ("", "upper", "work"):
            (hidden.path / part).mkdir(mode=0o755)
        lock = hidden.try_lock()
        try:
            hidden.write_config(config)
            (self.names / config.name).symlink_to(config.id)
            hidden.path.rename(self.root / config.id)
        except BaseException as error:
            remove_tree(hidden.path)
            if isinstance(error, FileExistsError):
                raise ConflictError(
                    f"the name {config.name!r} is in use by container {self._owner(config.name)[:12]}",
                    hint=f"remove it with `sandbox rm {config.name}`, or choose another name",
                    reference="name-in-use",
                ) from None
            raise
        finally:
            if lock is not None:
                os.close(lock)
        return ContainerFolder(self.root / config.id)

    def unfinished(self) -> Iterator[Path]:
        """Hidden folders that nobody is making or removing any more."""
        now = time.time()
        for entry in self._entries():
            if not entry.startswith("."):
                continue
            folder = ContainerFolder(self.root / entry)
            try:
                lock = folder.try_lock()
                if lock is None:
                    continue
                os.close(lock)
                if now - folder.path.stat().st_mtime > _UNFINISHED_AGE:
                    yield folder.path
            except (NotFoundError, FileNotFoundError):
                continue

    def remove(self, folder: ContainerFolder, name: str) -> None:
        """Take the container away: hidden first, so that it is gone at once and a crash leaves only rubbish."""
        self.release_name(name, folder.id)
        hidden = self.root / f".{folder.id}"
        with contextlib.suppress(FileNotFoundError):
            folder.path.rename(hidden)
            remove_tree(hidden)

    def find(self, reference: str) -> ContainerFolder:
        """By name, whole id, or a beginning of an id that only one container has."""
        if reference and "/" not in reference and reference not in (".", ".."):
            owner = self._owner(reference)
            if owner and (self.root / owner).is_dir():
                return ContainerFolder(self.root / owner)
            if len(reference) == ID_LENGTH and (self.root / reference).is_dir():
                return ContainerFolder(self.root / reference)
            matches = [folder for folder in self if folder.id.startswith(reference)]
            if len(matches) == 1:
                return matches[0]
            if len(matches) > 1:
                raise InvalidError(
                    f"{reference!r} begins the ids of {len(matches)} containers",
                    hint="give more of the id, or the name",
                )
        raise NotFoundError(
            f"no such container: {reference}", hint="`sandbox ps -a` lists them", reference="no-such-container"
        )

    def release_name(self, name: str, identifier: str) -> None:
        """Give a name back if it is still this container's."""
        if name and self._owner(name) == identifier:
            (self.names / name).unlink(missing_ok=True)

    def stale_names(self) -> Iterator[str]:
        """Names whose container is neither there nor being made."""
        try:
            entries = os.listdir(self.names)
        except FileNotFoundError:
            return
        for entry in entries:
            owner = self._owner(entry)
            if not (self.root / owner).is_dir() and not (self.root / f".{owner}").is_dir():
                yield entry

    def __iter__(self) -> Iterator[ContainerFolder]:
        for entry in self._entries():
            if len(entry) == ID_LENGTH:
                yield ContainerFolder(self.root / entry)

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self.root)
        except FileNotFoundError:
            return []

    def _owner(self, name: str) -> str:
        try:
            return os.readlink(self.names / name)
        except OSError:
            return ""


def check_name(name: str) -> None:
    """Raise InvalidError unless `name` can name a container."""
    if not name or name[0] in "_.-" or not _NAME_CHARACTERS.issuperset(name) or len(name) > _NAME_LENGTH:
        raise InvalidError(
            f"container name {name[:80]!r} is not valid",
            hint=f"use up to {_NAME_LENGTH} letters, digits, _ . and -, beginning with a letter or digit",
        )


def remove_tree(path: Path) -> None:
    """Remove a container's folder, whatever the container left in it; links are not followed."""
    parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        paths.remove_tree(parent, path.name)
    finally:
        os.close(parent)
