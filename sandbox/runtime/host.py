"""The host's side of a plan, carried out by the container's supervisor.

Everything that needs the host's rights happens here, before and around the birth of init: control group, id maps, the
overlay, detached copies of what is mounted from the host, the veth pair. Mounts are made in a mount namespace of the
supervisor's own and reach init as descriptors, so the host's mount table never changes and nothing is left in it
however the supervisor ends.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError, UnsupportedError
from sandbox.kernel import credentials, idmap, mounts, namespaces, polling
from sandbox.kernel.cgroups import Cgroup
from sandbox.kernel.mounts import Attr
from sandbox.kernel.namespaces import Flags
from sandbox.runtime import control
from sandbox.runtime import operations as op
from sandbox.runtime.init import Init

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from sandbox.kernel.cgroups import Hierarchy
    from sandbox.network.networks import Networks

_PATIENCE = 0.2  # seconds between a process's loss of its namespaces and sockets, which we meet, and its end


class Host:
    """What the operations share; `pid`, `pidfd` and `channel` are init's once it is cloned."""

    def __init__(
        self,
        folder: Path,
        hierarchy: Hierarchy,
        networks: Networks,
        stdio: tuple[int, int, int],
    ) -> None:
        self.folder = folder
        self.networks = networks
        self.warnings: list[str] = []
        self.cgroup: Cgroup | None = None
        self.pid = 0
        self.pidfd = -1
        self.channel: socket.socket | None = None
        self._hierarchy = hierarchy
        self._stdio = stdio
        self._namespaces = Flags(0)
        self._user_namespace = -1
        self._ids: idmap.IdMap | None = None
        self._mounts: dict[str, int] = {}
        self._plan: op.Plan | None = None

    def execute(self, plan: op.Plan) -> None:
        """Carry out the host's side and let init go on; returns while init still works (its channel tells how it
        ends). Raises what init ended with, where that is why the host's side failed.
        """
        try:
            self._execute(plan)
        except OSError as error:
            self._explain(error)
            raise

    def _execute(self, plan: op.Plan) -> None:
        self._plan = plan
        for operation in plan.host:
            _ACTIONS[type(operation)](self, operation)
        assert self.channel is not None, "a plan clones init"  # noqa: S101
        control.send(self.channel, {"event": "go", "mounts": list(self._mounts)}, list(self._mounts.values()))
        # The root stays open here: its last user synchronises the disk, which must not be init on its way out.
        for key, descriptor in self._mounts.items():
            if key != "root":
                os.close(descriptor)
        self._mounts.clear()
        if self._user_namespace >= 0:
            os.close(self._user_namespace)

    def _explain(self, error: OSError) -> None:
        if self.channel is None or not polling.readable(self.pidfd, _PATIENCE):
            return
        received = control.receive(self.channel)
        if received is not None:
            control.raise_error(received[0])
        raise SandboxError(
            "the container's first process was killed while it was made",
            hint="a memory limit may be too low for it, or the host's memory too little",
            reference="init-killed",
        ) from error

    def _clone(self, operation: op.CloneInit) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        plan = self._plan
        assert plan is not None, "execute sets it"  # noqa: S101
        self._namespaces = operation.namespaces
        group = self.cgroup.descriptor() if self.cgroup is not None and self.cgroup.enters else None
        self.pid, self.pidfd = namespaces.clone(operation.namespaces, cgroup=group)
        if self.pid == 0:
            ours.close()
            for target, source in enumerate(self._stdio):
                os.dup2(source, target)
            Init(theirs, self.cgroup).run(plan.init)
        if group is not None:
            os.close(group)
        theirs.close()
        self.channel = ours

    def _map_ids(self, operation: op.MapIds) -> None:
        idmap.write(self.pid, operation.ids)
        self._ids = operation.ids
        self._user_namespace = os.open(f"/proc/{self.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        assert self.channel is not None, "a plan clones init first"  # noqa: S101
        control.send(self.channel, {"event": "mapped", "mounts": []})
        for descriptor in self._stdio:
            # Pipes become the container root's, so that its users can open /dev/stdout again.
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.fchown(descriptor, operation.ids.uids[0].host, operation.ids.gids[0].host)

    def _mount_layer(self, operation: op.MountLayer) -> None:
        tree = mounts.open_tree(operation.source, clone=True)
        if operation.idmapped:
            mounts.set_attributes(tree, idmap_namespace=self._user_namespace)
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
            tree = mounts.open_tree(operation.source, clone=True, recursive=operation.recursive)
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
                mounts.set_attributes(tree, idmap_namespace=self._user_namespace, recursive=operation.recursive)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EPERM):
                    raise
                self.warnings.append(
                    f"{operation.source}: its file system cannot map ids, so its files appear as nobody's inside"
                )
        if operation.read_only:
            mounts.set_attributes(tree, set=Attr.RDONLY, recursive=operation.recursive)

    def _connect_network(self, operation: op.ConnectNetwork) -> None:
        descriptor = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.networks.connect(operation.attachment, descriptor)
        finally:
            os.close(descriptor)

    def _create_cgroup(self, operation: op.CreateCgroup) -> None:
        self.cgroup = Cgroup.create(self._hierarchy, operation.name, operation.limits)
        if operation.asked:
            self.warnings.extend(self.cgroup.warnings)

    def _join_cgroup(self, _: op.JoinCgroup) -> None:
        if self.cgroup is not None and not self.cgroup.enters:
            self.cgroup.add(self.pid)


def _unshare_mounts(_: Host, __: op.UnshareMounts) -> None:
    namespaces.unshare(Flags.NEWNS)
    mounts.mount("", "/", "", mounts.Mount.PRIVATE | mounts.Mount.REC)


def _write_file(_: Host, operation: op.WriteFile) -> None:
    descriptor = os.open(operation.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, operation.text.encode())
    finally:
        os.close(descriptor)


def _mount_scratch(_: Host, operation: op.MountScratch) -> None:
    mounts.mount("tmpfs", operation.path, "tmpfs", 0, "mode=700")
    os.chdir(operation.path)


_ACTIONS: dict[type, Callable[[Host, Any], None]] = {
    op.UnshareMounts: _unshare_mounts,
    op.CreateCgroup: Host._create_cgroup,
    op.CloneInit: Host._clone,
    op.MapIds: Host._map_ids,
    op.JoinCgroup: Host._join_cgroup,
    op.WriteFile: _write_file,
    op.MountScratch: _mount_scratch,
    op.MountLayer: Host._mount_layer,
    op.MountOverlay: Host._mount_overlay,
    op.PrepareMount: Host._prepare_mount,
    op.ConnectNetwork: Host._connect_network,
}
