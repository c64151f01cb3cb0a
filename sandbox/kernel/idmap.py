"""User namespaces' id maps: what they are, writing them, and an ordinary user's way to root.

Called by the composition roots (`become_root`, once, first of all), by the runtime (maps of containers) and by the
image part (id-mapped mounts outside a container). The records are pure; the rest touches /proc and calls newuidmap and
newgidmap. Source: user_namespaces(7), subuid(5), newuidmap(1).
"""

from __future__ import annotations

import os
import signal

from sandbox.errors import UnsupportedError
from sandbox.kernel import files, mounts, namespaces
from sandbox.records import NamedTuple

_INITIAL_NAMESPACE = 0xEFFF_FFFD  # inode of the first user namespace, linux/nsfs.h USER_NS_INIT_INO
_WAIT_ALL = 0x4000_0000  # __WALL: also children whose exit signal is 0
_ALL_SIGNALS = frozenset(range(1, 32)) | frozenset(range(34, 65))  # 32 and 33 are libc's own
_UID_FAILED, _GID_FAILED = 1, 2
# CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, SYS_ADMIN of linux/capability.h
_ROOTS_CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 21


class IdRange(NamedTuple):
    """`size` ids, from `container` on inside the namespace and from `host` on in its parent."""

    container: int
    host: int
    size: int


class IdMap(NamedTuple):
    """The users and groups of a user namespace."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    @classmethod
    def identity(cls, size: int, *, within: IdMap | None = None) -> IdMap:
        """The map of a nested namespace that changes no number: every id below `size` that exists `within` (default:
        here).

        Extents stay apart: the kernel wants each of the new ones inside a single one of the parent's.
        """
        here = current() if within is None else within
        return cls(uids=_onto_themselves(here.uids, size), gids=_onto_themselves(here.gids, size))

    @property
    def single(self) -> bool:
        """Whether there is only one user or only one group, so that files cannot be given to others."""
        return min(sum(extent.size for extent in extents) for extents in (self.uids, self.gids)) <= 1

    def lines(self) -> tuple[str, str]:
        """The texts for uid_map and gid_map."""
        return _text(self.uids), _text(self.gids)


def _onto_themselves(extents: tuple[IdRange, ...], size: int) -> tuple[IdRange, ...]:
    return tuple(
        IdRange(extent.container, extent.container, min(extent.size, size - extent.container))
        for extent in extents
        if extent.container < size
    )


def _text(extents: tuple[IdRange, ...]) -> str:
    return "".join(f"{extent.container} {extent.host} {extent.size}\n" for extent in extents)


def _parse(text: str) -> tuple[IdRange, ...]:
    return tuple(IdRange(*(int(word) for word in line.split())) for line in text.splitlines())


def current() -> IdMap:
    """The map of the namespace this process is in."""
    return IdMap(_parse(_read("/proc/self/uid_map")), _parse(_read("/proc/self/gid_map")))


def in_initial_namespace() -> bool:
    """Whether this process is in the host's first user namespace."""
    descriptor = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fstat(descriptor).st_ino == _INITIAL_NAMESPACE
    finally:
        os.close(descriptor)


def write(pid: int, idmap: IdMap, *, setgroups: bool = True) -> None:
    """Give the new user namespace of `pid` its map, once and for ever; each file in one write, as the kernel demands.

    Without CAP_SETGID in the parent namespace `setgroups` must be False. Raises `OSError` naming the file; EPERM when
    an id is not the writer's to give, EINVAL when extents overlap.
    """
    uids, gids = idmap.lines()
    if not setgroups:
        files.write(f"/proc/{pid}/setgroups", "deny")
    files.write(f"/proc/{pid}/gid_map", gids)
    files.write(f"/proc/{pid}/uid_map", uids)


def subordinate_ranges(user: str, uid: int, text: str) -> tuple[tuple[int, int], ...]:
    """The `(first, count)` that a subuid(5) or subgid(5) file gives to a user, by name or number; malformed lines
    are passed over.
    """
    ranges = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) != 3 or fields[0] not in (user, str(uid)):
            continue
        if fields[1].isdecimal() and fields[2].isdecimal() and int(fields[2]) > 0:
            ranges.append((int(fields[1]), int(fields[2])))
    return tuple(ranges)


def subordinate_map(own: int, ranges: tuple[tuple[int, int], ...]) -> tuple[IdRange, ...]:
    """Root is the user, and from 1 on follow the subordinate ids."""
    extents = [IdRange(0, own, 1)]
    for first, count in ranges:
        last = extents[-1]
        extents.append(IdRange(last.container + last.size, first, count))
    return tuple(extents)


