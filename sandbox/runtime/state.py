"""Containers on disk: one folder each, whose lock says whether a supervisor lives.

The folder `containers/<id>` is itself the lock (flock on the directory): the supervisor holds it exclusively from
before the start until after the end, and the kernel drops it when that process dies, however it dies. So "running" is
never believed from a file alone, and no pid is ever trusted without its lock. `config.json` is written once,
`state.json` by the supervisor (or by whoever holds the lock) with an atomic rename. A name is a symbolic link in
`containers/names/` whose text is the container's id: it appears whole or not at all. The folder of all containers is
locked too, for moments: shared by who makes or removes one, alone by who looks for what the killed have left. There
are few files, because each costs a start and an end some hundredths of a millisecond. None is synchronised with the
disk, which would cost tens of them: of the last half minute before a power loss a file may be empty, and is then taken
for what it says nothing of.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.kernel import files, paths
from sandbox.records import NamedTuple
from sandbox.runtime.config import ContainerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sandbox.network.records import Attachment
    from sandbox.runtime.spec import Mount

ID_LENGTH = 64
_NAME_LENGTH = 200
_DIRECTORIES = ("upper", "work")  # of the overlay
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
    attachments: tuple[Attachment, ...] = ()  # its places in networks while it runs
    id_base: int = 0
    cgroup: str = ""
    warnings: tuple[str, ...] = ()
    paused: bool = False
    restarting: bool = False  # between two runs
    restart_count: int = 0
    stopped: bool = False  # by somebody, not by itself
    lost: bool = False  # it ended with its supervisor or its machine
    health: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The shape of `state.json`."""
        return self._asdict() | {"attachments": [one.to_data() for one in self.attachments]}

    @staticmethod
    def from_json(data: dict[str, Any]) -> State:
        """Read what `to_json` wrote; fields of a later version are ignored."""
        attachments = data.get("attachments", ())
        if attachments:
            from sandbox.network.records import Attachment  # noqa: PLC0415  (not without a network)

            attachments = [Attachment.from_data(one) for one in attachments]
        known = {name: data[name] for name in State._fields if name in data}
        known |= {"attachments": tuple(attachments), "status": Status(data["status"])}
        return State(**(known | {"warnings": tuple(data["warnings"])}))


