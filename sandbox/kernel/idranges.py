"""The ranges of the host's ids that are given to containers, one each.

Called by the runtime: by who starts a container, by who has namespaces ready for one, by `reclaim`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.kernel.idmap import IdMap, IdRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIRST_HOST_ID = 1_879_048_192  # above what distributions give to users (subuid(5)) and to systemd's nspawn, below 2**31
RANGE_SIZE = 65_536
RANGES = 4_096


class IdRanges:
    """Which of the host's id ranges belong to whom: symbolic links `directory/<n>` -> owner, mostly a container's id.

    A link is made together with its content or not at all, so that no crash leaves a range whose owner is unknown. Any
    number of processes may use the folder at once.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def allocate(self, owner: str) -> IdMap:
        """A range for `owner` and its map. An owner that has one gets it again.

        The owner must count as alive for `reclaim` before this is called. Raises `SandboxError` when all are taken.
        """
        folder = self._open(make=True)
        try:
            for number in _probes(owner):
                try:
                    os.symlink(owner, str(number), dir_fd=folder)
                except FileExistsError:
                    if _owner(folder, number) != owner:
                        continue
                return range_map(number)
        finally:
            os.close(folder)
        raise SandboxError(
            f"all {RANGES} id ranges in {self._directory} are taken", hint="remove containers", reference="no-free-ids"
        )

    def release(self, owner: str) -> None:
        """Give `owner`'s range back; nothing happens when it has none."""
        with self._locked() as folder:
            number = next(_probes(owner))
            if _owner(folder, number) != owner:  # another had that number
                mine = (taken for taken in _taken(folder) if _owner(folder, taken) == owner)
                number = next(mine, -1)
            if number >= 0:
                os.unlink(str(number), dir_fd=folder)

    def owners(self) -> frozenset[str]:
        """Everybody who has a range."""
        try:
            folder = self._open(make=False)
        except FileNotFoundError:
            return frozenset()
        try:
            return frozenset(owner for number in _taken(folder) if (owner := _owner(folder, number)) is not None)
        finally:
            os.close(folder)

    def reclaim(self, alive: Callable[[str], bool]) -> tuple[str, ...]:
        """Give back the ranges of all owners that are not alive; their names."""
        with self._locked() as folder:
            taken = [(number, _owner(folder, number)) for number in _taken(folder)]
        # asked without the lock: `alive` may take locks of its own
        dead = {owner for _, owner in taken if owner is not None and not alive(owner)}
        if not dead:
            return ()
        with self._locked() as folder:
            for number, _ in taken:
                if _owner(folder, number) in dead:
                    os.unlink(str(number), dir_fd=folder)
        return tuple(sorted(dead))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The folder, with the lock under which links are removed.

        Looking whose a range is and unlinking it must be one step: else the second of two who give the same range back
        could take it from the owner that got it in between. Allocation needs no lock, as it only ever adds.
        """
        folder = self._open(make=True)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    def _open(self, *, make: bool) -> int:
        try:
            return os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not make:
                raise
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._open(make=False)


def range_map(number: int) -> IdMap:
    """The map of range `number`: the same for users and groups."""
    extents = (IdRange(0, FIRST_HOST_ID + number * RANGE_SIZE, RANGE_SIZE),)
    return IdMap(extents, extents)


def _probes(owner: str) -> Iterator[int]:
    """All numbers, first the one that the owner's name falls on: containers that start at once do not meet, and giving
    a range back finds it in one step."""
    start = int.from_bytes(owner.encode(), "big") % (RANGES - 5)  # a prime, lest only the last letters count
    for step in range(RANGES):
        yield (start + step) % RANGES


def _taken(folder: int) -> list[int]:
    with os.scandir(folder) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def _owner(folder: int, number: int) -> str | None:
    try:
        return os.readlink(str(number), dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise
