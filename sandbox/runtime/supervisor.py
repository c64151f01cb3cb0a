"""What is beside every running container: starts it, holds its streams, answers for it, cleans up after it.

Lives in a process of its own or with others in one (`supervision`), on a loop that it never holds up for long. It holds
the container's lock for as long as it lives, so that everybody knows by the kernel whether the container runs; init
dies when its process does (PR_SET_PDEATHSIG). So after a SIGKILL of that only files remain: control group, address, id
range, folder, which `reclaim` gives back. It is spoken to over `control`; the starter's own connection is the first one
that waits for the end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConflictError, SandboxError
from sandbox.kernel import process, pty
from sandbox.records import NamedTuple
from sandbox.runtime import belongings, control, events, execution, requests, restarting
from sandbox.runtime import operations as op
from sandbox.runtime.callers import Callers
from sandbox.runtime.facts import Allocations, collect
from sandbox.runtime.host import Host
from sandbox.runtime.plan import plan as make_plan
from sandbox.runtime.signals import signal_number
from sandbox.runtime.spec import ExecSpec, ExitStatus
from sandbox.runtime.standard import StandardStreams
from sandbox.runtime.state import Containers, State, Status
from sandbox.runtime.streams import Part

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.kernel.cgroups import Cgroup
    from sandbox.runtime.callers import Answer
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.health import Monitor
    from sandbox.runtime.spares import Spares
    from sandbox.runtime.spec import Stdio
    from sandbox.runtime.streams import Loop

_START_FAILED = 125
_LOST = 137
_DRAIN_TIMEOUT = 5.0  # seconds that a slow attached reader holds up the container's end


class _Phase(Enum):
    RUNNING = auto()
    PAUSING = auto()  # the container has ended and will begin again
    DRAINING = auto()  # the container has ended; who reads its output has a moment to take the rest
    LINGERING = auto()  # everything is given back; somebody still has not read all
    OVER = auto()


class Facilities(NamedTuple):
    """What all supervisors of a process have: its loop, namespaces that are ready, and `release`, which closes a
    descriptor of which nobody can tell how long that takes.
    """

    loop: Loop
    spares: Spares
    release: Callable[[int], None]


class Supervisor:
    """One container's life, from the lock to its release. Takes over the descriptors."""

    def __init__(
        self,
        home: Path,
        identifier: str,
        lock: int,
        starter: socket.socket,
        stdio: Stdio,
        facilities: Facilities,
    ) -> None:
        self._containers = Containers(home / "containers")
        self._folder = self._containers.find(identifier)
        self._config = self._folder.config()
        self.home = home
        self._lock = lock
        self._starter = starter
        self._loop = Part(facilities.loop, self._break)
        self._facilities = facilities
        self._streams = StandardStreams(self._loop, self._config.spec, stdio, self._folder.path)
        self._callers = Callers(self._loop, self._answer, self._left)
        self._holder: socket.socket | None = None  # who has it frozen for as long as it is there
        self._tether: socket.socket | None = None  # whose end is the container's
        self._executions: dict[int, execution.Execution] = {}
        self._allocations: Allocations | None = None
        self._host: Host | None = None
        self._plan: op.Plan | None = None
        self._state = State()
        self._broken = ""  # why the supervisor itself has ended the container
        self._phase = _Phase.RUNNING
        self._exit_code = 0
        self._final = False  # somebody has stopped or killed it: it does not begin again
        self._again = False  # it will
        self._pause = 0.0  # the last one before a restart
        self._health: Monitor | None = None
        self.deadline: float | None = None  # when `advance` wants to be called at the latest (time.monotonic)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self._phase is _Phase.OVER

    def start(self) -> None:
        """Start the container; returns when its command runs. Raises what was in the way, when all is undone."""
        try:
            self._start()
        except BaseException as error:
            self._finish_failed(error)
            raise

    def advance(self) -> None:
        """Go on with what the time or the container's end brings; after each step of the loop."""
        if self._phase is _Phase.RUNNING and self._health is not None:
            self._health.tick()
            self.deadline = time.monotonic() + self._health.patience()
        if self._phase is _Phase.PAUSING and (self._final or time.monotonic() >= (self.deadline or 0)):
            self._resume()
        if self._phase is _Phase.DRAINING and (
            not self._streams.pass_on(keep=self._again)
            or (self.deadline is not None and time.monotonic() >= self.deadline)
        ):
            self._finish()
        # What remains is a reader that stands still, a pager's user perhaps, when all else is over.
        if self._phase is _Phase.LINGERING and not self._streams.pass_on(keep=False):
            self._phase = _Phase.OVER

    def terminate(self) -> None:
        """Ask the container to end, by its own stop signal."""
        self._final = True
        self._signal_init(signal_number(self._config.stop_signal))

    def give_up(self, error: Exception) -> None:
        """An error that nobody foresaw while it ended: those who wait are told, the rest is for `reclaim`."""
        self._signal_init(signal.SIGKILL)
        self._let_go()
        self._callers.dismiss(control.error_message(error))
        self._phase = _Phase.OVER

    def _break(self, error: BaseException) -> None:
        """An error that nobody foresaw, in this container's affairs: it ends, others beside it go on."""
        self._final = True
        self._broken = self._broken or f"its supervisor failed: {type(error).__name__}: {error}"
        self._signal_init(signal.SIGKILL)

    # --- start -----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        facts, self._allocations = collect(self.home, self._folder.path, self._config, self._facilities.spares)
        self._plan = make_plan(self._config, facts)
        theirs = self._streams.make()
        self._host = Host(self._allocations, theirs)
        try:
            self._host.execute(self._plan)
        except BaseException:
            self._streams.abandon()
            raise
        finally:
            for descriptor in set(theirs):
                os.close(descriptor)
        if self._host.resolver is not None:
            self._allocations.serve(self._loop, self._host.resolver, self._config.spec.dns.servers)
        if self._allocations.joined.claims:
            self._allocations.forward(self._loop)
        self._state = State(
            status=Status.RUNNING,
            restart_count=self._state.restart_count,
            pid=self._host.pid,
            start_time=process.start_time(self._host.pid),
            boot_id=process.boot_id(),
            started=time.time(),
            id_base=facts.ids.uids[0].host,
            cgroup=facts.cgroup,
            warnings=(*facts.warnings, *self._host.warnings),
            **self._allocations.address(),
        )
        first = not self._callers.listening
        if first:
            self._callers.listen(self._folder.path)  # who sees it running can connect
        self._begin_checks()
        self._folder.write_state(self._state)
        belongings.tell_taken(self.home, self._config, self._allocations)
        events.of_container(self.home, self._config, "start")
        self._streams.open(self._host.terminal)
        self._loop.add(self._host.pidfd, self._init_ended)
        if first:
            started = {"event": "started", "pid": self._host.pid, "warnings": self._state.warnings}
            self._callers.greet(self._starter, started)

    def _begin_checks(self) -> None:
        self._health = None
        if self._config.healthcheck is not None:
            from sandbox.runtime import probing  # noqa: PLC0415  (few containers have any)

            self._health = probing.monitor(self, self._loop, self._execute)
            if self._health is not None:
                self._state = self._state._replace(health=self._health.state())
                self.deadline = time.monotonic() + self._health.patience()

    # --- while it runs ---------------------------------------------------------------------------------------------

    def _answer(self, caller: socket.socket, message: dict[str, Any], descriptors: list[int]) -> Answer:
        handler = requests.HANDLERS.get(message["do"])
        if handler is not None:
            return handler(self, message)
        return self._requests()[message["do"]](caller, message, descriptors)

    def _left(self, caller: socket.socket) -> bool:
        """A caller has hung up; whether its connection is still needed."""
        if caller is self._holder:
            self._holder = None
            requests.unpause(self, {"quietly": True})
        if caller is self._tether:
            self._config = self._config._replace(spec=self._config.spec._replace(auto_remove=True))
            self._final = True
            self._signal_init(signal.SIGKILL)
        for run in self._executions.values():
            if run.connection is caller:
                run.left(self._loop)
                return True
        return False

    def _requests(self) -> dict[str, Callable[[socket.socket, dict[str, Any], list[int]], Answer]]:
        return {
            "hold": self._request_hold,
            "tether": self._request_tether,
            "wait": self._request_wait,
            "signal": self._request_signal,
            "resize": self._request_resize,
            "attach": self._request_attach,
            "execute": self._request_execute,
            "files": self._request_files,
            "statistics": self._request_statistics,
        }

    def _request_hold(self, connection: socket.socket, message: dict[str, Any], __: list[int]) -> dict[str, Any]:
        """Frozen until it is unpaused, or until the asker is gone: who is killed at its work leaves nothing frozen."""
        reply = requests.pause(self, message)
        self._holder = connection
        return reply

    def _request_tether(self, connection: socket.socket, _: dict[str, Any], __: list[int]) -> None:
        """Its life hangs on the asker's from now on."""
        self._tether = connection

    def _request_wait(self, _: socket.socket, __: dict[str, Any], ___: list[int]) -> None:
        """Nothing to do: the end is the answer."""

    def _request_signal(self, _: socket.socket, message: dict[str, Any], __: list[int]) -> dict[str, Any]:
        self._final = True
        self._signal_init(int(message["signal"]))
        requests.unpause(self, {"quietly": True})  # a frozen process would not hear it
        return {"event": "done"}

    def _request_resize(self, _: socket.socket, message: dict[str, Any], __: list[int]) -> dict[str, Any]:
        if self._streams.terminal >= 0:
            pty.set_size(self._streams.terminal, int(message["rows"]), int(message["columns"]))
        return {"event": "done"}

    def _request_attach(self, _: socket.socket, message: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        self._streams.attach(dict(zip(message["streams"], descriptors, strict=True)))
        return {"event": "done"}

    def _request_execute(self, connection: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
        if self._state.paused:
            raise ConflictError(
                f"container {self._config.name} is paused",
                hint=f"`sandbox unpause {self._config.name}` lets it go on",
                reference="paused",
            )
        fields = message["spec"]
        spec = ExecSpec(**(fields | {"command": tuple(fields["command"])}))
        try:
            self._execute(spec, descriptors, connection)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._callers.hand_over(connection)  # it waits for another end

    def _execute(self, spec: ExecSpec, descriptors: list[int], connection: socket.socket) -> None:
        if self._host is None or self._plan is None:
            raise ConflictError(f"container {self._config.name} is restarting", hint="wait", reference="restarting")
        run = execution.start(self._host, self._plan, self._config, spec, descriptors, connection)
        self._executions[run.pidfd] = run
        self._loop.add(run.channel.fileno(), run.report_start(self._loop))
        self._loop.add(run.pidfd, lambda: self._execution_ended(run))

    def _request_files(self, _: socket.socket, __: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        from sandbox.runtime import inside  # noqa: PLC0415  (only `cp` needs it)

        inside.serve(descriptors.pop(), self._state.pid, self._loop.loop)
        return {"event": "done"}

    def _request_statistics(self, _: socket.socket, __: dict[str, Any], ___: list[int]) -> dict[str, Any]:
        cgroup = self._host.cgroup if self._host is not None else None
        return {"event": "statistics", "statistics": cgroup.statistics() if cgroup is not None else {}}

    def _execution_ended(self, run: execution.Execution) -> None:
        self._loop.remove(run.pidfd)
        del self._executions[run.pidfd]
        run.report_end(self._loop, _wait(run.pidfd))

    def _signal_init(self, number: int) -> None:
        if self._host is None:  # between two runs
            return
        with contextlib.suppress(ProcessLookupError):  # it is ending already
            signal.pidfd_send_signal(self._host.pidfd, number)

    def _init_ended(self) -> None:
        assert self._host is not None  # noqa: S101
        self._loop.remove(self._host.pidfd)
        self._exit_code = _wait(self._host.pidfd)
        for run in list(self._executions.values()):  # the kernel has ended them as well
            self._execution_ended(run)
        self._streams.drain()
        self._again = not self._final and restarting.again(
            self._config.spec.restart, self._exit_code, self._state.restart_count
        )
        self._phase = _Phase.DRAINING
        self.deadline = time.monotonic() + _DRAIN_TIMEOUT

    # --- for `requests` --------------------------------------------------------------------------------------------

    @property
    def config(self) -> ContainerConfig:
        """The container as it was last read."""
        return self._config

    @property
    def state(self) -> State:
        """The state as it was last written."""
        return self._state

    @property
    def cgroup(self) -> Cgroup | None:
        """The container's control group, once it is made."""
        return self._host.cgroup if self._host is not None else None

    @property
    def loop(self) -> Part:
        """What it waits with."""
        return self._loop

    @property
    def allocations(self) -> Allocations | None:
        """What it holds of the host, once it does."""
        return self._allocations

    def change(self, **fields: Any) -> None:
        """Change fields of the state and write it; what a full disk does not take comes with the next change."""
        self._state = self._state._replace(**fields)
        with contextlib.suppress(OSError):
            self._folder.write_state(self._state)

    def reload(self) -> None:
        """Read the configuration again: `update` or `rename` has changed it."""
        self._config = self._folder.config()

    # --- the end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        assert self._host is not None  # noqa: S101
        self._streams.stop_input()
        self._health = None
        oom = self._host.cgroup is not None and self._host.cgroup.oom_kills() > 0
        error = self._broken or self._streams.error
        status = ExitStatus(code=self._exit_code, oom=oom, error=error)
        if self._again and self._rest(status):
            return
        self._again = False
        self._end(status)
        self._phase = _Phase.LINGERING
        self.deadline = None

    def _rest(self, status: ExitStatus) -> bool:
        """Give back what the run has held, and wait for the next; False where processes are left that do not end."""
        assert self._host is not None  # noqa: S101
        cgroup = self._host.cgroup
        if not (cgroup is None or cgroup.remove(timeout=0) or (cgroup.kill() and cgroup.remove())):
            return False
        self._tell_end(status)
        self._host.close(self._facilities.release)
        self._host = None
        if self._allocations is not None:
            self._allocations.release()
        self._pause = restarting.pause(self._pause, time.time() - self._state.started)
        ended = {"finished": time.time(), "exit_code": status.code, "oom": status.oom, "error": status.error}
        self.change(restarting=True, pid=0, paused=False, health=None, **ended)
        self._phase = _Phase.PAUSING
        self.deadline = time.monotonic() + self._pause
        return True

    def _resume(self) -> None:
        """Begin again, unless somebody has stopped it meanwhile."""
        self._again = False
        self.deadline = None
        state = self._state
        if self._final:
            self._end(ExitStatus(code=state.exit_code, oom=state.oom, error=state.error))
            self._phase = _Phase.LINGERING
            return
        self._streams.carry_over()
        self._state = state._replace(restart_count=state.restart_count + 1)
        self._phase = _Phase.RUNNING
        try:
            self._start()
        except BaseException as error:
            self._finish_failed(error, started=True)
            self._phase = _Phase.LINGERING

    def _tell_end(self, status: ExitStatus) -> None:
        if status.oom:
            events.of_container(self.home, self._config, "oom")
        events.of_container(self.home, self._config, "die", exitCode=str(status.code))
        if self._allocations is not None:
            belongings.tell_given_back(self.home, self._config, self._allocations)

    def _finish_failed(self, error: BaseException, *, started: bool = False) -> None:
        """Undo a start that did not come to its end; `error` is why, and what the starter is told."""
        host = self._host
        if host is not None and host.pidfd >= 0:
            self._signal_init(signal.SIGKILL)
            _wait(host.pidfd)
        self._streams.close_outputs()
        code = error.exit_code if isinstance(error, SandboxError) else _START_FAILED
        self._end(ExitStatus(code=code, error=str(error)), started=started)

    def _end(self, status: ExitStatus, *, started: bool = True) -> None:
        """Give everything back, record how it ended, and only then tell those who wait."""
        cgroup = self._host.cgroup if self._host is not None else None
        empty = cgroup is None or cgroup.remove(timeout=0) or (cgroup.kill() and cgroup.remove())
        if self._allocations is not None:
            self._allocations.release()
        if started and self._host is not None:  # else it was told before the pause
            self._tell_end(status)
        if not self._config.spec.auto_remove:
            self._record_end(status, started=started)
        elif empty:  # else `reclaim` finds it by its folder
            self._containers.remove(self._folder, self._config.name, mounts=self._config.spec.mounts)
            events.of_container(self.home, self._config, "destroy")
        self._let_go()
        self._callers.dismiss({"event": "exited", "code": status.code, "oom": status.oom, "error": status.error})
        if self._host is not None:
            self._host.close(self._facilities.release)

    def _record_end(self, status: ExitStatus, *, started: bool) -> None:
        """For who asks later. Where the disk is full, they are told that it was lost (`reclaim`)."""
        state = self._state._replace(
            status=Status.EXITED if started else Status.CREATED,
            pid=0,
            paused=False,
            restarting=False,
            stopped=self._final,
            finished=time.time(),
            exit_code=status.code,
            oom=status.oom,
            error=status.error,
            address="",
            gateway="",
            mac="",
            attachments=(),
        )
        with contextlib.suppress(OSError):
            self._folder.write_state(state)
        # After the state: who cannot connect reads there how it ended.
        (self._folder.path / control.SOCKET_NAME).unlink(missing_ok=True)

    def _let_go(self) -> None:
        """Close what is held for the container, its lock at last."""
        self._streams.close()
        if self._lock >= 0:
            # Said in words: a child that is on its way to its own command may still have a copy of the descriptor.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = -1


def _wait(pidfd: int) -> int:
    """The exit code of a child as docker counts: 128 + n for a death by signal n."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    if result is None:
        return _LOST
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