class ContainerFolder:
    """The files of one container."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self._place = str(path)

    def config(self) -> ContainerConfig:
        """What it was created as; NotFoundError once it is removed, or where a power loss has left an empty file."""
        try:
            return ContainerConfig.from_json(json.loads(files.read(f"{self._place}/config.json")))
        except (FileNotFoundError, ValueError):
            raise self._missing() from None

    def state(self) -> State:
        """What the last writer knew; `Containers.state` corrects it where that writer is dead."""
        try:
            return State.from_json(json.loads(files.read(f"{self._place}/state.json")))
        except FileNotFoundError:
            return State()
        except ValueError:  # written just before the machine lost its power
            return State(status=Status.RUNNING)

    def replace_config(self, config: ContainerConfig) -> None:
        """Replace `config.json` as a whole; the caller holds `Containers.alone`."""
        files.replace(f"{self._place}/config.json", json.dumps(config.to_json()))

    def write_config(self, config: ContainerConfig) -> None:
        """Write `config.json`, before the folder has its name."""
        files.create(f"{self._place}/config.json", json.dumps(config.to_json()))

    def write_state(self, state: State) -> None:
        """Replace `state.json`; the caller holds the lock."""
        files.replace(f"{self._place}/state.json", json.dumps(state.to_json()))

    def is_pristine(self) -> bool:
        """Whether nothing was added to what `Containers.add` made."""
        return set(os.listdir(self.path)) == {"config.json", *_DIRECTORIES}

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

        The folder is made under a hidden name and renamed when whole, so that nobody meets half of one. Meanwhile the
        folder of all containers is locked, shared with others who make one: a crash in between leaves a hidden folder
        that `remove_unfinished` can tell from those being made.
        """
        check_name(config.name)
        hidden = ContainerFolder(self.root / f".{config.id}")
        self.names.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._lock(fcntl.LOCK_SH)
        try:
            for part in ("", *_DIRECTORIES):
                (hidden.path / part).mkdir(mode=0o755)
            hidden.write_config(config)
            (self.names / config.name).symlink_to(config.id)
            hidden.path.rename(self.root / config.id)
        except BaseException as error:
            paths.remove_path(hidden.path)
            if isinstance(error, FileExistsError):
                raise self._taken(config.name) from None
            raise
        finally:
            os.close(lock)
        return ContainerFolder(self.root / config.id)

    def remove_unfinished(self) -> list[str]:
        """Remove what killed processes left while they made or removed a container; the ids."""
        try:
            lock = self._lock(fcntl.LOCK_EX)
        except FileNotFoundError:
            return []
        # Whoever was making one has finished or died by now, and one that is made from here on is not in the list.
        hidden = [ContainerFolder(self.root / entry) for entry in self._entries() if entry.startswith(".")]
        os.close(lock)
        removed = []
        for folder in hidden:
            try:
                held = folder.try_lock()
            except NotFoundError:
                continue
            if held is not None:  # else somebody is at it
                with contextlib.suppress(NotFoundError):
                    spec = folder.config().spec
                    self._remove_volumes(spec.mounts if spec.auto_remove else ())
                paths.remove_path(folder.path)
                os.close(held)
                removed.append(folder.id[1:])
        return removed

    def remove(self, folder: ContainerFolder, name: str, *, mounts: Sequence[Mount] = ()) -> None:
        """Take the container away: hidden first, so that it is gone at once and a crash leaves only rubbish.

        Of `mounts` the volumes without a name go, too. The caller holds the container's lock.
        """
        hidden = self.root / f".{folder.id}"
        lock = self._lock(fcntl.LOCK_SH)  # `free_stale_names` must not be at the same name
        try:
            folder.path.rename(hidden)
        except FileNotFoundError:
            return
        else:
            self._release_name(name, folder.id)
        finally:
            os.close(lock)
        self._remove_volumes(mounts)
        paths.remove_path(hidden)

    def _remove_volumes(self, mounts: Sequence[Mount]) -> None:
        """Remove the volumes without a name among `mounts` that no container has any more."""
        if any(mount.anonymous for mount in mounts):
            from sandbox.runtime import creation  # noqa: PLC0415  (few containers have any)
            from sandbox.runtime.volumes import Volumes, remove_anonymous  # noqa: PLC0415

            store = Volumes(self.root.parent / "volumes")
            remove_anonymous(store, mounts, lambda volume: creation.users_of_volume(self, volume))

    def find(self, reference: str) -> ContainerFolder:
        """By whole id, name, or a beginning of an id that only one container has."""
        if reference and "/" not in reference and reference not in (".", ".."):
            if len(reference) == ID_LENGTH and (self.root / reference).is_dir():
                return ContainerFolder(self.root / reference)
            owner = self._owner(reference)
            if owner and (self.root / owner).is_dir():
                return ContainerFolder(self.root / owner)
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

    def rename(self, folder: ContainerFolder, config: ContainerConfig, name: str) -> None:
        """Give a container another name; ConflictError names the owner of a taken one.

        The new name first, the old one last: after a crash in between the container has both, and is found.
        """
        check_name(name)
        with self.alone():
            try:
                (self.names / name).symlink_to(folder.id)
            except FileExistsError:
                raise self._taken(name) from None
            folder.replace_config(config._replace(name=name))
            self._release_name(config.name, folder.id)

    def _is_stale(self, name: str) -> bool:
        """Whether the container of a name is gone, or has been given another."""
        folder = ContainerFolder(self.root / self._owner(name))
        try:
            return not folder.path.is_dir() or folder.config().name != name
        except NotFoundError:
            return True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody makes, renames or removes a container during a `with`."""
        lock = self._lock(fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)

    def _taken(self, name: str) -> ConflictError:
        return ConflictError(
            f"the name {name!r} is in use by container {self._owner(name)[:12]}",
            hint=f"remove it with `sandbox rm {name}`, or choose another name",
            reference="name-in-use",
        )

    def _release_name(self, name: str, identifier: str) -> None:
        """Give a name back if it is still this container's."""
        if name and self._owner(name) == identifier:
            (self.names / name).unlink(missing_ok=True)

    def free_stale_names(self) -> list[str]:
        """Free the names whose container is gone; which they were."""
        try:
            lock = self._lock(fcntl.LOCK_EX)  # no name is there whose container is still being made
        except FileNotFoundError:
            return []
        try:
            stale = [name for name in os.listdir(self.names) if self._is_stale(name)]
            for name in stale:
                (self.names / name).unlink(missing_ok=True)
            return stale
        except FileNotFoundError:
            return []
        finally:
            os.close(lock)

    def _lock(self, operation: int) -> int:
        """Lock the folder of all containers: shared to make one, alone to be sure that nobody does."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, operation)
        return descriptor

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
