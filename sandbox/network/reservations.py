"""Who has which address in a network: one file per address, made with O_EXCL, so that no address is ever given twice.

Called by `networks` with the network's lock held (`open_reservations`). `addresses/<address>` holds the attachment as
JSON; `containers/<id>` is a link whose text is that file's name, to find a container's place without reading
everybody's. A container that shares the host's network has the file `addresses/host-<id>`. An empty or broken file was
left by a process killed while making it, and is nobody's.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, NotFoundError, SandboxError
from sandbox.kernel import files
from sandbox.network import address
from sandbox.network.address import IPV6
from sandbox.network.records import Attachment
from sandbox.network.store import locked, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from sandbox.network.records import Network

_CURSOR = 16  # bytes: the last address given, in the lock file


@contextlib.contextmanager
def open_reservations(folder: str, name: str) -> Iterator[Reservations]:
    """The reservations of the network in `folder`, under its lock. Raises `NotFoundError` when it is or was just
    removed.
    """
    try:
        with locked(f"{folder}/lock") as lock:
            if os.fstat(lock).st_nlink == 0:  # removed while we waited
                raise FileNotFoundError
            yield Reservations(folder, lock)
    except FileNotFoundError as error:
        if os.path.exists(f"{folder}/network.json"):  # noqa: PTH110 - not the network, then
            raise
        raise NotFoundError(f"no such network: {name}", hint="see `sandbox network ls`") from error


def nobody_in(folder: str) -> bool:
    """Whether no address of the network in `folder` is given; looked at without the lock."""
    try:
        return not os.listdir(f"{folder}/addresses")  # noqa: PTH208 - pathlib's objects cost more than the listing
    except FileNotFoundError:
        return False


def read_all(folder: str) -> list[Attachment]:
    """Everybody in the network in `folder`, read without the lock: one who comes or goes meanwhile may be missing."""
    try:
        return Reservations(folder, -1).all()
    except FileNotFoundError:
        return []


class Reservations:
    """The addresses of one network while its lock is held."""

    def __init__(self, folder: str, lock: int) -> None:
        self._addresses = f"{folder}/addresses"
        self._containers = f"{folder}/containers"
        self._lock = lock

    def all(self) -> list[Attachment]:
        """Everybody, by address."""
        found = []
        for key in self._keys():
            attachment = self._read(key)
            if attachment is not None:
                found.append(attachment)
        return by_address(found)

    def of(self, container: str) -> Attachment | None:
        """The place of `container`."""
        try:
            return self._read(os.readlink(f"{self._containers}/{container}"))  # noqa: PTH115
        except FileNotFoundError:
            return None

    def choose(self, network: Network, wanted: str = "") -> int:
        """A free address, the one behind the last one given if it can be: a neighbour's cache still knows the older
        ones.

        Raises `ConflictError` for a `wanted` one that is taken, `InvalidError` for one outside, `SandboxError` when all
        are taken.
        """
        subnet = address.parse_subnet(network.subnet)
        gateway = address.parse(network.gateway)
        taken = {address.parse(key) for key in self._keys() if not key.startswith("host-")}
        if wanted:
            return _grant(network, subnet, gateway, wanted, taken)
        first, size = subnet.address, subnet.size
        if network.ip_range:
            within = address.parse_subnet(network.ip_range, longest=32)
            first, size = within.address, within.size
        last = os.pread(self._lock, _CURSOR, 0).decode("ascii", "replace").strip()
        start = int(last) + 1 if last.isdigit() else first
        for step in range(size):
            number = first + (start + step - first) % size
            if subnet.holds(number) and number != gateway and number not in taken:
                os.pwrite(self._lock, f"{number:<{_CURSOR}}".encode(), 0)
                return number
        raise SandboxError(
            f"network {network.name} has no free address left",
            hint=f"{network.ip_range or network.subnet} is full; remove containers",
        )

    def add(self, attachment: Attachment) -> None:
        """Keep `attachment`. Raises `ConflictError` when the container is in the network already."""
        key = _key(attachment)
        try:
            os.symlink(key, f"{self._containers}/{attachment.container}")  # noqa: PTH211
        except FileExistsError:
            present = self.of(attachment.container)
            if present is not None and present.container == attachment.container:
                raise ConflictError(
                    f"container {attachment.container} is in network {attachment.network} already"
                ) from None
            os.unlink(f"{self._containers}/{attachment.container}")  # noqa: PTH108 - left by a killed process
            os.symlink(key, f"{self._containers}/{attachment.container}")  # noqa: PTH211
        path = f"{self._addresses}/{key}"
        if attachment.shared:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108
        files.create(path, attachment.to_json(), 0o600, new=True)

    def replace(self, attachment: Attachment) -> None:
        """Keep a changed attachment in place of the one at its address."""
        half = f"{os.path.dirname(self._addresses)}/.new-{os.urandom(8).hex()}"  # noqa: PTH120
        files.create(half, attachment.to_json(), 0o600, new=True)
        os.rename(half, f"{self._addresses}/{_key(attachment)}")  # noqa: PTH104

    def free(self, container: str) -> bool:
        """Give the place of `container` back; whether it had one."""
        try:
            key = os.readlink(f"{self._containers}/{container}")  # noqa: PTH115
        except FileNotFoundError:
            return False
        attachment = self._read(key)
        if attachment is None or attachment.container == container:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._addresses}/{key}")  # noqa: PTH108
        os.unlink(f"{self._containers}/{container}")  # noqa: PTH108
        return True

    def reclaim(self, alive: Callable[[str], bool]) -> bool:
        """Give back what belongs to containers that `alive` denies, and half-made files; whether there were any."""
        changed = False
        for key in self._keys():
            attachment = self._read(key)
            if attachment is None or not alive(attachment.container):
                os.unlink(f"{self._addresses}/{key}")  # noqa: PTH108
                changed = True
        for container in os.listdir(self._containers):  # noqa: PTH208
            if self.of(container) is None:
                os.unlink(f"{self._containers}/{container}")  # noqa: PTH108
        return changed

    def _keys(self) -> list[str]:
        return os.listdir(self._addresses)  # noqa: PTH208 - pathlib's objects cost more than the listing

    def _read(self, key: str) -> Attachment | None:
        text = read_text(f"{self._addresses}/{key}")
        if not text:
            return None
        try:
            return Attachment.from_json(text)
        except (ValueError, TypeError):
            return None


def with_ipv6(attachment: Attachment, network: Network, everyone: Iterable[Attachment], wanted: str) -> Attachment:
    """The attachment with its IPv6 address, in a network that has them. Raises `ConflictError` for a `wanted` one that
    is taken, `InvalidError` for one that cannot be.
    """
    if not network.subnet6:
        if wanted:
            raise InvalidError(f"network {network.name} has no IPv6 addresses", hint="make one with --ipv6")
        return attachment
    from sandbox.network import address6  # noqa: PLC0415  (few networks have it)

    subnet = address.parse_subnet(network.subnet6, IPV6)
    gateway = IPV6.parse(network.gateway6)
    taken = {IPV6.parse(one.address6) for one in everyone if one.address6}
    if wanted:
        number = _grant(network, subnet, gateway, wanted, taken)
    else:
        offset = address.parse(attachment.address) - address.parse_subnet(network.subnet).address
        number = address6.choose(subnet, offset, taken | {gateway})
    return attachment._replace(
        address6=IPV6.text(number),
        length6=subnet.length,
        gateway6="" if network.internal else network.gateway6,
    )


def _grant(network: Network, subnet: address.Subnet, gateway: int, wanted: str, taken: Container[int]) -> int:
    """The number of an address that somebody asks for by name. Raises as `Reservations.choose`."""
    number = subnet.family.parse(wanted)
    if not subnet.holds(number) or number == gateway:
        raise InvalidError(f"{wanted} is no address for a container in {subnet}")
    if number in taken:
        raise ConflictError(f"address {wanted} of network {network.name} is in use")
    return number


def by_address(attachments: Iterable[Attachment]) -> list[Attachment]:
    """In the order in which they are listed everywhere; those on the host's network last."""
    return sorted(attachments, key=lambda one: (one.shared, address.parse(one.address), one.container))


def _key(attachment: Attachment) -> str:
    return f"host-{attachment.container}" if attachment.shared else attachment.address
