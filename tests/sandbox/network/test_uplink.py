"""The way out of an ordinary user's networks: what is reached by it, and its end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network import uplink
from tests.sandbox.network.isolation import Place

if TYPE_CHECKING:
    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(not uplink.find(), reason="slirp4netns is not installed, or /dev/net/tun not usable")
HOST = "198.51.100.1"
GATEWAY = "10.0.2.2"


def host_address() -> None:
    """Give the host an address besides its loopback one."""
    with Netlink() as netlink:
        netlink.add_bridge("up0")
        netlink.add_address(index_of("up0"), f"{HOST}/24")
        netlink.set_link("up0", up=True)


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_end(pid: int) -> None:
    """Until it is gone."""
    deadline = time.monotonic() + 30
    while running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.root
def test_a_way_out(isolated: Isolated) -> None:
    """The host's addresses are reached, its loopback is not; the end of the pipe is the way's."""

    def body() -> None:
        host_address()
        inside = Place()
        reading, writing = os.pipe()
        pid = uplink.start(uplink.find(), inside.descriptor, reading)
        os.close(reading)
        here = Place(os.open("/proc/self/ns/net", os.O_RDONLY))
        with here.serving():
            assert inside.asks(HOST) == HOST
            assert inside.misses(GATEWAY)
        os.close(writing)
        wait_for_end(pid)
        os.waitpid(pid, 0)

    isolated(body)


@pytest.mark.root
def test_it_ends_with_the_holder(isolated: Isolated) -> None:
    """Also when that is killed."""

    def body() -> None:
        inside = Place()
        reading, writing = os.pipe()
        holder = os.fork()
        if holder == 0:
            os.close(reading)
            signal.pause()
        os.close(writing)
        pid = uplink.start(uplink.find(), inside.descriptor, reading)
        os.close(reading)
        assert running(pid)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        wait_for_end(pid)
        os.waitpid(pid, 0)

    isolated(body)


@pytest.mark.root
def test_what_cannot_be_started_says_why(isolated: Isolated) -> None:
    """In one line; nothing stays."""

    def body() -> None:
        inside = Place()
        reading, writing = os.pipe()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(SandboxError, match="cannot connect the containers"):
            uplink.start("/bin/false", inside.descriptor, reading)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        os.close(writing)

    isolated(body)
