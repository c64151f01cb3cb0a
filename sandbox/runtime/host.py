"""The host's side of a plan, carried out by the container's supervisor.

Everything that needs the host's rights happens here, before init is born: control group, namespaces and id maps, the
overlay, detached copies of what is mounted from the host, the veth pair. Mounts are made in a mount namespace that
lasts as long as the start, and reach init as descriptors, so the host's mount table never changes and nothing is left
in it however the supervisor ends.

Init works in the supervisor's memory (`kernel.vfork`) where it can enter its control group by itself. Into a cgroup2 it
has to be cloned, or moved by the user's systemd: then it is a forked child, which tells its errors over `channel`. So
it is where it stays beside the command, or gets limits that only the host's root may set.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import stat
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, NotFoundError, SandboxError, UnsupportedError
from sandbox.kernel import credentials, files, idmap, mounts, namespaces, paths, process, vfork
from sandbox.kernel.cgroups import Cgroup
from sandbox.kernel.mounts import Attr
from sandbox.kernel.namespaces import Flags
from sandbox.runtime import control, spares
from sandbox.runtime import operations as op
from sandbox.runtime.init import Init, execution_error, run_forked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from sandbox.network.resolver import Sockets
    from sandbox.runtime.facts import Allocations

_KINDS = {Flags.NEWNET: "net", Flags.NEWUSER: "user", Flags.NEWPID: "pid", Flags.NEWIPC: "ipc"}  # names in /proc


class Host:
    """What the operations share; `pid` and `pidfd` are init's once it is started, `terminal` its terminal's master."""

    def __init__(self, allocations: Allocations, stdio: Sequence[int]) -> None:
        self._allocations = allocations
        self.warnings: list[str] = []
        self.cgroup: Cgroup | None = None
        self._limits_asked = False
        self.pid = 0
        self.pidfd = -1
        self.terminal = -1
        self.resolver: Sockets | None = None
        self._stdio = stdio
        self._namespaces: dict[Flags, int] = {}
        self._ids: idmap.IdMap | None = None
        self._mounts: dict[str, int] = {}
        self._root = -1
        self._former_mounts = -1
        self._plan: op.Plan | None = None
        self._network_begun = False  # its namespace was ready
        self._at_birth: list[Callable[[], object]] = []  # what needs init's pid, before init does anything

    def execute(self, plan: op.Plan) -> None:
        """Carry out the host's side, and init's in its process; returns when the container's command runs."""
        self._plan = plan
        try:
            for operation in plan.host:
                _ACTIONS[type(operation)](self, operation)
        finally:
            # The root stays open here: its last user synchronises the disk, which must not be init on its way out.
            self._root = self._mounts.pop("root", -1)
            for descriptor in self._mounts.values():
                os.close(descriptor)
            for descriptor in self._namespaces.values():
                os.close(descriptor)
            self._mounts.clear()
            self._namespaces.clear()
            self._leave_mounts()

    def assemble(self, operations: Sequence[op.HostOperation]) -> tuple[dict[str, int], int]:
        """Carry out some operations without a container: what they prepared by key, and the user namespace's
        descriptor; both are the caller's.
        """
        for operation in operations:
            _ACTIONS[type(operation)](self, operation)
        return self._mounts, self._namespaces[Flags.NEWUSER]

    def close(self, release: Callable[[int], None]) -> None:
        """Let go of init, which has ended, and of the root, which `release` closes: that may synchronise a disk."""
        if self._root >= 0:
            release(self._root)
            self._root = -1
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _join_namespaces(self, operation: op.JoinNamespaces) -> None:
        # Entered in this order: a network alone before our user namespace, in which nobody has a right to it
        for flag, name in _KINDS.items():
            if flag in operation.namespaces:
                self._namespaces[flag] = _namespace_of(operation.pid, operation.start_time, name)

    def _share_memory(self, operation: op.ShareMemory) -> None:
        theirs = _namespace_of(operation.pid, operation.start_time, "mnt")
        ours = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            namespaces.setns(theirs, Flags.NEWNS)
            try:
                with paths.Root("/") as root:
                    place = root.open("/dev/shm", os.O_PATH | os.O_DIRECTORY, follow_final=False)  # noqa: S108
                self._mounts[operation.key] = mounts.open_tree("", dirfd=place, clone=True)
                os.close(place)
            finally:
                namespaces.setns(ours, Flags.NEWNS)
        finally:
            os.close(theirs)
            os.close(ours)

    def _make_system(self, operation: op.MakeSystem) -> None:
        attributes = Attr.NOSUID | Attr.NODEV | Attr.NOEXEC
        if not operation.writable:
            attributes |= Attr.RDONLY
        self._mounts[operation.key] = namespaces.in_network(
            self._namespaces[Flags.NEWNET], functools.partial(mounts.fs_mount, "sysfs", {}, attributes=attributes)
        )

    def _create_namespaces(self, operation: op.CreateNamespaces) -> None:
        spare, self._allocations.spare = self._allocations.spare, None
        if spare is not None and not spare.has(operation.namespaces):
            spare.close()
            spare = None
        self._network_begun = spare is not None
        if spare is not None:
            self._namespaces |= spare.namespaces
        elif Flags.NEWUSER in self._namespaces:
            self._namespaces |= spares.make_within(self._namespaces[Flags.NEWUSER], operation.namespaces)
        else:
            self._namespaces |= spares.make(operation.namespaces, operation.ids)
        self._ids = operation.ids
        for descriptor in self._stdio:
            # Pipes become the container root's, so that its users can open /dev/stdout again.
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.fchown(descriptor, operation.ids.uids[0].host, operation.ids.gids[0].host)

    def _start_init(self, operation: op.StartInit) -> None:
        assert self._plan is not None, "execute sets it"  # noqa: S101
        cgroup = self.cgroup if self.cgroup is not None and self.cgroup.enters else None
        birthplace = None if cgroup is None else cgroup.descriptor()
        entrances = () if cgroup is None else cgroup.entrances()
        supervisor = os.pidfd_open(os.getpid())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        init = Init(self._mounts, theirs, supervisor, entrances, network_begun=self._network_begun)
        prepare = functools.partial(init.prepare, self._plan.init, self._stdio)
        enter = functools.partial(self._enter_namespaces, operation.namespaces)
        try:
            if birthplace is None and cgroup is self.cgroup and not self._needs_memory_of_its_own(operation.namespaces):
                self._spawn(prepare, enter)
            else:
                self._fork(init, prepare, enter, birthplace, theirs)
                for set_up in self._at_birth:
                    set_up()
                control.send(ours, {"event": "go"})
            theirs.close()
            self.pidfd = os.pidfd_open(self.pid)
            self._follow(ours)
        finally:
            process.set_dumpable(True)  # a child in our memory has taken that away
            theirs.close()
            ours.close()
            for descriptor in (supervisor, *entrances, *(() if birthplace is None else (birthplace,))):
                os.close(descriptor)

    def _needs_memory_of_its_own(self, further: Flags) -> bool:
        """Whether init stays (`--init`), has to be looked after between its birth and its work, or may come to grief on
        its way, and we with it: by a filter of the caller's, or by others in the process namespace, who could stop it.
        """
        assert self._plan is not None, "execute sets it"  # noqa: S101
        filters = (step.profile for step in self._plan.init if isinstance(step, op.InstallSeccomp))
        return (
            bool(self._at_birth)
            or isinstance(self._plan.init[-1], op.ExecuteChild)
            or Flags.NEWPID not in further
            or any(profile != "default" for profile in filters)
        )

    def _enter_namespaces(self, further: Flags) -> None:
        process.set_dumpable(False)
        for flag, descriptor in self._namespaces.items():  # the user namespace first: the others belong to it
            namespaces.setns(descriptor, flag)
        namespaces.unshare(further)

    def _spawn(self, prepare: Callable[[], vfork.Command], enter: Callable[[], None]) -> None:
        try:
            self.pid = vfork.spawn(prepare, within=enter)
        except vfork.ExecuteError as failure:
            raise execution_error(self._command(), failure.error) from failure

    def _fork(
        self,
        init: Init,
        prepare: Callable[[], vfork.Command],
        enter: Callable[[], None],
        group: int | None,
        channel: socket.socket,
    ) -> None:
        def between() -> None:
            enter()
            self.pid, pidfd = namespaces.clone(cgroup=group, parent=True)
            if self.pid == 0:
                run_forked(init, prepare, channel, self._stdio)
            os.close(pidfd)

        vfork.call(between)
        if self.cgroup is not None and not self.cgroup.enters:
            self.cgroup.add(self.pid)
            if self._limits_asked:  # what the group lacks is known now
                self.warnings.extend(self.cgroup.warnings)

    def _follow(self, channel: socket.socket) -> None:
        """Take init's messages until its exec, which closes the channel: its terminal, or why it failed."""
        while (received := control.receive(channel)) is not None:
            message, descriptors = received
            if message["event"] == "terminal":
                (self.terminal,) = descriptors
            control.raise_error(message)

    def _command(self) -> str:
        assert self._plan is not None, "execute sets it"  # noqa: S101
        last = self._plan.init[-1]
        return last.argv[0] if isinstance(last, op.Execute) else ""

    def _mount_layer(self, operation: op.MountLayer) -> None:
        tree = mounts.open_tree(operation.source, clone=True)
        if operation.idmapped:
            mounts.set_attributes(tree, idmap_namespace=self._namespaces[Flags.NEWUSER])
        os.mkdir(operation.name)
        mounts.move_mount(tree, operation.name)
        os.close(tree)

    def _mount_overlay(self, operation: op.MountOverlay) -> None:
        options = mounts.overlay_options(
            operation.lowers, "rw/upper", "rw/work", userxattr=operation.userxattr, volatile=operation.volatile
        )
        assert self._ids is not None, "ids are mapped first"  # noqa: S101
        os.mkdir("root")
        if operation.userxattr:
            mounts.mount("overlay", "root", "overlay", 0, options)
        else:
            with credentials.file_system_ids(self._ids.uids[0].host, self._ids.gids[0].host):
                mounts.mount("overlay", "root", "overlay", 0, options)
        root = self._mounts["root"] = mounts.open_tree("root", clone=True)
        # A device node in somebody's image opens nothing: what is in /dev is mounted there one by one.
        mounts.set_attributes(root, set=Attr.NODEV)
        # The overlay keeps its own references; taking the scratch away lets the container's folder be removed later.
        mounts.umount(".", detach=True)
        os.chdir("/")

    def _prepare_mount(self, operation: op.PrepareMount) -> None:
        try:
            tree = self._open_tree(operation)
        except OSError as error:
            if operation.device is not None and error.errno == errno.ENOENT:
                raise UnsupportedError(f"the host has no {operation.source}", hint="is /dev mounted?") from error
            raise
        self._mounts[operation.key] = tree
        if operation.device is not None:
            information = os.fstat(tree)
            if not stat.S_ISCHR(information.st_mode) or information.st_rdev != os.makedev(*operation.device):
                raise SandboxError(
                    f"{operation.source} on the host is not the device {operation.device[0]}:{operation.device[1]}",
                    reference="not-a-device",
                )
        if operation.idmapped:
            try:
                mounts.set_attributes(
                    tree, idmap_namespace=self._namespaces[Flags.NEWUSER], recursive=operation.recursive
                )
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EPERM):
                    raise
                self.warnings.append(
                    f"{operation.source}: its file system cannot map ids, so its files appear as nobody's inside"
                )
        if operation.read_only:
            recursive = operation.recursive and not operation.writable_below
            mounts.set_attributes(tree, set=Attr.RDONLY, recursive=recursive)
        if operation.private:
            mounts.set_attributes(tree, propagation=mounts.Mount.PRIVATE, recursive=operation.recursive)

    @staticmethod
    def _open_tree(operation: op.PrepareMount) -> int:
        if not operation.subpath:
            return mounts.open_tree(operation.source, clone=True, recursive=operation.recursive)
        from sandbox.kernel.paths import Root  # noqa: PLC0415  (for few mounts)

        with Root(operation.source) as root:
            place = root.open(operation.subpath, os.O_PATH)
        try:
            return mounts.open_tree(place, clone=True, recursive=operation.recursive)
        finally:
            os.close(place)

    def _make_device(self, operation: op.MakeDevice) -> None:
        try:
            found = os.stat(operation.source)
        except OSError as error:
            raise NotFoundError(
                f"no device {operation.source!r} on the host: {(error.strerror or '').lower()}",
                reference="no-such-device",
            ) from error
        if not stat.S_ISCHR(found.st_mode) and not stat.S_ISBLK(found.st_mode):
            raise InvalidError(f"{operation.source!r} is not a device", hint="mount it with -v", reference="no-device")
        if not operation.made:
            self._mounts[operation.key] = mounts.open_tree(operation.source, clone=True)
            return
        assert self._ids is not None, "ids are mapped first"  # noqa: S101
        name = operation.key.replace("/", "-")
        os.mknod(name, found.st_mode, found.st_rdev)
        os.chown(name, self._ids.uids[0].host, self._ids.gids[0].host)
        os.chmod(name, stat.S_IMODE(found.st_mode))
        self._mounts[operation.key] = mounts.open_tree(name, clone=True)

    def _set_process_limits(self, operation: op.SetProcessLimits) -> None:
        from sandbox.kernel import rlimits  # noqa: PLC0415  (few containers have any)

        limits = tuple(map(rlimits.parse, operation.limits))
        self._at_birth.append(lambda: self.warnings.extend(rlimits.apply(limits, self.pid)))

    def _set_oom_score(self, operation: op.SetOomScore) -> None:
        def set_it() -> None:
            try:
                files.write(f"/proc/{self.pid}/oom_score_adj", str(operation.adjustment))
            except OSError as error:
                reason = (error.strerror or "").lower()
                self.warnings.append(f"oom_score_adj {operation.adjustment} is not set: {reason}")

        self._at_birth.append(set_it)

    def _connect_network(self, operation: op.ConnectNetwork) -> None:
        self._allocations.networks.connect(operation.attachment, self._namespaces[Flags.NEWNET])
        notices = self._allocations.networks.notices
        self.warnings.extend(notice for notice in notices if notice not in self.warnings)

    def _unshare_mounts(self, operation: op.UnshareMounts) -> None:
        self._former_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.unshare(Flags.NEWNS)
        kind = mounts.Mount.SLAVE if operation.slave else mounts.Mount.PRIVATE
        mounts.mount("", "/", "", kind | mounts.Mount.REC)

    def _leave_mounts(self) -> None:
        """Back to where the host's mounts come and go: a lasting copy would miss new ones and keep old ones busy."""
        if self._former_mounts >= 0:
            namespaces.setns(self._former_mounts, Flags.NEWNS)
            os.close(self._former_mounts)
            self._former_mounts = -1

    def _open_resolver(self, _: op.OpenResolver) -> None:
        from sandbox.network import resolver  # noqa: PLC0415  (not for the default network)

        self.resolver = resolver.listen(self._namespaces[Flags.NEWNET])

    def _create_cgroup(self, operation: op.CreateCgroup) -> None:
        self.cgroup = Cgroup.create(self._allocations.hierarchy, operation.name, operation.limits)
        self._limits_asked = operation.asked
        if operation.asked:
            self.warnings.extend(self.cgroup.warnings)


