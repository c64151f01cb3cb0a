"""The engine's facade: what the command line, the runner and the Remote API call.

An `Engine` is a view of one `$HAKO_HOME`; any number of them, in any number of processes, work on it at once. There
is no daemon: a running container has a supervisor process of its own (`supervisor`), found through the container's
folder. The caller has to be root, in the host's user namespace or in one of its own (`kernel.idmap.become_root`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, NotFoundError, SandboxError
from sandbox.runtime import changes, control, creation, events
from sandbox.runtime.launching import Launching
from sandbox.runtime.overview import Overview, default_home
from sandbox.runtime.process import Process, SupervisorGoneError, wait_on
from sandbox.runtime.signals import signal_number
from sandbox.runtime.spec import ExitStatus, Stdio
from sandbox.runtime.state import ContainerFolder, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox.image.image import Image
    from sandbox.runtime.inside import Files
    from sandbox.runtime.operations import Plan
    from sandbox.runtime.spec import ContainerSpec, Endpoint, ExecSpec

__all__ = ["Engine", "default_home"]

_START_ATTEMPTS = 20
_KILL_TIMEOUT = 10.0  # seconds until SIGKILL must have ended a container
_CONNECT_TIMEOUT = 10.0  # seconds until a start must have come so far that its supervisor listens


class Engine(Overview):
    """Containers, images and networks below `home`. Thread-safe.

    With `launcher` a process that starts and supervises containers is made now and kept until `close`. Without, it is
    made at the first start by a caller with threads, or whose interpreter is a file of the user's own, or that starts
    several; others fork a supervisor.
    """

    def __init__(self, home: Path | None = None, *, launcher: bool = False) -> None:
        super().__init__(home or default_home())
        self._launching = Launching(self.home, launcher=launcher)

    def close(self) -> None:
        """Give the launcher no more work, if one was needed; containers go on, and it ends after the last."""
        self._launching.close()

    # --- life cycle ------------------------------------------------------------------------------------------------

    def expect_starts(self) -> None:
        """Say that several containers are to be started soon: what that takes is made while the caller goes on."""
        self._launching.expect()

    def create(self, spec: ContainerSpec, image: Image | None = None) -> str:
        """Make a container of `spec`; its id. Raises NotFoundError (image), ConflictError (name), InvalidError.

        `image` stands for the one that `spec` names: layers that are only being put together, which the caller leases.
        """
        if image is None:
            self.images.mend()
        if spec.network.startswith("container:"):
            from sandbox.runtime import sharing  # noqa: PLC0415  (seldom)

            spec = sharing.settle(self._containers, spec)
        elif spec.network not in ("bridge", "none", "host"):
            self.networks.get(spec.network)  # said now, not at the start
        if spec.shared.pid_container or spec.shared.ipc_container:
            from sandbox.runtime import neighbour  # noqa: PLC0415  (seldom)

            spec = neighbour.settle(self._containers, spec)
        return creation.create(self.home, self.images, self._containers, spec, image)

    def plan(self, spec: ContainerSpec) -> Plan:
        """What a start of `spec` would do; nothing is made."""
        from sandbox.runtime.facts import predict  # noqa: PLC0415  (only the supervisor and this need it)
        from sandbox.runtime.plan import plan  # noqa: PLC0415

        made = creation.preview(self.images, spec)
        return plan(made, predict(self.home, made))

    def start(self, reference: str, stdio: Stdio | None = None) -> Process:
        """Start a created or ended container; returns when its command runs.

        `stdio` descriptors are pipe or socket ends; they stay the caller's, which closes them. Raises ConflictError
        when it runs already, SandboxError with docker's exit codes (125, 126, 127) when the start fails; a container
        with auto_remove is then gone.
        """
        folder = self._containers.find(reference)
        lock = self._lock_for_start(folder)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._launching.launch(folder, lock, theirs, stdio or Stdio())
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(lock)
            theirs.close()
        received = control.receive(ours)
        if received is None:
            ours.close()
            self._clear_up(folder)
            raise SupervisorGoneError(
                f"the supervisor of container {folder.id[:12]} died at the start",
                hint="somebody killed it or the container's first process; try again",
            )
        message, _ = received
        try:
            control.raise_error(message)
        except SandboxError:
            ours.close()
            self._launching.reap()
            raise
        return Process(folder.id, message["pid"], ours, message["warnings"])

    def wait(self, reference: str, timeout: float | None = None) -> ExitStatus | None:
        """How it ended, waiting for it; None when `timeout` seconds passed first. A container that never ran counts
        as 0. Raises NotFoundError where it is gone.
        """
        folder = self._containers.find(reference)
        try:
            with self._connect(folder) as connection:
                control.send(connection, {"do": "wait"})
                return wait_on(connection, timeout, folder.id)
        except (ConflictError, SupervisorGoneError, BrokenPipeError):
            # It has ended, perhaps in the very moment of the question; its state says how, if it still is there.
            folder.config()
            state = self.state(folder)
            return ExitStatus(code=state.exit_code, oom=state.oom, error=state.error)

    def kill(self, reference: str, signal_name: str | int = signal.SIGKILL) -> None:
        """Send a signal to its first process; ConflictError when it does not run."""
        folder = self._containers.find(reference)
        number = signal_number(signal_name)
        self._ask(folder, {"do": "signal", "signal": number})
        events.of_container(self.home, folder.config(), "kill", signal=str(number))

    def stop(self, reference: str, timeout: float | None = None, signal_name: str = "") -> None:
        """Its stop signal, or another, then after `timeout` seconds (its own by default) SIGKILL; returns when it has
        ended.
        """
        folder = self._containers.find(reference)
        made = folder.config()
        try:
            connection = self._connect(folder)
        except ConflictError:
            return
        with connection:
            with contextlib.suppress(BrokenPipeError):  # ending by itself; the next question finds that out
                control.send(connection, {"do": "wait"})
            grace = made.spec.stop_timeout if timeout is None else timeout
            for number, patience in (
                (signal_number(signal_name or made.stop_signal), grace),
                (signal.SIGKILL, _KILL_TIMEOUT),
            ):
                try:
                    self._ask(folder, {"do": "signal", "signal": number})
                    if wait_on(connection, patience, folder.id) is not None:
                        events.of_container(self.home, made, "stop")
                        return
                except (ConflictError, NotFoundError, SupervisorGoneError, BrokenPipeError):
                    return
        raise SandboxError(
            f"container {folder.id[:12]} did not end on SIGKILL",
            hint="a process of it hangs in the kernel",
            reference="unkillable",
        )

    def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container that does not run, or with `force` end it first; with `volumes` those without a name."""
        folder = self._containers.find(reference)
        try:
            made = folder.config()
        except NotFoundError:
            made = None  # another removes it; a rest may be left
        name = made.name if made is not None else ""
        if folder.is_running() and not force:
            raise ConflictError(
                f"container {name or folder.id[:12]} is running",
                hint=f"stop it first: `sandbox stop {name or folder.id[:12]}`, or use `sandbox rm -f`",
                reference="running",
            )
        try:
            lock = self._lock_after_end(folder) if force else self._lock_for_start(folder)
        except NotFoundError:
            if force:  # it has removed itself at its end
                return
            raise
        try:
            doomed = made.spec.mounts if made is not None and (volumes or made.spec.auto_remove) else ()
            self._containers.remove(folder, name, mounts=doomed)
            if made is not None:
                events.of_container(self.home, made, "destroy")
        finally:
            os.close(lock)

    def pause(self, reference: str) -> None:
        """Freeze all its processes; ConflictError where it is frozen or does not run."""
        self._ask(self._containers.find(reference), {"do": "pause"})

    def unpause(self, reference: str) -> None:
        """Let its processes go on."""
        self._ask(self._containers.find(reference), {"do": "unpause"})

    def connect(self, network: str, reference: str, endpoint: Endpoint) -> None:
        """Have a container be in one more network (`endpoint.network` is filled in), at once where it runs."""
        from sandbox.runtime import connecting  # noqa: PLC0415  (seldom)

        folder = self._containers.find(reference)
        endpoint = endpoint._replace(network=self.networks.look_up(network).name)
        connecting.connect(self._containers, folder, endpoint)
        try:
            if folder.is_running():
                self._ask(folder, {"do": "connect", "endpoint": endpoint})
        except BaseException:
            connecting.disconnect(self._containers, folder, endpoint.network)
            raise

    def disconnect(self, network: str, reference: str) -> None:
        """Have a container leave a network, at once where it runs."""
        from sandbox.runtime import connecting  # noqa: PLC0415  (seldom)

        folder = self._containers.find(reference)
        name = self.networks.look_up(network).name
        connecting.disconnect(self._containers, folder, name)
        if folder.is_running():
            self._ask(folder, {"do": "disconnect", "network": name})

    def commit(
        self,
        reference: str,
        *,
        name: str = "",
        changes: Sequence[str] = (),
        author: str = "",
        comment: str = "",
        pause: bool = True,
    ) -> Image:
        """Make an image of a container, frozen meanwhile where it runs and the host can; `changes` are Dockerfile
        instructions.
        """
        from sandbox.runtime.layers import commit  # noqa: PLC0415  (seldom)

        folder = self._containers.find(reference)
        return commit(self, folder, reference=name, changes=changes, author=author, comment=comment, pause=pause)

    def rename(self, reference: str, name: str) -> None:
        """Give it another name."""
        folder = self._containers.find(reference)
        changes.rename(self.home, self._containers, folder, name)
        with contextlib.suppress(ConflictError):
            self._ask(folder, {"do": "update"})

    def update(self, reference: str, resources: dict[str, Any], restart: str | None = None) -> tuple[str, ...]:
        """Set other limits (fields of Resources) and another restart policy, at once where it runs; warnings."""
        folder = self._containers.find(reference)
        changes.update(self.home, self._containers, folder, resources, restart)
        try:
            return tuple(self._ask(folder, {"do": "update"})["warnings"])
        except ConflictError:
            return ()

    def processes(self, reference: str) -> tuple[int, ...]:
        """The host's numbers of the processes inside."""
        return tuple(self._ask(self._containers.find(reference), {"do": "processes"})["processes"])

    def execute(self, reference: str, spec: ExecSpec, stdio: Stdio | None = None) -> Process:
        """Run a further process in a running container; with a terminal, `Process.terminal` is its master."""
        folder = self._containers.find(reference)
        connection = self._connect(folder)
        fields = spec._asdict() | {"environment": dict(spec.environment)}
        terminal: int | None = None
        try:
            self._send_execution(connection, fields, spec, stdio or Stdio())
            while True:
                received = control.receive(connection)
                if received is None:
                    raise SandboxError(f"container {folder.id[:12]} ended", reference="not-running")
                message, descriptors = received
                control.raise_error(message)
                if message["event"] == "terminal":
                    terminal = descriptors[0]
                if message["event"] == "started":
                    return Process(folder.id, message["pid"], connection, (), terminal)
        except BaseException:
            connection.close()
            if terminal is not None:
                os.close(terminal)
            raise

    def files(self, reference: str) -> Files:
        """A container's files, running or not, seen from inside; to be used in a `with`."""
        from sandbox.runtime import inside  # noqa: PLC0415  (only `cp` needs it)

        folder = self._containers.find(reference)
        state = self.state(folder)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        taken = contextlib.ExitStack()
        try:
            if state.status is Status.RUNNING:
                self._ask(folder, {"do": "files"}, [theirs.fileno()])
            else:
                taken.callback(os.close, self._lock_for_start(folder))
                ids = creation.take_ids(self.home, folder.id, taken)
                pidfd = inside.fork(theirs, inside.of_ended(self.home, folder.config(), ids))
                taken.callback(os.close, pidfd)
                taken.callback(os.waitid, os.P_PIDFD, pidfd, os.WEXITED)
            theirs.close()
            return inside.Files(ours, taken.close)
        except BaseException:
            ours.close()
            theirs.close()
            taken.close()
            raise

    def attach(self, reference: str, stdio: Stdio) -> None:
        """Send what it prints from now on to `stdio` as well (and take a terminal's input from it)."""
        folder = self._containers.find(reference)
        streams = {name: fd for name in ("stdin", "stdout", "stderr") if (fd := getattr(stdio, name)) is not None}
        self._ask(folder, {"do": "attach", "streams": list(streams)}, list(streams.values()))

    def watch(self, reference: str) -> Process:
        """A running container as its starter sees it; ConflictError where it does not run."""
        folder = self._containers.find(reference)
        connection = self._connect(folder)
        control.send(connection, {"do": "wait"})
        return Process(folder.id, self.state(folder).pid, connection, ())

    def resize(self, reference: str, rows: int, columns: int) -> None:
        """Tell its terminal the window's size."""
        self._ask(self._containers.find(reference), {"do": "resize", "rows": rows, "columns": columns})

    def statistics(self, reference: str) -> dict[str, Any]:
        """What its control group counts now; empty where it has none."""
        return dict(self._ask(self._containers.find(reference), {"do": "statistics"})["statistics"])

    def tell(self, reference: str, action: str, **attributes: str) -> None:
        """Record an event of a container that a caller has brought about."""
        events.of_container(self.home, self._containers.find(reference).config(), action, **attributes)

    def reclaim(self) -> list[str]:
        """Give back what dead supervisors and killed engines left; one line for each thing that was."""
        from sandbox.runtime.reclaim import reclaim  # noqa: PLC0415  (not on the path of a run)

        return reclaim(self.home)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _clear_up(self, folder: ContainerFolder) -> None:
        """End a start whose supervisor has died: perhaps so early that nothing tells another that it was begun."""
        from sandbox.runtime.reclaim import reclaim_container  # noqa: PLC0415  (a rare case)

        with contextlib.suppress(NotFoundError, ConflictError):  # gone, or somebody else's by now
            lock = self._lock_for_start(folder)
            try:
                reclaim_container(self.home, folder)
            finally:
                os.close(lock)

    def _lock_for_start(self, folder: ContainerFolder) -> int:
        """The container's lock; waits a moment for a supervisor on its way out, or for one who only looks."""
        for _ in range(_START_ATTEMPTS):
            lock = folder.try_lock()
            if lock is not None:
                state = folder.state()
                if state.status is Status.RUNNING:  # its supervisor was killed
                    from sandbox.runtime.reclaim import reclaim_container  # noqa: PLC0415  (a rare case)

                    reclaim_container(self.home, folder)
                return lock
            if folder.state().status is Status.RUNNING:
                break
            time.sleep(0.005)
        raise ConflictError(
            f"container {self._name_of(folder)} is running", hint="`sandbox stop` ends it", reference="running"
        )

    def _lock_after_end(self, folder: ContainerFolder) -> int:
        """The container's lock, once it has been ended; whoever starts it in the same moment is too late or in vain."""
        deadline = time.monotonic() + _KILL_TIMEOUT
        while True:
            if folder.is_running():
                self.stop(folder.id, timeout=0)
            try:
                return self._lock_for_start(folder)
            except ConflictError:
                if time.monotonic() > deadline:
                    raise

    def _connect(self, folder: ContainerFolder) -> socket.socket:
        """A connection to its supervisor, which may be only starting. ConflictError where it does not run."""
        deadline = time.monotonic() + _CONNECT_TIMEOUT
        while True:
            try:
                return control.connect(folder.path)
            except ConflictError:
                if not folder.is_running() or time.monotonic() > deadline:
                    raise
                time.sleep(0.002)

    def _ask(self, folder: ContainerFolder, message: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        with self._connect(folder) as connection:
            control.send(connection, message, descriptors)
            received = control.receive(connection)
        if received is None or received[0]["event"] == "exited":
            raise ConflictError(f"container {folder.id[:12]} is not running", reference="not-running")
        control.raise_error(received[0])
        return received[0]

    @staticmethod
    def _send_execution(connection: socket.socket, fields: dict[str, Any], spec: ExecSpec, stdio: Stdio) -> None:
        streams: list[int] = []
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            if not spec.terminal:
                given = (stdio.stdin if spec.open_stdin else None, stdio.stdout, stdio.stderr)
                streams = [null if stream is None else stream for stream in given]
            control.send(connection, {"do": "execute", "spec": fields}, streams)
        finally:
            os.close(null)
