"""The container's first process, from its creation to exec: carries out the plan's init side.

Called by the supervisor's `host` in the child of `kernel.vfork` or a forked one, whose memory may be the
supervisor's: what is opened here is this process's, what is changed in objects is seen by both. It owns nothing of
the host: it puts the mounts that the supervisor prepared together beneath the new root, pivots, gives its rights away
and becomes the command. Every path inside the root goes through `paths.Root` (openat2); nothing is imported and no
name service is asked after the pivot (CVE-2019-14271); every descriptor but 0–2 is closed by the exec itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import stat
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, SandboxError
from sandbox.kernel import capabilities, cgroups, mounts, namespaces, paths, polling, process, pty, seccomp, syscalls
from sandbox.kernel.mounts import Attr
from sandbox.kernel.namespaces import Flags
from sandbox.kernel.vfork import Command
from sandbox.network import interface
from sandbox.runtime import control, filters, reaping, users
from sandbox.runtime import operations as op

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

_EMPTY = "empty"  # the key of what masks directories
# Files of procfs that tell of the machine, for what shows a container its own share of that, such as lxcfs
_COVERABLE = tuple(
    f"/proc/{name}" for name in ("cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime")
)
_ACCOUNT_FILE_LIMIT = 4 << 20  # bytes of /etc/passwd or /etc/group


class Init:
    """What the operations share: the new root, the prepared mounts, the supervisor's pidfd and the channel to it (a
    terminal goes through it), the ways into the control group, whether its network namespace is set up but for its
    interfaces.
    """

    def __init__(
        self,
        mounts: Mapping[str, int],
        channel: socket.socket | None,
        supervisor: int,
        entrances: tuple[int, ...],
        *,
        network_begun: bool = False,
    ) -> None:
        self.mounts = dict(mounts)
        self.channel = channel
        self.supervisor = supervisor
        self.entrances = entrances
        self.network_begun = network_begun
        self.place = -1
        self.root: paths.Root | None = None
        self.home = "/"

    def prepare(self, operations: Sequence[op.InitOperation], stdio: Sequence[int]) -> Command:
        """Carry them out, with `stdio` as standard input, output and error; what to execute then."""
        for target, source in enumerate(stdio):
            os.dup2(source, target)
        result: Command | None = None
        for operation in operations:
            result = _ACTIONS[type(operation)](self, operation)
        assert result is not None, "a plan ends with Execute"  # noqa: S101
        return result

    def beneath(self) -> paths.Root:
        """The container's root directory."""
        assert self.root is not None, "a plan attaches the root first"  # noqa: S101
        return self.root


def run_forked(init: Init, prepare: Callable[[], Command], channel: socket.socket, stdio: Sequence[int]) -> NoReturn:
    """In a forked child: once the supervisor says so over `channel`, prepare and execute; errors go over it.

    What the supervisor holds for other containers is closed first: their ends must not depend on this one's beginning.
    """
    try:
        used = (*init.mounts.values(), init.supervisor, *init.entrances, channel.fileno(), *stdio)
        process.close_all_but((0, 1, 2, *used))
        if control.receive(channel) is not None:
            command = prepare()
            try:
                os.execve(*command)  # noqa: S606  (the container's own command)
            except OSError as error:
                raise execution_error(command.argv[0], error) from error
    except BaseException as error:
        control.send(channel, control.error_message(error))
    finally:
        os._exit(1)


def _become_root(_: Init, operation: op.BecomeRoot) -> None:
    process.set_dumpable(False)
    os.setsid()
    os.umask(0o022)
    if operation.set_groups:
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    process.leave_session_keyring()


def _enter_cgroup(init: Init, _: op.EnterCgroup) -> None:
    cgroups.enter(init.entrances)


def _unshare_cgroups(_: Init, __: op.UnshareCgroups) -> None:
    namespaces.unshare(Flags.NEWCGROUP)


def _set_hostname(_: Init, operation: op.SetHostname) -> None:
    try:
        socket.sethostname(operation.name)
    except OSError as error:
        raise InvalidError(f"hostname {operation.name!r}: {error.strerror}", hint="use up to 64 characters") from error
    if operation.domain:
        domain = operation.domain.encode()
        try:
            syscalls.syscall("setdomainname", domain, len(domain))
        except OSError as error:
            raise InvalidError(
                f"domain name {operation.domain!r}: {error.strerror}", hint="use up to 64 characters"
            ) from error


