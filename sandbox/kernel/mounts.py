"""Mounts: the old calls (mount, umount2, pivot_root) and the ones on descriptors (open_tree, fsmount, move_mount,
mount_setattr).

Called by the runtime while it builds a container's root, by `idmap` and by the image part for its snapshots. Nothing
here decides what is mounted; a target that lies in a container is given as a descriptor that `paths.Root` resolved,
never as a path. Written for kernel 6.1 and later: overlay goes through mount(2), because fsconfig cuts strings at 256
bytes and `lowerdir+` needs 6.5. Source: mount(2), open_tree(2), fsopen(2), mount_setattr(2), the kernel's
filesystems/overlayfs.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
from enum import IntFlag
from typing import TYPE_CHECKING

from sandbox.kernel.syscalls import encode, syscall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import ClassVar

    from sandbox.kernel.syscalls import StrPath

AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000

# f_type of statfs(2), linux/magic.h
PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
TMPFS_MAGIC = 0x0102_1994
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x6367_7270
DEVPTS_SUPER_MAGIC = 0x1CD1
MQUEUE_MAGIC = 0x1980_0202
OVERLAYFS_SUPER_MAGIC = 0x794C_7630
NSFS_MAGIC = 0x6E73_6673

# mount(2) copies one page; what does not fit is cut off without a word
_DATA_LIMIT = 4096


class Mount(IntFlag):
    """The flags of mount(2), MS_…; the last four are the propagation types."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    NOSYMFOLLOW = 256
    NOATIME = 1024
    NODIRATIME = 2048
    BIND = 4096
    MOVE = 8192
    REC = 16384
    RELATIME = 1 << 21
    STRICTATIME = 1 << 24
    UNBINDABLE = 1 << 17
    PRIVATE = 1 << 18
    SLAVE = 1 << 19
    SHARED = 1 << 20


class Attr(IntFlag):
    """Attributes of one mount for fsmount(2) and mount_setattr(2), MOUNT_ATTR_…; RELATIME is what none of the times
    gives.
    """

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    NOATIME = 0x10
    STRICTATIME = 0x20
    NODIRATIME = 0x80
    NOSYMFOLLOW = 0x20_0000


_ATTR_ATIME = 0x70  # the times are a field of their own, which has to be cleared as a whole
_ATTR_IDMAP = 0x10_0000


class _MountAttributes(ctypes.Structure):
    """`struct mount_attr` of linux/mount.h, MOUNT_ATTR_SIZE_VER0."""

    _fields_: ClassVar = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def mount(
    source: StrPath | None, target: StrPath, fstype: str | None = None, flags: int = 0, data: str | bytes | None = None
) -> None:
    """mount(2). `data` is the file system's own comma-separated options, less than 4096 bytes (else E2BIG). Raises
    `OSError` at target.
    """
    options = None if data is None else os.fsencode(data)
    if options is not None and len(options) >= _DATA_LIMIT:
        raise OSError(errno.E2BIG, f"{len(options)} bytes of mount options, the kernel takes {_DATA_LIMIT - 1}", target)
    syscall(
        "mount",
        None if source is None else encode(source),
        encode(target),
        None if fstype is None else fstype.encode(),
        flags,
        options,
        path=target,
    )


def umount(target: StrPath, *, detach: bool = True) -> None:
    """Unmount; a symbolic link as target is not followed. `detach` takes it out of sight now and frees it when
    nobody uses it any more.
    """
    umount_nofollow, mnt_detach = 8, 2
    syscall("umount2", encode(target), umount_nofollow | (mnt_detach if detach else 0), path=target)


def pivot_root(new: StrPath, old: StrPath) -> None:
    """Make the mount `new` the root and put the former one at `old`; with "." for both, the old one lies over the
    new until unmounted.
    """
    syscall("pivot_root", encode(new), encode(old), path=new)


def open_tree(
    path: StrPath | int, *, dirfd: int = AT_FDCWD, clone: bool = True, recursive: bool = False, follow: bool = True
) -> int:
    """A descriptor of the mount at `path` (or of a descriptor), close-on-exec.

    With `clone` it is a detached copy of the mount, gone with its last descriptor unless `move_mount` attaches it;
    `recursive` takes the mounts below along. An empty path means `dirfd` itself.
    """
    directory, name, flags = _place(path, dirfd)
    open_tree_clone = 1
    flags |= os.O_CLOEXEC | (open_tree_clone if clone else 0) | (_AT_RECURSIVE if recursive else 0)
    return syscall("open_tree", directory, name, flags | (0 if follow else _AT_SYMLINK_NOFOLLOW), path=path)


def move_mount(fd: int, target: StrPath | int, *, dirfd: int = AT_FDCWD) -> None:
    """Attach the detached mount `fd` at `target`, a path whose last component is not followed, or a descriptor."""
    from_empty_path, to_empty_path = 0x4, 0x40
    directory, name, flags = _place(target, dirfd)
    syscall("move_mount", fd, b"", directory, name, from_empty_path | (to_empty_path if flags else 0), path=target)


