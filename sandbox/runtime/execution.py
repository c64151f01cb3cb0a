"""A further process in a running container (`exec`), started by the container's supervisor.

The supervisor is the one process that has the rights for it, whoever runs the engine: its own user namespace is the
parent of the container's. A first child, unseen by the container, joins every namespace of init at once; a second one
is born inside the process namespace, as a sibling, so that the supervisor waits for it. That one is forked: what runs
in the container can stop it, and would stop a supervisor that shared its memory. Neither is dumpable before exec and
neither touches a path of the image except through openat2 beneath its root (CVE-2019-5736, CVE-2016-9962,
CVE-2024-21626).
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.kernel import cgroups, namespaces, paths, process, seccomp, vfork
from sandbox.kernel.namespaces import Flags
from sandbox.runtime import control, filters
from sandbox.runtime import operations as op
from sandbox.runtime.init import (
    Init,
    become_user,
    command,
    enter_directory,
    open_terminal,
    prepare_exec,
    run_forked,
)
from sandbox.runtime.plan import capability_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.host import Host
    from sandbox.runtime.spec import ExecSpec
    from sandbox.runtime.streams import Part


class Execution:
    """A process on its way: `channel` ends at its exec, `pidfd` tells its end, `connection` is the caller's."""

    def __init__(self, pid: int, pidfd: int, channel: socket.socket, connection: socket.socket) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.channel = channel
        self.connection = connection
        self.terminal = -1  # kept open, so that it goes on when its caller leaves it alone
        self._starting = True
        self._failed = False

    def report_start(self, loop: Part) -> Callable[[], None]:
        """The callback for `channel`: passes on the terminal, the error, or that it has started."""

        def report() -> None:
            received = control.receive(self.channel)
            if received is None:
                self._starting = False
                loop.remove(self.channel.fileno())
                self.channel.close()
                if not self._failed:
                    self._tell({"event": "started", "pid": self.pid})
                return
            message, descriptors = received
            self._failed = self._failed or message["event"] == "error"
            self._tell(message, descriptors)
            if message["event"] == "terminal" and self.terminal < 0:
                self.terminal = descriptors.pop()
            for descriptor in descriptors:
                os.close(descriptor)

        return report

    def left(self, loop: Part) -> None:
        """The caller has gone: what it prints to its terminal is read, or it would stand still."""
        if self.terminal < 0:
            return

        def drain() -> None:
            try:
                more = os.read(self.terminal, 1 << 16)
            except BlockingIOError:
                return
            except OSError:  # EIO: nobody has the terminal open any more
                more = b""
            if not more:
                loop.remove(self.terminal)

        loop.add(self.terminal, drain)

    def report_end(self, loop: Part, code: int) -> None:
        """Tell the caller how it ended, after everything else there is to tell."""
        report = self.report_start(loop)
        while self._starting:
            report()
        os.close(self.pidfd)
        if self.terminal >= 0:
            loop.remove(self.terminal)
            os.close(self.terminal)
        if not self._failed:
            self._tell({"event": "exited", "code": code, "oom": False, "error": ""})

    def _tell(self, message: dict[str, object], descriptors: Sequence[int] = ()) -> None:
        with contextlib.suppress(OSError):  # the caller has gone; the process goes on, as with docker
            control.send(self.connection, message, descriptors)