def _hold_place(init: Init, operation: op.HoldPlace) -> None:
    init.place = os.open(operation.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _prepare_filesystem(init: Init, operation: op.PrepareFilesystem) -> None:
    attributes = Attr(0)
    for name in operation.attributes:
        attributes |= Attr[name]
    init.mounts[operation.key] = mounts.fs_mount(operation.fstype, dict(operation.options), attributes=attributes)


def _furnish_filesystem(init: Init, operation: op.FurnishFilesystem) -> None:
    inside = init.mounts[operation.key]
    for name in operation.directories:
        os.mkdir(name, 0o755, dir_fd=inside)
    for name in operation.files:
        os.mknod(name, stat.S_IFREG | 0o644, dir_fd=inside)
    for source, name in operation.links:
        os.symlink(source, name, dir_fd=inside)


def _attach_root(init: Init, _: op.AttachRoot) -> None:
    mounts.move_mount(init.mounts["root"], init.place)
    init.root = paths.Root(init.mounts["root"])


def _place_mount(init: Init, operation: op.PlaceMount) -> None:
    _attach(init, init.mounts[operation.key], operation.target, directory=operation.directory)


def _attach(init: Init, descriptor: int, target: str, *, directory: bool) -> None:
    root = init.beneath()
    try:
        place = root.mkdirs(target, 0o755, 0, 0) if directory else root.create(target, 0o644)
    except InvalidError as error:
        raise InvalidError(
            f"cannot mount a file at {target!r} in the container: a directory or device is there",
            hint=f"name the file, such as {target.rstrip('/')}/NAME" if target != "/" else "",
            reference="mount-target",
        ) from error
    except OSError as error:
        raise InvalidError(
            f"cannot mount at {target!r} in the container: {error.strerror}",
            hint="the image has something else there",
            reference="mount-target",
        ) from error
    try:
        _refuse_procfs(place, descriptor, target)
        mounts.move_mount(descriptor, place)
    except OSError as error:
        kind = "directory" if directory else "file"
        raise InvalidError(
            f"cannot mount a {kind} at {target!r} in the container: {error.strerror}", reference="mount-target"
        ) from error
    finally:
        os.close(place)


def _refuse_procfs(place: int, descriptor: int, target: str) -> None:
    """Nothing may hide what the kernel says of processes, or come between us and a setting that we write there, however
    the path leads to it (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881); but for files that tell of the machine, and
    for another procfs.
    """
    if (
        mounts.filesystem_type(place) == mounts.PROC_SUPER_MAGIC
        and target not in _COVERABLE
        and mounts.filesystem_type(descriptor) != mounts.PROC_SUPER_MAGIC
    ):
        raise InvalidError(
            f"cannot mount at {target!r} in the container: that is in its /proc",
            hint=f"only these can be covered there: {', '.join(_COVERABLE)}",
            reference="mount-target",
        )


def _fill_volume(init: Init, operation: op.FillVolume) -> None:
    from sandbox.runtime import filling  # noqa: PLC0415  (loaded already: where the plan was made)

    filling.fill(init.beneath(), operation.target, init.mounts[operation.key])


def _open_terminal(init: Init, _: op.OpenTerminal) -> None:
    slave = open_terminal(init)
    # The slave by its descriptor, not by its name: a process that shares the devpts could swap the name
    # (CVE-2025-52565).
    console = mounts.open_tree("", dirfd=slave, clone=True)
    _attach(init, console, "/dev/console", directory=False)
    os.close(console)
    os.login_tty(slave)


def open_terminal(init: Init) -> int:
    """A new terminal's slave; its master goes to the supervisor."""
    assert init.channel is not None, "the supervisor gives one where a terminal is asked for"  # noqa: S101
    master, slave = pty.open_pty("/dev/ptmx")
    control.send(init.channel, {"event": "terminal"}, [master])
    os.close(master)
    return slave


def _configure_network(init: Init, operation: op.ConfigureNetwork) -> None:
    interface.configure(operation.attachments, begun=init.network_begun)


def _pivot_root(init: Init, _: op.PivotRoot) -> None:
    os.fchdir(init.beneath().fd)
    mounts.pivot_root(".", ".")
    mounts.umount(".", detach=True)
    os.chdir("/")
    init.root = paths.Root("/")


def _mask_path(init: Init, operation: op.MaskPath) -> None:
    root = init.beneath()
    try:
        target = root.open(operation.path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return  # this kernel does not have it
    key = _EMPTY if stat.S_ISDIR(os.fstat(target).st_mode) else "dev/null"
    if key in init.mounts:
        cover = mounts.open_tree("", dirfd=init.mounts[key], clone=True)
        mounts.move_mount(cover, target)
        os.close(cover)
    else:  # once attached it can be copied
        safe = Attr.RDONLY | Attr.NOSUID | Attr.NODEV | Attr.NOEXEC
        init.mounts[key] = mounts.fs_mount("tmpfs", {"size": "0", "mode": "755"}, attributes=safe)
        mounts.move_mount(init.mounts[key], target)
    os.close(target)


def _read_only_path(init: Init, operation: op.ReadOnlyPath) -> None:
    try:
        target = init.beneath().open(operation.path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return
    tree = mounts.open_tree("", dirfd=target, clone=True, recursive=True)
    mounts.set_attributes(tree, set=Attr.RDONLY, recursive=True)
    mounts.move_mount(tree, target)
    os.close(tree)
    os.close(target)


def _set_parameter(init: Init, operation: op.SetParameter) -> None:
    path = f"/proc/sys/{operation.name.replace('.', '/')}"
    try:
        descriptor = init.beneath().open(path, os.O_WRONLY)
        try:
            if mounts.filesystem_type(descriptor) != mounts.PROC_SUPER_MAGIC:  # CVE-2025-52881
                raise OSError(errno.EXDEV, "that is not the kernel's own file")
            os.write(descriptor, operation.value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InvalidError(
            f"cannot set {operation.name} to {operation.value!r}: {(error.strerror or '').lower()}",
            hint="this kernel does not have it" if error.errno == errno.ENOENT else "",
            reference="bad-sysctl",
        ) from error


def _seal_root(_: Init, __: op.SealRoot) -> None:
    mounts.set_attributes("/", set=Attr.RDONLY)


def _enter_directory(init: Init, operation: op.EnterDirectory) -> None:
    enter_directory(init.beneath(), operation.path)


def enter_directory(root: paths.Root, path: str) -> None:
    """Change to `path` beneath `root`, made where missing; never through a magic link to the outside
    (CVE-2024-21626).
    """
    try:
        descriptor = root.mkdirs(path, 0o755, 0, 0)
        os.fchdir(descriptor)
        os.close(descriptor)
        os.getcwd()
    except OSError as error:
        raise InvalidError(
            f"cannot enter the working directory {path!r}: {error.strerror}", reference="working-directory"
        ) from error


def _become_user(init: Init, operation: op.BecomeUser) -> None:
    become_user(
        init,
        operation.user,
        operation.capabilities,
        no_new_privileges=operation.no_new_privileges,
        groups=operation.groups,
    )


def become_user(
    init: Init,
    user: str,
    keep: frozenset[capabilities.Capability],
    *,
    no_new_privileges: bool,
    groups: tuple[str, ...] = (),
) -> None:
    """Resolve `user` against the image's files, own standard streams as that user, and drop what is not in `keep`."""
    root = init.beneath()
    passwd, group = _account_file(root, "/etc/passwd"), _account_file(root, "/etc/group")
    identity = users.resolve(user, passwd, group)
    if groups:
        further = users.resolve_groups(groups, group)
        identity = identity._replace(groups=tuple(dict.fromkeys((*identity.groups, *further))))
    init.home = identity.home
    for descriptor in range(3):
        # So that /dev/stdout can be opened again by the user (nginx logs that way); streams that are not ours refuse.
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or os.isatty(descriptor):
            try:
                os.fchown(descriptor, identity.uid, -1)
            except OSError:
                continue
    if no_new_privileges:
        process.set_no_new_privs()
    try:
        if identity.groups or identity.gid or identity.uid:
            _set_groups(identity.groups)
            os.setresgid(identity.gid, identity.gid, identity.gid)
        if identity.uid == 0:
            capabilities.apply(keep)
        else:
            capabilities.apply_for_user(keep, identity.uid)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise InvalidError(
                f"user {user!r} is {identity.uid}:{identity.gid}, which has no id on the host",
                hint="use ids below 65536; an ordinary user without a subordinate range has only 0",
                reference="id-not-mapped",
            ) from error
        raise


def _set_groups(groups: tuple[int, ...]) -> None:
    # Denied where an ordinary user has a single id: there are no other groups then.
    with contextlib.suppress(PermissionError):
        os.setgroups(groups)


def _account_file(root: paths.Root, path: str) -> bytes:
    try:
        return root.read_regular(path, _ACCOUNT_FILE_LIMIT)
    except (OSError, SandboxError):
        return b""


def _install_seccomp(init: Init, operation: op.InstallSeccomp) -> None:
    prepare_exec(init)  # the filter may forbid what this needs
    seccomp.install(filters.program(operation.profile, operation.capabilities))


def prepare_exec(init: Init) -> None:
    """No descriptor but 0–2 outlives the exec, and SIGKILL comes when the supervisor dies.

    The latter is set after the last change of credentials, which would clear it (prctl(2), PR_SET_PDEATHSIG).
    """
    process.close_range(3, cloexec=True)
    process.set_parent_death_signal(signal.SIGKILL)
    if polling.readable(init.supervisor, 0):  # it died before the line above
        os._exit(1)


def _execute(init: Init, operation: op.Execute) -> Command:
    prepare_exec(init)
    environment = dict(entry.partition("=")[::2] for entry in operation.environment)
    environment.setdefault("HOME", init.home)
    return command(operation.argv, environment)


def _execute_child(init: Init, operation: op.ExecuteChild) -> Command:
    """This process has memory of its own, and stays; its child returns from here."""
    found = _execute(init, op.Execute(operation.argv, operation.environment))
    child = reaping.fork_child()
    if child:
        reaping.serve(child)
    return found


def command(argv: Sequence[str], environment: dict[str, str]) -> Command:
    """`argv` with its program searched on the environment's PATH, as a shell does; raises with docker's exit codes 126
    and 127. All signals are let through from here on.
    """
    name = argv[0]
    directories = environment.get("PATH", "").split(":")
    candidates = [name] if "/" in name else [f"{directory or '.'}/{name}" for directory in directories]
    for candidate in candidates:
        # Asked without an exception for each directory that does not have it.
        if os.access(candidate, os.X_OK, effective_ids=True) and os.path.isfile(candidate):
            process.set_signal_mask(process.NO_SIGNALS)
            return Command(candidate, list(argv), environment)
    if any(_is_denied(candidate) for candidate in candidates):
        raise execution_error(name, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    raise SandboxError(
        f"cannot run {name!r}: no such command in the image",
        hint="check the spelling, and PATH in the image",
        reference="command-not-found",
        exit_code=127,
    )


def _is_denied(path: str) -> bool:
    """Of a path that cannot be executed: whether there is something."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.EACCES
    return True


def execution_error(name: str, error: OSError) -> SandboxError:
    """Why a program that is there cannot be executed."""
    if error.errno == errno.ENOENT:
        return SandboxError(
            f"cannot run {name!r}: its interpreter is missing",
            hint="look at its first line",
            reference="command-not-found",
            exit_code=127,
        )
    hints = {
        errno.EACCES: "it is a directory or lacks its execute permission",
        errno.ENOEXEC: "is it built for this processor?",
    }
    return SandboxError(
        f"cannot run {name!r}: {(error.strerror or '').lower()}",
        hint=hints.get(error.errno or 0, ""),
        reference="command-not-executable",
        exit_code=126,
    )


_ACTIONS: dict[type, Callable[[Init, Any], Command | None]] = {
    op.BecomeRoot: _become_root,
    op.EnterCgroup: _enter_cgroup,
    op.UnshareCgroups: _unshare_cgroups,
    op.SetHostname: _set_hostname,
    op.HoldPlace: _hold_place,
    op.PrepareFilesystem: _prepare_filesystem,
    op.FurnishFilesystem: _furnish_filesystem,
    op.AttachRoot: _attach_root,
    op.PlaceMount: _place_mount,
    op.FillVolume: _fill_volume,
    op.OpenTerminal: _open_terminal,
    op.ConfigureNetwork: _configure_network,
    op.PivotRoot: _pivot_root,
    op.MaskPath: _mask_path,
    op.ReadOnlyPath: _read_only_path,
    op.SetParameter: _set_parameter,
    op.SealRoot: _seal_root,
    op.EnterDirectory: _enter_directory,
    op.BecomeUser: _become_user,
    op.InstallSeccomp: _install_seccomp,
    op.Execute: _execute,
    op.ExecuteChild: _execute_child,
}