def fs_mount(fstype: str, options: Mapping[str, str | None], *, attributes: int = 0) -> int:
    """A new file system as a detached mount: fsopen, fsconfig of each option (`None`: a flag without value), fsmount.

    The descriptor is close-on-exec. Raises `OSError` whose text holds what the kernel logged in the context, "proc:
    Unknown parameter 'x'".
    """
    flag, string, create, cloexec = 0, 1, 6, 1
    context = syscall("fsopen", fstype.encode(), cloexec, path=fstype)
    try:
        for key, value in options.items():
            if value is None:
                syscall("fsconfig", context, flag, key.encode(), None, 0, path=key)
            else:
                syscall("fsconfig", context, string, key.encode(), os.fsencode(value), 0, path=f"{key}={value}")
        syscall("fsconfig", context, create, None, None, 0)
        return syscall("fsmount", context, cloexec, attributes)
    except OSError as error:
        detail = "; ".join([error.strerror or "", *_context_messages(context)])
        at = fstype if error.filename is None else f"{fstype} {error.filename}"
        raise OSError(error.errno, detail, at) from None
    finally:
        os.close(context)


def set_attributes(
    target: StrPath | int,
    *,
    set: int = 0,
    clear: int = 0,
    idmap_namespace: int | None = None,
    recursive: bool = False,
    propagation: Mount | None = None,
) -> None:
    """mount_setattr(2) on the mount at `target` (path, not followed, or descriptor); all of the tree or, on an error,
    nothing changes.

    `idmap_namespace`, a descriptor of a user namespace, shows the files' owners through its map; the mount must be
    detached and must not have a map yet. Setting one of the times replaces the others. `propagation` is one of
    `Mount`'s four.
    """
    times = Attr.NOATIME | Attr.STRICTATIME
    attributes = _MountAttributes(attr_set=set, attr_clr=clear, propagation=propagation or 0)
    if (set | clear) & times:
        attributes.attr_clr = (clear & ~times) | _ATTR_ATIME
    if idmap_namespace is not None:
        attributes.attr_set |= _ATTR_IDMAP
        attributes.userns_fd = idmap_namespace
    directory, name, flags = _place(target, AT_FDCWD)
    flags |= _AT_SYMLINK_NOFOLLOW | (_AT_RECURSIVE if recursive else 0)
    size = ctypes.sizeof(attributes)
    syscall("mount_setattr", directory, name, flags, ctypes.byref(attributes), size, path=target)


def filesystem_type(fd: int) -> int:
    """The magic number of the file system behind `fd` (O_PATH will do); compare with the constants above."""
    result = (ctypes.c_long * 16)()  # struct statfs is 120 bytes on both machines; f_type is its first word
    syscall("fstatfs", fd, result, path=f"fd {fd}")
    return int(result[0])


def supports_idmap(path: StrPath | int, namespace_fd: int) -> bool:
    """Whether the file system at `path` can be mounted with the ids of the user namespace `namespace_fd`."""
    tree = open_tree(path, recursive=True)  # a user namespace may not tear a mount from those below it
    try:
        set_attributes(tree, idmap_namespace=namespace_fd)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise
    finally:
        os.close(tree)
    return True


def overlay_options(
    lowers: Sequence[StrPath], upper: StrPath | None, work: StrPath | None, *, userxattr: bool, volatile: bool = False
) -> str:
    """The options of an overlay for `mount`; `lowers` from top to bottom, `upper`/`work` `None` for one that is
    read-only.

    Paths are escaped as the kernel's parser wants them (backslash before `,` `:` and backslash). They may be relative
    to the working directory of the mounting process, which keeps many layers below the page that mount(2) takes.
    `userxattr` for a mount inside a user namespace.

    Redirects and metadata-only copies are off: an upper directory is committed as a layer, so it must hold whole
    files. `index=off` lets the same upper lie over other lowers later. `volatile` leaves out every sync: the unmount
    of a plain overlay writes back the whole file system that the upper is on; after a crash such an upper must be
    thrown away.
    """
    parts = ["lowerdir=" + ":".join(_escape(lower) for lower in lowers)]
    if upper is not None and work is not None:
        parts += [f"upperdir={_escape(upper)}", f"workdir={_escape(work)}", "index=off"]
    # with userxattr the kernel has both off and rejects some spellings of saying so
    parts += ["userxattr"] if userxattr else ["redirect_dir=nofollow", "metacopy=off"]
    if volatile:
        parts.append("volatile")
    return ",".join(parts)


def _escape(path: StrPath) -> str:
    """`path` for overlay's options; undecodable bytes stay as surrogates, which `mount` turns back."""
    text = os.fsdecode(encode(path))
    return text.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def _place(path: StrPath | int, dirfd: int) -> tuple[int, bytes, int]:
    """`(dirfd, path, AT_EMPTY_PATH or 0)` for the calls that take a place in either way."""
    if isinstance(path, int):
        return path, b"", _AT_EMPTY_PATH
    name = encode(path)
    return dirfd, name, 0 if name else _AT_EMPTY_PATH


def _context_messages(context: int) -> list[str]:
    """The lines that the kernel logged in a file system context, one a read, each with a letter for its level first."""
    messages: list[str] = []
    while True:
        try:
            line = os.read(context, 1024)
        except OSError:  # ENODATA: no more; whatever else it is must not hide the first error
            return messages
        messages.append(line.decode("utf-8", "replace").strip().removeprefix("e ").removeprefix("w "))