def become_root() -> IdMap | None:
    """Make an ordinary user root of an own user and mount namespace; `None` for somebody who is root already.

    Root without the capabilities that root's engine needs (in a container of another engine, say) is an ordinary user
    with the one id.

    With newuidmap, newgidmap and ranges in /etc/subuid and /etc/subgid those ids exist inside, from 1 on; without,
    there is the one id 0 (the result is `single`) and setgroups is denied. Supplementary groups are kept, since they
    may be what gives access to the user's own files; a container drops them. All mounts are private afterwards. The
    process must be single-threaded and dumpable. Raises `UnsupportedError` where the host forbids user namespaces.
    """
    if is_root():
        return None
    uid, gid = os.geteuid(), os.getegid()
    extents = _subordinate_extents(uid, gid) if uid else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        mapper = None if extents is None else _Mapper(os.getpid(), *extents)
        try:
            namespaces.unshare(namespaces.Flags.NEWUSER | namespaces.Flags.NEWNS)
        except OSError as error:
            if mapper is not None:
                mapper.finish(go=False)
            raise _forbidden(error) from error
        failed = _UID_FAILED | _GID_FAILED if mapper is None else mapper.finish(go=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        if failed & _UID_FAILED:
            files.write("/proc/self/uid_map", f"0 {uid} 1\n")
        if failed & _GID_FAILED:
            files.write("/proc/self/setgroups", "deny")
            files.write("/proc/self/gid_map", f"0 {gid} 1\n")
        mounts.mount(None, "/", None, mounts.Mount.REC | mounts.Mount.PRIVATE)
    except OSError as error:
        raise _forbidden(error) from error
    return current()


def is_root() -> bool:
    """Whether this process has the rights that root's engine needs: the host's root, or in a namespace of its own."""
    return os.geteuid() == 0 and _is_capable()


def _is_capable() -> bool:
    """Whether this process may do what root's engine does: mounts and namespaces, others' ids, others' files."""
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) & _ROOTS_CAPABILITIES == _ROOTS_CAPABILITIES
    return True


def _forbidden(error: OSError) -> UnsupportedError:
    return UnsupportedError(
        f"cannot make a user namespace: {(error.strerror or str(error)).lower()}",
        hint="see the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and "
        "kernel.apparmor_restrict_unprivileged_userns, or run as root; in a container it takes --privileged",
        reference="user-namespace-forbidden",
    )


def _subordinate_extents(uid: int, gid: int) -> tuple[tuple[IdRange, ...], tuple[IdRange, ...]] | None:
    """The maps of users and groups that newuidmap and newgidmap would grant, if any."""
    try:
        texts = _read("/etc/subuid"), _read("/etc/subgid")
    except OSError:
        return None
    if not all(texts):
        return None
    import pwd  # noqa: PLC0415  (the only one who needs it)

    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    uid_ranges, gid_ranges = (subordinate_ranges(user, uid, text) for text in texts)
    if not uid_ranges or not gid_ranges:
        return None
    return subordinate_map(uid, uid_ranges), subordinate_map(gid, gid_ranges)


class _Mapper:
    """A child that stays in the old namespace, where the set-user-id programs have their power, and maps us when
    told.
    """

    def __init__(self, target: int, uids: tuple[IdRange, ...], gids: tuple[IdRange, ...]) -> None:
        commands = [(_program("newuidmap"), uids, _UID_FAILED), (_program("newgidmap"), gids, _GID_FAILED)]
        wait, self._go = os.pipe()
        pid, self._pidfd = namespaces.clone(exit_signal=0)
        if pid == 0:
            try:
                os.close(self._go)
                if os.read(wait, 1):
                    os._exit(self._run(target, commands))
            finally:
                os._exit(_UID_FAILED | _GID_FAILED)
        os.close(wait)

    def finish(self, *, go: bool) -> int:
        """Let it run, or not, and wait: which of the two maps are missing, as bits."""
        if go:
            os.write(self._go, b"1")
        os.close(self._go)
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | _WAIT_ALL)
        os.close(self._pidfd)
        if result is None or result.si_code != os.CLD_EXITED:
            return _UID_FAILED | _GID_FAILED
        return result.si_status

    @staticmethod
    def _run(target: int, commands: list[tuple[str, tuple[IdRange, ...], int]]) -> int:
        """Both at once; what they say on failure would only confuse, since a single id is the answer."""
        failed = 0
        running = []
        silence = [(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
        for program, extents, bit in commands:
            numbers = " ".join(_text(extents).split()).split()
            try:
                pid = os.posix_spawn(program, [program, str(target), *numbers], {}, file_actions=silence, setsigmask=())
            except OSError:
                failed |= bit
            else:
                running.append((pid, bit))
        for pid, bit in running:
            if os.waitpid(pid, 0)[1] != 0:
                failed |= bit
        return failed


def _program(name: str) -> str:
    """Where `name` is; a user's PATH may lack nothing that matters here, but a service's may."""
    for folder in ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"):
        if os.access(f"{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    return f"/usr/bin/{name}"


def _read(path: str) -> str:
    return files.read(path).decode("utf-8", "replace")
