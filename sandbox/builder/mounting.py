"""`RUN --mount`: what each mount shows, as a path of the host for the container, and as a part of the step's cache key.

Files of a context, stage or image are copied into a snapshot of their own first, named by its content: then nothing
that changes meanwhile, and no symbolic link, leads out (CVE-2024-23651, CVE-2024-1753). Cache folders are named by a
digest of their id, never by the id (CVE-2024-9675).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import posixpath
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sandbox.builder.files import FileView
from sandbox.builder.keys import files_digest
from sandbox.builder.transfer import Owner, Placing, Selected, Transfer, select
from sandbox.dockerfile.mounts import Mount, MountType, Sharing
from sandbox.errors import InvalidError, NotFoundError
from sandbox.records import NamedTuple
from sandbox.runtime.spec import Mount as RuntimeMount
from sandbox.runtime.spec import MountKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager, ExitStack
    from pathlib import Path

    from sandbox.builder.keys import Data
    from sandbox.builder.options import Secret
    from sandbox.image.locking import Lease
    from sandbox.image.store import ImageStore

_SECRETS = "/run/secrets"
_AGENTS = "/run/buildkit/ssh_agent."  # where BuildKit shows them


class Prepared(NamedTuple):
    """A mount: its part of the key, what makes it, and an environment variable for a secret that wants to be one."""

    key: Mapping[str, Any]
    make: Callable[[ExitStack], RuntimeMount] | None
    environment: Mapping[str, str]


class Mounter:
    """The mounts of one RUN. `folder` is the build's own, gone after it; `view` opens a stage, context or image.

    `digest` tells the digest of a file's contents, as `keys.content_digest`. An `insecure` RUN may make writable what
    is mounted read-only, so it never sees the store itself.
    """

    def __init__(
        self,
        store: ImageStore,
        lease: Lease,
        folder: Path,
        secrets: Mapping[str, Secret],
        agents: Mapping[str, str],
        view: Callable[[str], AbstractContextManager[FileView]],
        digest: Callable[[Data], str],
        *,
        insecure: bool,
    ) -> None:
        self._store = store
        self._lease = lease
        self._folder = folder
        self._secrets = secrets
        self._agents = agents
        self._sockets = 0
        self._view = view
        self._digest = digest
        self._insecure = insecure

    def prepare(self, mount: Mount, working_dir: str) -> Prepared | None:
        """A mount of a RUN; None for one that is optional and not to be had. SandboxError says what is missing."""
        target = posixpath.normpath(posixpath.join(working_dir or "/", mount.target)) if mount.target else ""
        key = {"type": mount.type.value, "target": target, "read_only": mount.read_only}
        if mount.type is MountType.TMPFS:
            made = RuntimeMount(kind=MountKind.TMPFS, target=target, size=mount.size)
            return Prepared(key | {"size": mount.size}, lambda _: made, {})
        if mount.type is MountType.BIND:
            return self._bind(mount, target, key)
        if mount.type is MountType.CACHE:
            return self._cached(mount, target, key)
        if mount.type is MountType.SECRET:
            return self._secret(mount, target, key)
        return self._ssh(mount, target, key)

    def _bind(self, mount: Mount, target: str, key: dict[str, Any]) -> Prepared:
        placing = Placing("/source", owner=None if mount.origin else Owner())

        def selected(view: FileView) -> Selected:
            found = select(view, mount.source or "/", mount.origin or "the context")
            if len(found) != 1:
                raise InvalidError(f"the source of a mount is one file or folder, not {mount.source!r}")
            return found[0]

        def make(_: ExitStack) -> RuntimeMount:
            with self._view(mount.origin) as view, FileView((), "") as nothing:
                one = selected(view)
                source = view.alone(one.path) if mount.origin else None  # a layer never changes: it is shown as it lies
                if source is None:
                    record = self._store.snapshots.pack(Transfer(nothing, [one], (), placing), lease=self._lease)
                    source = self._store.snapshots.path(record.layer.chain_id) / "source"
            if not mount.read_only or self._insecure:  # what is written is thrown away after the step
                copy = self._folder / os.urandom(8).hex()
                import subprocess  # noqa: PLC0415  (seldom)

                subprocess.run(["cp", "-a", "--", source, copy], check=True)
                source = copy
            return RuntimeMount(kind=MountKind.BIND, target=target, source=str(source), read_only=mount.read_only)

        with self._view(mount.origin) as view, FileView((), "") as nothing:
            digest = files_digest(Transfer(nothing, [selected(view)], (), placing), self._digest)
        return Prepared(key | {"digest": digest}, make, {})

    def _cached(self, mount: Mount, target: str, key: dict[str, Any]) -> Prepared:
        """A cache; one that begins with other files is another one."""
        name = mount.id or target
        parts = [name, str(mount.uid or 0), str(mount.gid or 0)]
        if mount.origin:
            with self._view(mount.origin) as view, FileView((), "") as nothing:
                parts.append(files_digest(_beginning(mount, nothing, view), self._digest))
            key = key | {"from": parts[-1]}
        elif mount.source:
            raise InvalidError("source of a cache mount is a folder in what from= names", hint="add from=STAGE")
        figures = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
        return Prepared(key | {"id": name}, lambda stack: self._cache(mount, figures, target, stack), {})

    def _cache(self, mount: Mount, figures: str, target: str, stack: ExitStack) -> RuntimeMount:
        """The folder of a cache, made where missing; locked until `stack` closes unless it is shared."""
        number = 0
        while True:
            folder = self._store.home / "caches" / (figures if not number else f"{figures}-{number}")
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = folder / "data"
            if not data.is_dir():
                with suppress(OSError):  # another build was faster
                    self._begun(mount).rename(data)
            if mount.sharing is Sharing.SHARED or _lock(folder, stack, wait=mount.sharing is Sharing.LOCKED):
                return RuntimeMount(kind=MountKind.BIND, target=target, source=str(data), read_only=mount.read_only)
            number += 1  # private, and taken: another one

    def _begun(self, mount: Mount) -> Path:
        """A cache's folder as it is at first, in the build's own."""
        made = self._folder / os.urandom(8).hex()
        made.mkdir()
        if mount.origin:
            with self._view(mount.origin) as view, FileView((), "") as nothing:
                from sandbox.builder.delivering import write_folder  # noqa: PLC0415  (seldom)

                write_folder(_beginning(mount, nothing, view), made, keep_owners=True)
        made.chmod(0o755 if mount.mode is None else mount.mode)
        os.chown(made, mount.uid or 0, mount.gid or 0)
        return made

    def _secret(self, mount: Mount, target: str, key: dict[str, Any]) -> Prepared | None:
        name = mount.id or mount.source or posixpath.basename(target)
        target = target or f"{_SECRETS}/{name}"
        secret = self._secrets.get(name)
        key = key | {"id": name, "target": target, "env": mount.env}
        if secret is None:
            if mount.required:
                raise NotFoundError(
                    f"the secret {name!r} is required", hint=f"give it with --secret id={name},src=FILE"
                )
            return None
        variables = {mount.env: secret.content.decode("utf-8", "surrogateescape")} if mount.env else {}
        if mount.env and not mount.target:
            return Prepared(key, None, variables)

        def make(_: ExitStack) -> RuntimeMount:
            path = self._folder / os.urandom(8).hex()
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            with os.fdopen(fd, "wb") as stream:
                stream.write(secret.content)
                os.fchmod(fd, 0o400 if mount.mode is None else mount.mode)
                os.fchown(fd, mount.uid or 0, mount.gid or 0)
            return RuntimeMount(kind=MountKind.BIND, target=target, source=str(path), read_only=True)

        return Prepared(key, make, variables)

    def _ssh(self, mount: Mount, target: str, key: dict[str, Any]) -> Prepared | None:
        """The socket of an agent; the first of a RUN is in SSH_AUTH_SOCK."""
        name = mount.id or "default"
        target = target or f"{_AGENTS}{self._sockets}"
        agent = self._agents.get(name)
        if agent is None:
            if mount.required:
                raise NotFoundError(f"the ssh agent {name!r} is required", hint=f"give it with --ssh {name}")
            return None
        self._sockets += 1

        def make(stack: ExitStack) -> RuntimeMount:
            folder = self._folder / os.urandom(8).hex()
            folder.mkdir()
            mode = 0o600 if mount.mode is None else mount.mode
            from sandbox.builder.agent import forwarded  # noqa: PLC0415  (seldom)

            path = stack.enter_context(forwarded(agent, folder, uid=mount.uid or 0, gid=mount.gid or 0, mode=mode))
            return RuntimeMount(kind=MountKind.BIND, target=target, source=str(path), read_only=True)

        variables = {"SSH_AUTH_SOCK": target} if self._sockets == 1 else {}
        return Prepared(key | {"id": name, "target": target}, make, variables)


def _beginning(mount: Mount, nothing: FileView, view: FileView) -> Transfer:
    """What a cache begins with: a folder, with the owners that its files have there."""
    selected = select(view, mount.source or "/", mount.origin)
    status = view.status(selected[0].path) if len(selected) == 1 else None
    if status is None or not stat.S_ISDIR(status.st_mode):
        raise InvalidError(f"the source of a cache mount is one folder, not {mount.source!r}")
    return Transfer(nothing, selected, (), Placing("/"))


def _lock(folder: Path, stack: ExitStack, *, wait: bool) -> bool:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return False
    stack.callback(os.close, fd)
    return True
