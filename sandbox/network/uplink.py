"""The way out of an ordinary user's network namespace: slirp4netns, which is a network in a process.

Called for the first container that needs one. An ordinary user may not connect his namespace to the host's; slirp4netns
opens a tap interface in it, and makes the connections that come out of there itself, as the user's, from the host's
namespace. It ends when the pipe that it is given does, however that comes about. The host's loopback addresses are not
reached through it. Source: slirp4netns(1).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError, UnsupportedError
from sandbox.kernel import files, polling
from sandbox.kernel.netlink import Netlink

if TYPE_CHECKING:
    from typing import Any

INTERFACE = "tap0"
SUBNET, RESOLVER = "10.0.2.0/24", "10.0.2.3"
_ADDRESS6, _GATEWAY6 = "fd00::100/64", "fd00::2"
_PROGRAM = "slirp4netns"
_DEVICE = "/dev/net/tun"
_MTU = 65520
_PATIENCE = 10.0  # seconds until it must have set up the interface
_READY, _EXIT, _NETWORK = 3, 4, 5  # its descriptors


def find() -> str:
    """The program, or "" where it is not installed or the user may not open tap devices."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return ""
    for directory in (*os.get_exec_path(), "/usr/bin", "/usr/local/bin"):
        path = f"{directory}/{_PROGRAM}"
        if os.access(path, os.X_OK):
            return path
    return ""


def start(program: str, network: int, lifeline: int) -> int:
    """Connect the network namespace behind a descriptor, which belongs to our user namespace, until the pipe `lifeline`
    ends; the pid. The interface is up when this returns. Raises SandboxError with what the program said,
    UnsupportedError without one.
    """
    if not program:
        raise UnsupportedError(
            "an ordinary user's networks have no way out here",
            hint="it takes slirp4netns, and /dev/net/tun open to all; internal networks do without",
            reference="no-uplink",
        )
    ready, ready_theirs = os.pipe2(os.O_CLOEXEC)
    words = os.memfd_create("words")
    options = ["--configure", f"--mtu={_MTU}", "--disable-host-loopback", "--enable-ipv6"]
    options += ["--enable-sandbox", "--enable-seccomp"]
    places = (f"--ready-fd={_READY}", f"--exit-fd={_EXIT}", "--netns-type=path")
    given = {_READY: ready_theirs, _EXIT: lifeline, _NETWORK: network, 1: words, 2: words}
    try:
        pid = _spawn(program, [_PROGRAM, *options, *places, f"/proc/self/fd/{_NETWORK}", INTERFACE], given)
        os.close(ready_theirs)
        ready_theirs = -1
        if not polling.readable(ready, _PATIENCE) or os.read(ready, 1) != b"1":
            said = os.pread(words, 4096, 0).decode("utf-8", "replace").strip().splitlines()
            raise SandboxError(
                f"slirp4netns cannot connect the containers: {said[-1] if said else 'it does not answer'}",
                hint="--network host or none does without",
                reference="uplink-failed",
            )
    finally:
        for descriptor in (ready, words, *(() if ready_theirs < 0 else (ready_theirs,))):
            os.close(descriptor)
    return pid


def configure6() -> None:
    """In the namespace: the addresses of IPv6, which the program leaves to router advertisements. They are there at
    once so, and whoever sends such advertisements from a container changes nothing.
    """
    with contextlib.suppress(FileNotFoundError):  # the kernel has no IPv6
        for name in ("accept_ra", "disable_ipv6"):
            files.write(f"/proc/sys/net/ipv6/conf/{INTERFACE}/{name}", "0")
        with Netlink() as netlink:
            link = netlink.link(INTERFACE)
            if link is not None:
                netlink.add_address(link.ifindex, _ADDRESS6)
                netlink.add_route(_GATEWAY6, "default", link.ifindex)


def _spawn(program: str, words: list[str], given: dict[int, int]) -> int:
    # By way of high numbers: a descriptor may lie where another is to go
    high = {target: 200 + target for target in given}
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, source, high[target]) for target, source in given.items()]
    actions += [(os.POSIX_SPAWN_DUP2, high[target], target) for target in given]
    actions += [(os.POSIX_SPAWN_CLOSE, high[target]) for target in given]
    actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    return os.posix_spawn(program, words, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, file_actions=actions)
