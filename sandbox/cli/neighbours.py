"""What a new container takes from others (`--volumes-from`, `--link`), and what others are told of it (`--cidfile`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError
from sandbox.errors import ConflictError
from sandbox.runtime.spec import MountKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.runtime.engine import Engine
    from sandbox.runtime.spec import ContainerSpec


def borrow(engine: Engine, spec: ContainerSpec, others: Sequence[str]) -> ContainerSpec:
    """The container with the mounts of others, of `NAME` or `NAME:ro`; its own at the same place count."""
    mounts = list(spec.mounts)
    for text in others:
        name, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise UsageError(f"--volumes-from {text!r}: unknown mode {mode!r}", hint="ro or rw")
        taken = {mount.target for mount in mounts}
        for mount in engine.config(name).spec.mounts:
            if mount.kind is not MountKind.TMPFS and mount.target not in taken:
                mounts.append(mount._replace(read_only=mount.read_only or mode == "ro"))
    return spec._replace(mounts=tuple(mounts))


def link(engine: Engine, spec: ContainerSpec, others: Sequence[str]) -> ContainerSpec:
    """The container with names for others, of `CONTAINER` or `CONTAINER:NAME`, in its /etc/hosts, as they are now."""
    hosts = list(spec.extra_hosts)
    for text in others:
        other, _, name = text.partition(":")
        addresses = [one.address for one in engine.state(other).attachments if one.network == spec.network]
        if not addresses:
            raise ConflictError(
                f"cannot link to container {other}: it is not running in network {spec.network}",
                hint="start it first, or make both with one --network, where they find each other by name",
            )
        hosts.append((name or other, addresses[0]))
    return spec._replace(extra_hosts=tuple(hosts))


def check_identifier_file(path: str) -> None:
    """Refuse a file that is there already, before anything is made."""
    if path and os.path.lexists(path):
        raise _exists(path)


def write_identifier(path: str, identifier: str) -> None:
    """Write the id to a new file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise _exists(path) from None
    try:
        os.write(descriptor, identifier.encode())
    finally:
        os.close(descriptor)


def _exists(path: str) -> ConflictError:
    return ConflictError(f"--cidfile {path}: the file is there already", hint="remove it, or name another")
