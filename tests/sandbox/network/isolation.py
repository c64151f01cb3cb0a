"""Containers that are only network namespaces, and a host of their own to connect them on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, TypeAlias

from sandbox.errors import SandboxError
from sandbox.kernel.namespaces import Flags, setns, unshare
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network import rules
from sandbox.network.interface import configure
from sandbox.network.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sandbox.network.records import Attachment, Published

Isolated: TypeAlias = "Callable[[Callable[[], object]], object]"

PORT = 7000
HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"

try:
    rules.load("", None)
    MISSING = ""
except SandboxError as problem:
    MISSING = "" if problem.reference == "nft-failed" else problem.message


class Place:
    """A network namespace, in which functions run in children of their own."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            before = os.open("/proc/self/ns/net", os.O_RDONLY)
            unshare(Flags.NEWNET)
            descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
            setns(before, Flags.NEWNET)
            os.close(before)
        self.descriptor = descriptor

    def run(self, function: Callable[[], object]) -> object:
        """What `function` gives inside."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                setns(self.descriptor, Flags.NEWNET)
                result: object = ["ok", function()]
            except BaseException as error:
                result = ["failed", repr(error)]
            os.write(writing, json.dumps(result).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            outcome, value = json.load(stream)
        os.waitpid(pid, 0)
        assert outcome == "ok", value
        return value

    @contextlib.contextmanager
    def _running(self, serve: Callable[[Callable[[], object]], object]) -> Iterator[None]:
        """A process inside that runs `serve`, from when that calls what it is given to the end of the block."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                setns(self.descriptor, Flags.NEWNET)
                serve(lambda: os.write(writing, b"x"))
            os._exit(0)
        os.read(reading, 1)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reading)
            os.close(writing)

    def answering(self, port: int = PORT) -> contextlib.AbstractContextManager[None]:
        """A UDP server inside that tells every client its address."""

        def serve(ready: Callable[[], object]) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.bind(("0.0.0.0", port))  # noqa: S104
                ready()
                while True:
                    _, peer = server.recvfrom(100)
                    server.sendto(peer[0].encode(), peer)

        return self._running(serve)

    def misses(self, address: str, port: int = PORT) -> bool:
        """Whether nobody answers there. Who would is on this machine, and does so at once."""
        return self.asks(address, port, patience=0.4) == "no"

    def asks_by_udp(self, address: str, port: int = PORT, *, patience: float = 10.0) -> object:
        """The same as `asks`, by a datagram."""

        def ask() -> str:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(patience)
                try:
                    client.sendto(b"?", (address, port))
                    return client.recv(100).decode()
                except OSError:
                    return "no"

        return self.run(ask)

    def serving(self) -> contextlib.AbstractContextManager[None]:
        """A server inside that tells every client its address."""

        def serve(ready: Callable[[], object]) -> None:
            both = {"family": socket.AF_INET6, "dualstack_ipv6": True} if socket.has_dualstack_ipv6() else {}
            with socket.create_server(("", PORT), **both) as server:  # type: ignore[arg-type]
                ready()
                while True:
                    connection, (address, *_) = server.accept()
                    connection.sendall(address.removeprefix("::ffff:").encode())
                    connection.close()

        return self._running(serve)

    def asks(self, address: str, port: int = PORT, *, patience: float = 10.0) -> object:
        """Under which address the server at `address` sees who asks from inside; "no" when it is not reached for
        `patience` seconds.
        """

        def ask() -> str:
            try:
                with socket.create_connection((address, port), timeout=patience) as connection:
                    return connection.recv(100).decode()
            except OSError:
                return "no"

        return self.run(ask)


class Host:
    """The namespace that a test runs in, with an uplink of MTU 1400 to the outside, and its engine."""

    def __init__(self, home: Path) -> None:
        self.place = Place(os.open("/proc/self/ns/net", os.O_RDONLY))
        self.outside = Place()
        with Netlink() as netlink:
            netlink.add_veth("up0", "eth0", peer_namespace_fd=self.outside.descriptor, mtu=1400)
            netlink.add_address(index_of("up0"), f"{HOST}/24")
            netlink.add_route(OUTSIDE, "default", index_of("up0"))
        self.outside.run(self._set_up_outside)
        self.networks = Networks(home / "networks", prefix="t")

    @staticmethod
    def _set_up_outside() -> None:
        with Netlink() as netlink:
            netlink.add_address(index_of("eth0"), f"{OUTSIDE}/24")
            netlink.set_link("eth0", up=True)
            netlink.add_route(HOST, "10.80.0.0/13", index_of("eth0"))  # a neighbour who knows the way to containers

    def container(
        self, name: str, *networks: str, ports: Sequence[Published] = ()
    ) -> tuple[Place, tuple[Attachment, ...]]:
        """A namespace that is connected to `networks` and set up, with `ports` published."""
        place = Place()
        attachments = tuple(
            self.networks.reserve(network, name, (name,), interface=f"eth{number}", ports=ports if number == 0 else ())
            for number, network in enumerate(networks)
        )
        for attachment in attachments:
            self.networks.connect(attachment, place.descriptor)
        place.run(lambda: configure(attachments))
        return place, attachments


def nft(*arguments: str) -> str:
    """The output of nft."""
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "nft"
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=30).stdout


def bridges() -> list[str]:
    """The names of the bridges here."""
    with Netlink() as netlink:
        return sorted(link.name for link in netlink.links() if link.kind == "bridge")