def _namespace_of(pid: int, start_time: int, kind: str) -> int:
    """A namespace of another container's first process; raises ConflictError where that has ended."""
    descriptor = -1
    try:
        descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        # Looked at after the namespace was opened: the number may be another process's by now
        if process.start_time(pid) != start_time:
            raise ProcessLookupError
    except (FileNotFoundError, ProcessLookupError) as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise ConflictError(
            "the container whose namespaces were to be joined has just ended", hint="start it again first"
        ) from error
    return descriptor


def _write_file(_: Host, operation: op.WriteFile) -> None:
    files.create(operation.path, operation.text)


def _mount_scratch(_: Host, operation: op.MountScratch) -> None:
    mounts.mount("tmpfs", operation.path, "tmpfs", 0, "mode=700")
    os.chdir(operation.path)


_ACTIONS: dict[type, Callable[[Host, Any], None]] = {
    op.UnshareMounts: Host._unshare_mounts,
    op.CreateCgroup: Host._create_cgroup,
    op.JoinNamespaces: Host._join_namespaces,
    op.ShareMemory: Host._share_memory,
    op.MakeSystem: Host._make_system,
    op.CreateNamespaces: Host._create_namespaces,
    op.WriteFile: _write_file,
    op.MountScratch: _mount_scratch,
    op.MountLayer: Host._mount_layer,
    op.MountOverlay: Host._mount_overlay,
    op.PrepareMount: Host._prepare_mount,
    op.MakeDevice: Host._make_device,
    op.SetProcessLimits: Host._set_process_limits,
    op.SetOomScore: Host._set_oom_score,
    op.ConnectNetwork: Host._connect_network,
    op.OpenResolver: Host._open_resolver,
    op.StartInit: Host._start_init,
}
