"""A way out for the container of an ordinary user: slirp4netns, which is a network in a process.

Called by the container's supervisor. An ordinary user may make no bridge; slirp4netns opens a tap interface inside the
container's network namespace and makes the connections that come out of it itself, as the user's. It holds published
ports, too. It ends when the pipe that its supervisor holds is closed, however that comes about. The host's loopback
address is not reached through it. Source: slirp4netns(1).
"""

from __future__ import annotations

import _socket
import json
import os
import signal
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, SandboxError
from sandbox.kernel import polling
from sandbox.network.records import Attachment
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.network.records import Published

INTERFACE = "tap0"
ADDRESS, LENGTH, GATEWAY, RESOLVER = "10.0.2.100", 24, "10.0.2.2", "10.0.2.3"
_PROGRAM = "slirp4netns"
_DEVICE = "/dev/net/tun"
_MTU = 65520
_PATIENCE = 10.0  # seconds until it must have set up the interface
_READY, _EXIT, _NETWORK, _USER = 3, 4, 5, 6  # its descriptors


class Uplink(NamedTuple):
    """A running slirp4netns; `close` ends it."""

    pid: int
    pipe: int

    def close(self) -> None:
        """End it, and wait for that."""
        os.close(self.pipe)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return


def find() -> str:
    """The program, or "" where it is not installed or the user may not open tap devices."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return ""
    for directory in (*os.get_exec_path(), "/usr/bin", "/usr/local/bin"):
        path = f"{directory}/{_PROGRAM}"
        if os.access(path, os.X_OK):
            return path
    return ""


def attachment(network: str, container: str, names: tuple[str, ...], ports: tuple[Published, ...]) -> Attachment:
    """What a container has by it, as other places in networks are told."""
    return Attachment(
        network=network,
        container=container,
        address=ADDRESS,
        length=LENGTH,
        interface=INTERFACE,
        gateway=GATEWAY,
        mtu=_MTU,
        names=names,
        ports=ports,
    )


def start(program: str, network: int, user: int, folder: str, ports: Sequence[Published]) -> Uplink:
    """Connect the network namespace behind a descriptor, which belongs to the user namespace behind another; `folder`
    is a place for its socket. Ports are held when this returns. Raises SandboxError with what it said.
    """
    ready, ready_theirs = os.pipe2(os.O_CLOEXEC)
    exit_theirs, pipe = os.pipe2(os.O_CLOEXEC)
    words = os.memfd_create("words")
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    control = f"/proc/{os.getpid()}/fd/{directory}/uplink"
    options = ("--configure", f"--mtu={_MTU}", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp")
    places = (f"--ready-fd={_READY}", f"--exit-fd={_EXIT}", f"--api-socket={control}", "--netns-type=path")
    spaces = (f"--userns-path=/proc/self/fd/{_USER}", f"/proc/self/fd/{_NETWORK}", INTERFACE)
    given = {_READY: ready_theirs, _EXIT: exit_theirs, _NETWORK: network, _USER: user, 1: words, 2: words}
    try:
        _remove(f"{folder}/uplink")
        uplink = Uplink(_spawn(program, [_PROGRAM, *options, *places, *spaces], given), pipe)
        try:
            os.close(ready_theirs)
            ready_theirs = -1
            if not polling.readable(ready, _PATIENCE) or os.read(ready, 1) != b"1":
                said = os.pread(words, 4096, 0).decode("utf-8", "replace").strip().splitlines()
                raise SandboxError(
                    f"slirp4netns cannot connect the container: {said[-1] if said else 'it does not answer'}",
                    hint="--network host or none does without",
                    reference="uplink-failed",
                )
            for port in ports:
                _publish(control, port)
        except BaseException:
            uplink.close()
            raise
    finally:
        _remove(f"{folder}/uplink")
        for descriptor in (ready, exit_theirs, words, directory, *(() if ready_theirs < 0 else (ready_theirs,))):
            os.close(descriptor)
    return uplink


def _spawn(program: str, words: list[str], given: dict[int, int]) -> int:
    # By way of high numbers: a descriptor may lie where another is to go
    high = {target: 200 + target for target in given}
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, source, high[target]) for target, source in given.items()]
    actions += [(os.POSIX_SPAWN_DUP2, high[target], target) for target in given]
    actions += [(os.POSIX_SPAWN_CLOSE, high[target]) for target in given]
    actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    return os.posix_spawn(program, words, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, file_actions=actions)


def _publish(control: str, port: Published) -> None:
    arguments = {"proto": port.protocol, "host_addr": port.address or "0.0.0.0", "host_port": port.port}  # noqa: S104
    arguments |= {"guest_addr": ADDRESS, "guest_port": port.container}
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.connect(control)
        connection.sendall(json.dumps({"execute": "add_hostfwd", "arguments": arguments}).encode())
        connection.shutdown(_socket.SHUT_WR)
        answer = b""
        while part := connection.recv(4096):
            answer += part
    finally:
        connection.close()
    problem = json.loads(answer or b"{}").get("error")
    if problem:
        raise ConflictError(
            f"bind for {port.address or '0.0.0.0'}:{port.port} failed: {problem.get('desc', problem)}",  # noqa: S104
            hint="publish it at another port of the host",
            reference="port-allocated",
        )


def _remove(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return
