"""The network of an ordinary user's container: its way out, its ports, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ConflictError, SandboxError
from sandbox.kernel.namespaces import Flags, unshare
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network import uplink
from sandbox.network.records import Published
from tests.sandbox.network.isolation import PORT, Place

if TYPE_CHECKING:
    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(not uplink.find(), reason="slirp4netns is not installed, or /dev/net/tun not usable")
HOST = "198.51.100.1"


class Inside:
    """A network namespace in a user namespace of its own, held by a process."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            unshare(Flags.NEWUSER | Flags.NEWNET)
            os.write(writing, b"x")
            signal.pause()
        os.read(reading, 1)
        Path(f"/proc/{self.pid}/uid_map").write_text("0 100000 1000")
        Path(f"/proc/{self.pid}/gid_map").write_text("0 100000 1000")
        self.network = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        self.user = os.open(f"/proc/{self.pid}/ns/user", os.O_RDONLY)
        self.place = Place(self.network)

    def end(self) -> None:
        """Take the process away."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def host_address() -> None:
    """Give the host an address besides its loopback one."""
    with Netlink() as netlink:
        netlink.add_bridge("up0")
        netlink.add_address(index_of("up0"), f"{HOST}/24")
        netlink.set_link("up0", up=True)


def reached(address: str, port: int) -> bool:
    """Whether somebody answers there, in the caller's namespace."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=2) as connection:
        connection.settimeout(2)
        return bool(connection.recv(100))
    return False


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.root
def test_a_way_out_and_in(tmp_path: Path, isolated: Isolated) -> None:
    """The host's addresses are reached, its loopback is not; published ports lead in, and go with it."""

    def body() -> None:
        host_address()
        inside = Inside()
        ports = (Published("tcp", "127.0.0.1", 8080, PORT), Published("tcp", "", 8081, PORT))
        link = uplink.start(uplink.find(), inside.network, inside.user, str(tmp_path), ports)
        assert list(tmp_path.iterdir()) == []
        here = Place(os.open("/proc/self/ns/net", os.O_RDONLY))
        with here.serving():
            assert inside.place.asks(HOST) == HOST
            assert inside.place.misses(uplink.GATEWAY)
        with inside.place.serving():
            assert reached("127.0.0.1", 8080)
            assert not reached(HOST, 8080)
            assert reached(HOST, 8081)
        link.close()
        assert not running(link.pid)
        with socket.create_server(("", 8081)):
            pass
        inside.end()

    isolated(body)


@pytest.mark.root
def test_it_ends_with_its_supervisor(tmp_path: Path, isolated: Isolated) -> None:
    """Also when that is killed."""

    def body() -> None:
        inside = Inside()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            link = uplink.start(uplink.find(), inside.network, inside.user, str(tmp_path), ())
            os.write(writing, str(link.pid).encode())
            signal.pause()
        helper = int(os.read(reading, 20))
        assert running(helper)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + 10
        while running(helper):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        inside.end()

    isolated(body)


@pytest.mark.root
def test_what_cannot_be_started_says_why(tmp_path: Path, isolated: Isolated) -> None:
    """A port that is taken, and a program that fails; nothing stays."""

    def body() -> None:
        inside = Inside()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with socket.create_server(("127.0.0.1", 8080)), pytest.raises(ConflictError, match="bind for"):
            ports = (Published("tcp", "127.0.0.1", 8080, PORT),)
            uplink.start(uplink.find(), inside.network, inside.user, str(tmp_path), ports)
        with pytest.raises(SandboxError, match="cannot connect the container"):
            uplink.start("/bin/false", inside.network, inside.user, str(tmp_path), ())
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        inside.end()

    isolated(body)
