"""The networks of one engine as folders: `<name>/network.json`, `<name>/addresses/`, `<name>/containers/`.

Called by `networks`. One lock for the set of networks and one per network, flocks that the kernel gives back when a
process dies; when both are needed, that of the set comes first. A folder appears and goes by one rename, so a killed
process leaves a whole network, none, or a dotted leftover that `sweep` removes. Nobody waits for the disk: a power loss
may leave the folder of a network that was just made with an empty record, which counts for none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, NotFoundError
from sandbox.kernel import files
from sandbox.network.records import Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST_NAME = 128
_RECORD = "network.json"


def check_name(name: str) -> None:
    """Raise `InvalidError` for a name that is none: letters, digits, and after the first also `_`, `.` and `-`."""
    plain = name.isascii() and len(name) <= _LARGEST_NAME
    if not (plain and name[:1].isalnum() and all(char.isalnum() or char in "_.-" for char in name)):
        raise InvalidError(
            f"invalid network name: {name!r}",
            hint="use letters, digits, '_', '.' and '-', beginning with a letter or digit",
        )


@contextlib.contextmanager
def locked(path: str) -> Iterator[int]:
    """Hold the flock of the file `path`, which is made when missing; gives its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def host_locked() -> Iterator[None]:
    """Hold the lock that all engines of this network namespace share: bridges and subnets are the host's, not a
    folder's.

    The flock is on the namespace itself, which leaves no file behind.
    """
    descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_text(path: str) -> str | None:
    """The text of a small file; `None` when it is missing."""
    try:
        return files.read(path).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None


class Store:
    """The folder of all networks."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)

    def folder(self, name: str) -> str:
        """Where the network `name` is kept, whether it exists or not."""
        check_name(name)
        return f"{self.root}/{name}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the set of networks as it is."""
        os.makedirs(self.root, 0o700, exist_ok=True)  # noqa: PTH103 - pathlib's costs more, and this is on every path
        with locked(f"{self.root}/.lock"):
            yield

    def names(self) -> list[str]:
        """The names of all networks, sorted."""
        try:
            return sorted(name for name in os.listdir(self.root) if not name.startswith("."))  # noqa: PTH208 - the same
        except FileNotFoundError:
            return []

    def find(self, name: str) -> Network | None:
        """The record of `name`; `None` when there is no such network, or when a power loss has emptied it."""
        text = read_text(f"{self.folder(name)}/{_RECORD}")
        return Network.from_json(text) if text and text.strip("\0") else None

    def get(self, name: str) -> Network:
        """The record of `name`. Raises `NotFoundError`."""
        found = self.find(name)
        if found is None:
            raise NotFoundError(f"no such network: {name}", hint="see `sandbox network ls`")
        return found

    def all(self) -> tuple[Network, ...]:
        """All records, by name."""
        found = (self.find(name) for name in self.names())
        return tuple(network for network in found if network is not None)

    def add(self, network: Network) -> None:
        """Keep a new network. The caller holds the lock and knows that the name is free."""
        half = f"{self.root}/.new-{os.urandom(8).hex()}"
        for directory in (half, f"{half}/addresses", f"{half}/containers"):
            os.mkdir(directory, 0o700)  # noqa: PTH102
        files.create(f"{half}/{_RECORD}", network.to_json(), 0o600, new=True)
        folder = self.folder(network.name)
        if os.path.isdir(folder):  # noqa: PTH112
            self.discard(network.name)  # one that is lost
        os.rename(half, folder)  # noqa: PTH104

    def replace(self, network: Network) -> None:
        """Change the record of a network that stays where it is. The caller holds both locks."""
        folder = self.folder(network.name)
        half = f"{folder}/.new-{os.urandom(8).hex()}"
        files.create(half, network.to_json(), 0o600, new=True)
        os.rename(half, f"{folder}/{_RECORD}")  # noqa: PTH104

    def discard(self, name: str) -> None:
        """Forget a network. The caller holds both locks."""
        gone = f"{self.root}/.old-{os.urandom(8).hex()}"
        os.rename(self.folder(name), gone)  # noqa: PTH104
        _remove(gone)

    def sweep(self) -> None:
        """Remove what killed processes left half-made, and networks that are lost. The caller holds the lock."""
        with os.scandir(self.root) as entries:
            left = [entry.path for entry in entries if entry.name.startswith((".new-", ".old-"))]
        for path in left:
            _remove(path)
        for name in self.names():
            if self.find(name) is None:
                self.discard(name)


def _remove(path: str) -> None:
    """A folder with what this module puts in it: files, links and one level of folders."""
    with os.scandir(path) as entries:
        inside = list(entries)
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            _remove(entry.path)
        else:
            os.unlink(entry.path)  # noqa: PTH108
    os.rmdir(path)  # noqa: PTH106
