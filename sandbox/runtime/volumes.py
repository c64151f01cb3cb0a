"""Volumes: directories below `$HAKO_HOME/volumes` that outlive the containers they are mounted in.

`volumes/<name>/data` is what a container sees, `volume.json` beside it what is known of it; a folder without one is a
plain volume. A volume without a name (`-v /path`, an image's VOLUME) has 64 hexadecimal digits for one and goes with
its container, if that is removed with its volumes and nobody else mounts it. The folder of all volumes is locked:
shared by who makes a container that mounts some, alone by who removes one, so that none goes between the two.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.kernel import paths
from sandbox.records import NamedTuple
from sandbox.runtime import events
from sandbox.runtime.spec import Mount, MountKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_NAME_LENGTH = 200


class Volume(NamedTuple):
    """`path` is the directory that containers see; `created` in seconds since the epoch."""

    name: str
    path: Path
    created: float
    labels: Mapping[str, str] = MappingProxyType({})
    anonymous: bool = False


class Volumes:
    """All volumes of a home."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, name: str, labels: Mapping[str, str] | None = None, *, anonymous: bool = False) -> Volume:
        """The volume of that name, made where there is none; what was there stays as it is. Raises InvalidError."""
        check_name(name)
        folder = self.root / name
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        if not (folder / "data").is_dir():
            part = folder / f".{os.getpid()}.part"
            record = {"created": time.time(), "labels": dict(labels or {}), "anonymous": anonymous}
            part.write_text(json.dumps(record))
            part.rename(folder / "volume.json")
            (folder / "data").mkdir(mode=0o755, exist_ok=True)  # the last: from here on it is a volume
            events.record(self.root.parent, "volume", "create", name, {"driver": "local"})
        return self.get(name)

    def get(self, name: str) -> Volume:
        """The volume of that name, or NotFoundError."""
        folder = self.root / name
        if name and "/" not in name and name[0] != "." and (folder / "data").is_dir():
            return Volume(name=name, path=folder / "data", **self._record(folder))
        raise NotFoundError(
            f"no such volume: {name}", hint="`sandbox volume ls` lists them", reference="no-such-volume"
        )

    def list(self) -> list[Volume]:
        """All of them by name."""
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            with contextlib.suppress(NotFoundError):  # half-made, or just removed
                found.append(self.get(name))
        return found

    def remove(self, name: str, users: Callable[[str], Sequence[str]]) -> None:
        """Remove a volume with all that is in it; ConflictError where `users` names containers that mount it."""
        with self._locked(fcntl.LOCK_EX):
            self.get(name)
            using = users(name)
            if using:
                raise ConflictError(
                    f"volume {name} is in use by {', '.join(using)}",
                    hint="remove the container first: `sandbox rm`",
                    reference="volume-in-use",
                )
            paths.remove_path(self.root / name)
        events.record(self.root.parent, "volume", "destroy", name, {"driver": "local"})

    def hold(self) -> contextlib.AbstractContextManager[None]:
        """No volume is removed during a `with`."""
        return self._locked(fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _locked(self, operation: int) -> Iterator[None]:
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, operation)
            yield
        finally:
            os.close(descriptor)

    @staticmethod
    def _record(folder: Path) -> dict[str, Any]:
        try:
            data = json.loads((folder / "volume.json").read_bytes())
            return {name: data[name] for name in ("created", "labels", "anonymous")}
        except (OSError, ValueError, KeyError):
            return {"created": folder.stat().st_mtime}


def check_name(name: str) -> None:
    """Raise InvalidError unless `name` can name a volume."""
    if not name or name[0] in "_.-" or not _NAME_CHARACTERS.issuperset(name) or len(name) > _NAME_LENGTH:
        raise InvalidError(
            f"volume name {name[:80]!r} is not valid",
            hint=f"use up to {_NAME_LENGTH} letters, digits, _ . and -, beginning with a letter or digit",
        )


def named(mounts: Sequence[Mount], of_image: Sequence[str], name: Callable[[], str]) -> tuple[Mount, ...]:
    """The mounts of a container with every volume named: those the image wants (VOLUME) and nobody mounted something
    at, and those given without a name, get one from `name`.
    """
    taken = {mount.target.rstrip("/") for mount in mounts}
    wanted = [path for path in of_image if path.startswith("/") and path.rstrip("/") not in taken | {""}]
    added = [Mount(kind=MountKind.VOLUME, target=path) for path in dict.fromkeys(wanted)]
    return tuple(
        mount._replace(source=name(), anonymous=True) if mount.kind is MountKind.VOLUME and not mount.source else mount
        for mount in (*mounts, *added)
    )


def remove_anonymous(volumes: Volumes, mounts: Sequence[Mount], users: Callable[[str], Sequence[str]]) -> None:
    """Remove the volumes without a name of a container that goes, unless others (by `users`) mount them."""
    for mount in mounts:
        if mount.anonymous:
            with contextlib.suppress(ConflictError, NotFoundError):
                volumes.remove(mount.source, users)
