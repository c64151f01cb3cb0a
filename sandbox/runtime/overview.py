"""What there is below a `$HAKO_HOME`, without asking any supervisor: the engine's looking half.

`Engine` adds what changes something. Everything here reads files that appear whole, so it needs no lock.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, NotFoundError
from sandbox.image.store import ImageStore
from sandbox.runtime import creation, events, log
from sandbox.runtime.spec import LogDriver
from sandbox.runtime.state import ContainerFolder, Containers, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.image.tree import Tree
    from sandbox.network.networks import Networks
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.layers import Change
    from sandbox.runtime.state import State
    from sandbox.runtime.volumes import Volumes


def default_home(environment: dict[str, str] | None = None) -> Path:
    """`$HAKO_HOME`, or /var/lib/hako for root and ~/.local/share/hako for others (by the id on the host)."""
    values = os.environ if environment is None else environment
    if values.get("HAKO_HOME"):
        return Path(values["HAKO_HOME"]).absolute()
    if _host_uid() == 0:
        return Path("/var/lib/hako")
    data = values.get("XDG_DATA_HOME") or os.path.join(values.get("HOME", "/"), ".local/share")
    return Path(data) / "hako"


def _host_uid() -> int:
    """Who we are outside: in a namespace that become_root made, root is an ordinary user of the host."""
    if os.geteuid() != 0:
        return os.geteuid()
    with open("/proc/self/uid_map", "rb") as file:
        return int(file.readline().split()[1])


class Overview:
    """Containers, images, networks and volumes below `home`, which is made where missing."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.images = ImageStore(self.home, functools.partial(events.record, self.home, "image"))
        self._containers = Containers(self.home / "containers")
        self._networks: Networks | None = None

    @property
    def networks(self) -> Networks:
        """The networks of this home."""
        if self._networks is None:
            from sandbox.network.networks import Networks  # noqa: PLC0415  (a run without a network does not need it here)

            tell = functools.partial(events.record, self.home, "network")
            self._networks = Networks(self.home / "networks", notify=tell)
        return self._networks

    def containers(self, *, all: bool = False) -> list[tuple[ContainerConfig, State]]:
        """Running containers, or all; the youngest first."""
        found = []
        for folder in self._containers:
            try:
                state = self.state(folder)
                if all or state.status is Status.RUNNING:
                    found.append((folder.config(), state))
            except NotFoundError:
                continue  # removed in the meantime
        return sorted(found, key=lambda entry: entry[0].created, reverse=True)

    def config(self, reference: str) -> ContainerConfig:
        """What a container was created as."""
        return self._containers.find(reference).config()

    def state(self, reference: str | ContainerFolder) -> State:
        """Its state, with "running" checked against its supervisor's lock."""
        folder = reference if isinstance(reference, ContainerFolder) else self._containers.find(reference)
        state = folder.state()
        if state.status is Status.RUNNING and not folder.is_running():
            from sandbox.runtime.reclaim import lost  # noqa: PLC0415  (a rare case)

            state = folder.state()
            return lost(state) if state.status is Status.RUNNING else state
        return state

    def inspect(self, reference: str) -> dict[str, Any]:
        """Everything about it, in docker's shape."""
        from sandbox.runtime.inspect import describe  # noqa: PLC0415  (only `inspect` needs it)

        folder = self._containers.find(reference)
        return describe(folder.config(), self.state(folder), folder.path)

    def changes(self, reference: str) -> Iterator[Change]:
        """What its files differ in from its image's."""
        from sandbox.runtime.layers import diff  # noqa: PLC0415  (seldom)

        folder = self._containers.find(reference)
        return diff(self.images, folder.config(), folder.path / "upper")

    def export(self, reference: str) -> Tree:
        """All its files; what is mounted in it does not belong to it."""
        from sandbox.runtime.layers import export  # noqa: PLC0415  (seldom)

        folder = self._containers.find(reference)
        return export(self.images, folder.config(), folder.path / "upper")

    def logs(
        self,
        reference: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> Iterator[log.Record]:
        """What it has printed; with `follow` until it ends, with `tail` only the last lines; between two moments in
        nanoseconds since the epoch.
        """
        for record in self._records(reference, follow=follow, tail=tail):
            if until is not None and record.time > until:
                return
            if since is None or record.time >= since:
                yield record

    def _records(self, reference: str, *, follow: bool, tail: int | None) -> Iterator[log.Record]:
        folder = self._containers.find(reference)
        made = folder.config()
        if made.spec.log_driver is LogDriver.NONE:
            raise ConflictError(
                f"container {made.name} keeps no output", hint="it was made without a log", reference="no-log"
            )
        path = folder.path / "log"
        following = folder.is_running if follow else None
        if tail is None:
            yield from log.read(path, follow=following)
            return
        kept, reader = log.tail(path, tail)
        yield from kept
        if following is not None:
            yield from log.read(path, reader=reader, follow=following)

    @property
    def volumes(self) -> Volumes:
        """The volumes of this home."""
        from sandbox.runtime.volumes import Volumes  # noqa: PLC0415  (few containers have any)

        return Volumes(self.home / "volumes")

    def uses_of_volume(self, name: str) -> tuple[str, ...]:
        """The names of the containers that mount a volume."""
        return creation.users_of_volume(self._containers, name)

    def uses_of_image(self, image_id: str) -> tuple[str, ...]:
        """The names of the containers made of an image."""
        users = []
        for folder in self._containers:
            try:
                made = folder.config()
            except NotFoundError:
                continue
            if made.image_id == image_id:
                users.append(made.name)
        return tuple(users)

    @staticmethod
    def _name_of(folder: ContainerFolder) -> str:
        try:
            return folder.config().name
        except NotFoundError:
            return ""
