"""The ranges of the host's ids that are given to containers, one each, or one to several that share.

Called by the runtime: by who starts a container, by who has namespaces ready for one, by `reclaim`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
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
    """Which of the host's id ranges belong to whom: symbolic links `directory/<n>` -> owner, mostly a container's id;
    several with blanks between.

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
                    if owner not in _owners(folder, number):
                        continue
                return range_map(number)
        finally:
            os.close(folder)
        raise SandboxError(
            f"all {RANGES} id ranges in {self._directory} are taken", hint="remove containers", reference="no-free-ids"
        )

    def share(self, ids: IdMap, owner: str) -> None:
        """Let somebody else have the range of `ids` as well, until both have given it back. Raises `SandboxError` where
        nobody has it any more.
        """
        number = _number(ids)
        with self._locked() as folder:
            before = _owners(folder, number)
            if not before:
                raise SandboxError("the ids that were to be shared have been given back", reference="no-such-ids")
            _set_owners(folder, number, tuple(dict.fromkeys((*before, owner))))

    def is_shared(self, ids: IdMap) -> bool:
        """Whether somebody besides has the range of `ids`, which the caller has."""
        return " " in os.readlink(self._directory / str(_number(ids)))

    def release(self, owner: str) -> None:
        """Give `owner`'s range back; nothing happens when it has none."""
        with self._locked() as folder:
            number = next(_probes(owner))
            if owner not in _owners(folder, number):  # another had that number, or shares it
                mine = (taken for taken in _taken(folder) if owner in _owners(folder, taken))
                number = next(mine, -1)
            if number >= 0:
                _set_owners(folder, number, tuple(one for one in _owners(folder, number) if one != owner))

    def owners(self) -> frozenset[str]:
        """Everybody who has a range."""
        try:
            folder = self._open(make=False)
        except FileNotFoundError:
            return frozenset()
        try:
            return frozenset(owner for number in _taken(folder) for owner in _owners(folder, number))
        finally:
            os.close(folder)

    def reclaim(self, alive: Callable[[str], bool]) -> tuple[str, ...]:
        """Give back the ranges of all owners that are not alive; their names."""
        with self._locked() as folder:
            taken = [(number, _owners(folder, number)) for number in _taken(folder)]
            for name in os.listdir(folder):
                if name.startswith("."):
                    os.unlink(name, dir_fd=folder)
        # asked without the lock: `alive` may take locks of its own
        dead = {owner for _, owners in taken for owner in owners if not alive(owner)}
        if not dead:
            return ()
        with self._locked() as folder:
            for number, _ in taken:
                owners = _owners(folder, number)
                if not dead.isdisjoint(owners):
                    _set_owners(folder, number, tuple(owner for owner in owners if owner not in dead))
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


def map_from(first: int) -> IdMap:
    """The map of the range that begins with the host's id `first`."""
    return range_map((first - FIRST_HOST_ID) // RANGE_SIZE)


def _number(ids: IdMap) -> int:
    return (ids.uids[0].host - FIRST_HOST_ID) // RANGE_SIZE


def _probes(owner: str) -> Iterator[int]:
    """All numbers, first the one that the owner's name falls on: containers that start at once do not meet, and giving
    a range back finds it in one step."""
    start = int.from_bytes(owner.encode(), "big") % (RANGES - 5)  # a prime, lest only the last letters count
    for step in range(RANGES):
        yield (start + step) % RANGES


def _taken(folder: int) -> list[int]:
    with os.scandir(folder) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def _owners(folder: int, number: int) -> tuple[str, ...]:
    try:
        return tuple(os.readlink(str(number), dir_fd=folder).split(" "))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return ()
        raise


def _set_owners(folder: int, number: int, owners: tuple[str, ...]) -> None:
    """In one step; the caller has the lock."""
    if not owners:
        os.unlink(str(number), dir_fd=folder)
        return
    part = f".{number}"
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)  # of one that was killed here
    os.symlink(" ".join(owners), part, dir_fd=folder)
    os.rename(part, str(number), src_dir_fd=folder, dst_dir_fd=folder)