def start(
    host: Host,
    plan: op.Plan,
    config: ContainerConfig,
    spec: ExecSpec,
    descriptors: Sequence[int],
    connection: socket.socket,
) -> Execution:
    """Start the process; `descriptors` are its standard input, output and error, none with a terminal."""
    shared = config.spec.shared
    joined = Flags.NEWNS if shared.pid else Flags.NEWNS | Flags.NEWPID
    for operation in plan.host:
        if isinstance(operation, op.CreateNamespaces | op.JoinNamespaces):
            joined |= operation.namespaces
    # Here, so that the next exec finds it made.
    for step in plan.init:
        if isinstance(step, op.InstallSeccomp):
            filters.program(step.profile, step.capabilities)
    group = host.cgroup if host.cgroup is not None and host.cgroup.enters else None
    birthplace = None if group is None else group.descriptor()
    entrances = () if group is None else group.entrances()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor = os.pidfd_open(os.getpid())
    init = Init({}, theirs, supervisor, entrances)
    limit = _limiter(config.spec.ulimits)
    pid = 0

    def prepare() -> vfork.Command:
        cgroups.enter(init.entrances)
        # Not before it is in the group: whoever is outside cannot put anybody into what such a namespace shows (ENOENT
        # where cgroup2 is mounted with nsdelegate).
        if not shared.cgroup:
            process.pidfd_setns(host.pidfd, Flags.NEWCGROUP)
        return _prepare(init, config, spec, plan, descriptors or _nulls())

    def between() -> None:
        nonlocal pid
        process.set_dumpable(False)
        limit()
        process.pidfd_setns(host.pidfd, joined)
        pid, pidfd = namespaces.clone(cgroup=birthplace, parent=True)
        if pid == 0:
            run_forked(init, prepare, theirs, (*descriptors, host.pidfd))
        os.close(pidfd)

    try:
        vfork.call(between)
        if host.cgroup is not None and not host.cgroup.enters:
            host.cgroup.add(pid)
        control.send(ours, {"event": "go"})
        return Execution(pid, os.pidfd_open(pid), ours, connection)
    except OSError as error:
        ours.close()
        raise SandboxError(
            f"cannot enter container {config.id[:12]}: {(error.strerror or '').lower()}",
            hint="it may be ending",
            reference="exec-failed",
        ) from error
    finally:
        process.set_dumpable(True)  # the first child, in our memory, has taken that away
        theirs.close()
        for descriptor in (supervisor, *entrances, *(() if birthplace is None else (birthplace,))):
            os.close(descriptor)


def _limiter(ulimits: Sequence[str]) -> Callable[[], object]:
    """What sets the container's limits of single processes on the process that calls it, while it has the rights."""
    if not ulimits:
        return lambda: None
    from sandbox.kernel import rlimits  # noqa: PLC0415  (few containers have any)

    limits = tuple(map(rlimits.parse, ulimits))
    return lambda: rlimits.apply(limits)


def _nulls() -> tuple[int, int, int]:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    return null, null, null


def _prepare(init: Init, config: ContainerConfig, spec: ExecSpec, plan: op.Plan, stdio: Sequence[int]) -> vfork.Command:
    """In the second child: what init did after its pivot, for this process."""
    for target, source in enumerate(stdio):
        os.dup2(source, target)
    os.setsid()
    os.umask(0o022)
    for operation in plan.init:
        if isinstance(operation, op.BecomeRoot) and operation.set_groups:
            os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    process.leave_session_keyring()
    os.chdir("/")
    init.root = paths.Root("/")
    if spec.terminal:
        os.login_tty(open_terminal(init))
    enter_directory(init.root, spec.working_dir or config.working_dir)
    security, shared = config.spec.security, config.spec.shared
    privileged = spec.privileged or security.privileged
    keep = capability_set(security._replace(privileged=privileged), shared)
    no_new_privileges = security.no_new_privileges and not privileged
    if not privileged and not no_new_privileges:  # see the plan
        _filter(plan)
    become_user(init, spec.user or config.user, keep, no_new_privileges=no_new_privileges, groups=config.spec.groups)
    environment = dict(entry.partition("=")[::2] for entry in config.environment) | dict(spec.environment)
    environment.setdefault("HOME", init.home)
    prepare_exec(init)
    if not privileged and no_new_privileges:
        _filter(plan)
    return command(spec.command, environment)


def _filter(plan: op.Plan) -> None:
    for operation in plan.init:
        if isinstance(operation, op.InstallSeccomp):
            seccomp.install(filters.program(operation.profile, operation.capabilities))
