"""A process of the engine's inside a container's file system, for `cp`: what it does happens there and nowhere else.

It enters the container's user and mount namespaces before it touches the first path, so the container's own root is
the most it can be, and the container's tree all that it can reach (CVE-2018-15664). For a running container it is
forked by the supervisor, which alone has the right to enter where an ordinary user runs the engine. Nothing
of the image is loaded or run: this process imports nothing from then on (CVE-2019-14271). It has no descriptor but its
end of a socket, which requests and the ends of pipes come over; it cannot be looked into, and the container's processes
do not see it, since it stays out of their process namespace.

A container that does not run is put together for it, in a mount namespace that goes with it: its layers and what is
mounted in it, as for a start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from sandbox.errors import SandboxError
from sandbox.kernel import credentials, idmap, mounts, namespaces, paths, process
from sandbox.kernel.namespaces import Flags
from sandbox.runtime import control, packing, unpacking
from sandbox.runtime import operations as op

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import NoReturn, Self

    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.packing import Found
    from sandbox.runtime.streams import Loop


class Files:
    """The caller's end. Use it in a `with`; each method waits for its answer."""

    def __init__(self, connection: socket.socket, release: Callable[[], object]) -> None:
        self._socket = connection
        self._release = release
        try:
            self.pid = int(self._answer()["pid"])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and give back what it needed."""
        self._socket.close()
        self._release()

    def look(self, path: str, *, follow: bool) -> Found:
        """What is at a path; see `packing.look`."""
        control.send(self._socket, {"do": "look", "path": path, "follow": follow})
        return packing.Found(*self._answer()["found"])

    def pack(self, path: str, name: str, *, follow: bool, take: Callable[[int], object]) -> None:
        """Have `path` packed, with entries below `name`; `take` reads the archive from a descriptor to its end."""
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            control.send(self._socket, {"do": "pack", "path": path, "name": name, "follow": follow}, [write])
            os.close(write)
            take(read)
        finally:
            os.close(read)
        self._answer()

    def unpack(self, path: str, *, owners: bool, give: Callable[[int], object]) -> int:
        """Have an archive, which `give` writes to a descriptor, put into the directory `path`; bytes of contents."""
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            control.send(self._socket, {"do": "unpack", "path": path, "owners": owners}, [read])
            os.close(read)
            with contextlib.suppress(BrokenPipeError):  # the answer says why
                give(write)
        finally:
            os.close(write)
        return int(self._answer()["count"])

    def _answer(self) -> dict[str, Any]:
        received = control.receive(self._socket)
        if received is None:
            raise SandboxError("the process that copies was killed", hint="try again", reference="copy-killed")
        control.raise_error(received[0])
        return received[0]


def fork(channel: socket.socket, enter: Callable[[], paths.Root]) -> int:
    """Fork the process, which answers on `channel`; its pidfd, for the caller to wait on."""
    pid, pidfd = namespaces.clone()
    if pid == 0:
        _child(channel, enter)
    return pidfd


def serve(descriptor: int, pid: int, loop: Loop) -> None:
    """In the supervisor: a process answers on a socket's `descriptor`, which is taken over, and is reaped on `loop`."""
    with socket.socket(fileno=descriptor) as channel:
        pidfd = fork(channel, of_running(pid))

    def reap() -> None:
        loop.remove(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)

    loop.add(pidfd, reap)


def of_running(pid: int) -> Callable[[], paths.Root]:
    """Enters the namespaces of a container's first process, whose parent calls this."""

    def enter() -> paths.Root:
        pidfd = os.pidfd_open(pid)
        process.set_dumpable(False)
        process.pidfd_setns(pidfd, Flags.NEWNS if _has_our_users(pid) else Flags.NEWUSER | Flags.NEWNS)
        os.close(pidfd)
        _become_root()
        os.chdir("/")
        return paths.Root("/")

    return enter


def _has_our_users(pid: int) -> bool:
    """Whether a process is in our own user namespace, which nobody can enter once more."""
    return os.stat(f"/proc/{pid}/ns/user").st_ino == os.stat("/proc/self/ns/user").st_ino


def of_ended(home: Path, config: ContainerConfig, ids: idmap.IdMap) -> Callable[[], paths.Root]:
    """Puts the root of a container together that does not run, and enters a user namespace with its ids."""
    from sandbox.runtime.facts import Allocations, hierarchy, predict  # noqa: PLC0415  (only for these)
    from sandbox.runtime.host import Host  # noqa: PLC0415
    from sandbox.runtime.plan import plan  # noqa: PLC0415

    if config.spec.shared.user:  # nothing of it runs, and what is copied is copied more safely without
        config = config._replace(spec=config.spec._replace(shared=config.spec.shared._replace(user=False)))
    facts = predict(home, config)._replace(ids=ids)
    planned = plan(config, facts).host
    needed = (op.UnshareMounts, op.MountScratch, op.MountLayer, op.MountOverlay)
    operations: list[op.HostOperation] = [step for step in planned if isinstance(step, needed)]
    operations.insert(1, op.CreateNamespaces(Flags.NEWUSER, ids))
    binds = [step for step in planned if isinstance(step, op.PrepareMount) and step.key.startswith("bind/")]
    (home / "mnt").mkdir(mode=0o700, exist_ok=True)

    def enter() -> paths.Root:
        host = Host(Allocations(home, config.id, hierarchy()), ())
        prepared, user = host.assemble((*operations, *binds))
        mounts.move_mount(prepared["root"], facts.scratch)
        root = paths.Root(prepared["root"])
        own = credentials.file_system_ids(ids.uids[0].host, ids.gids[0].host)
        with own if facts.idmapped else contextlib.nullcontext():
            for number, bind in enumerate(facts.binds):
                with contextlib.suppress(OSError, SandboxError):  # what has no place there is not mounted
                    place = root.mkdirs(bind.target) if bind.directory else root.create(bind.target)
                    mounts.move_mount(prepared[f"bind/{number}"], place)
                    os.close(place)
        process.set_dumpable(False)  # not before: the id maps of a process without it are closed to ordinary users
        namespaces.setns(user, Flags.NEWUSER)
        _become_root()
        os.fchdir(root.fd)
        return root

    return enter


def _become_root() -> None:
    with contextlib.suppress(PermissionError):  # denied where an ordinary user has a single id
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.umask(0o022)


def _child(channel: socket.socket, enter: Callable[[], paths.Root]) -> NoReturn:
    try:
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.SIG_DFL)
        null = os.open("/dev/null", os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        kept = channel.fileno()
        process.close_range(3, kept - 1)
        process.close_range(kept + 1)
        process.set_title("hako: copy")
        root = enter()
        process.set_dumpable(False)
        # From here on every path is the container's: what is not loaded by now must never be.
        sys.path.clear()
        sys.meta_path.clear()
        control.send(channel, {"event": "done", "pid": os.getpid()})
        while (received := control.receive(channel)) is not None:
            _serve(channel, root, *received)
    except BaseException as error:
        with contextlib.suppress(OSError):
            control.send(channel, control.error_message(error))
    finally:
        os._exit(0)


def _serve(channel: socket.socket, root: paths.Root, message: dict[str, Any], descriptors: list[int]) -> None:
    try:
        answer = _REQUESTS[message["do"]](root, message, *descriptors)
    except RecursionError:
        answer = control.error_message(SandboxError("the directories are nested too deeply", reference="too-deep"))
    except (SandboxError, OSError) as error:
        answer = control.error_message(error)
    for descriptor in descriptors:
        os.close(descriptor)
    control.send(channel, answer)


def _look(root: paths.Root, message: dict[str, Any]) -> dict[str, Any]:
    return {"event": "done", "found": packing.look(root, message["path"], follow=message["follow"])}


def _pack(root: paths.Root, message: dict[str, Any], target: int) -> dict[str, Any]:
    def write(data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]

    packing.pack(root, message["path"], message["name"], write, follow=message["follow"])
    return {"event": "done"}


def _unpack(root: paths.Root, message: dict[str, Any], source: int) -> dict[str, Any]:
    directory = root.open(message["path"], os.O_RDONLY | os.O_DIRECTORY)
    try:
        count = unpacking.unpack(Stream(source), directory, owners=message["owners"], set_id=True)
    finally:
        os.close(directory)
    return {"event": "done", "count": count}


class Stream:
    """A descriptor as `tarsource` reads it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""
        return os.read(self._descriptor, size)


_REQUESTS: dict[str, Callable[..., dict[str, Any]]] = {"look": _look, "pack": _pack, "unpack": _unpack}
