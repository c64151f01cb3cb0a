"""RUN: a command in a container on the layers so far; what it has written becomes the next layer, where it lies.

The container's upper directory is moved into the store, so that a step costs what it changed. What the engine made only
to have a place to mount on is taken away first, beneath the directory's root (CVE-2024-23652).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, NotFoundError, SandboxError
from sandbox.image import digest as digests
from sandbox.image.image import Image
from sandbox.kernel.paths import Root
from sandbox.runtime.layers import ENGINES_OWN
from sandbox.runtime.spec import ContainerSpec, LogDriver, Security, Stdio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sandbox.builder.cancelling import Cancellation
    from sandbox.builder.files import FileView
    from sandbox.builder.options import RunLimits
    from sandbox.builder.progress import Step
    from sandbox.image.config import ImageConfig
    from sandbox.image.digest import ChainID
    from sandbox.image.image import LayerRecord
    from sandbox.image.locking import Lease
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.spec import Mount

BUILD_LABEL = "hako.build"  # on the containers of builds: whose build has ended, that goes
_HOSTNAME = "build"
_CHUNK = 1 << 16


class RunError(SandboxError):
    """The command of a RUN failed."""

    reference = "run-failed"
    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A RUN, ready: everything replaced, mounts on paths of the host."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    working_dir: str
    network: str
    mounts: tuple[Mount, ...]
    insecure: bool
    limits: RunLimits
    shell: str
    on_failure: Callable[[ContainerSpec, Image], None] | None


def run(
    engine: Engine,
    layers: Sequence[LayerRecord],
    config: ImageConfig,
    step: RunStep,
    *,
    below: FileView,
    build: str,
    lease: Lease,
    progress: Step,
    cancellation: Cancellation,
) -> LayerRecord | None:
    """Run it and keep what it changed; None where that is nothing. RunError when it fails."""
    # What concerns containers of the finished image is left out: they would be probed, and get volumes.
    settings = config._replace(volumes=(), labels={}, healthcheck=None)
    image = Image(digests.of(build.encode()), digests.of(b""), (), settings, tuple(layers), "", "", "")
    spec = ContainerSpec(
        image="build",
        entrypoint=(),
        command=step.argv,
        environment=step.environment,
        user=step.user,
        working_dir=step.working_dir,
        hostname=_HOSTNAME,
        network="bridge" if step.network == "default" else step.network,
        mounts=step.mounts,
        labels={BUILD_LABEL: build},
        # As docker's: packages' scripts call su and sudo.
        security=Security(no_new_privileges=False, privileged=step.insecure),
        extra_hosts=step.limits.hosts,
        ulimits=step.limits.ulimits,
        shm_size=step.limits.shm_size,
        log_driver=LogDriver.NONE,
    )
    identifier = engine.create(spec, image)
    try:
        try:
            code = _until_end(engine, identifier, progress, cancellation)
        except SandboxError as error:  # of exit codes that are the command's, not the build's
            raise RunError(error.message, hint=error.hint) from None
        upper = engine.home / "containers" / identifier / "upper"
        if code and step.on_failure is not None:
            left = engine.images.snapshots.adopt(upper, _top(layers), lease=lease, leave_out=ENGINES_OWN)
            shell = spec._replace(command=(step.shell,), terminal=True, open_stdin=True)
            with progress.suspended():
                step.on_failure(shell, image._replace(layers=(*layers, left.layer)))
        if code:
            command = " ".join(step.argv)
            raise RunError(f"process {command[:200]!r} did not complete successfully: exit code: {code}")
        _remove_places(upper, [mount.target for mount in step.mounts], below)
        record = engine.images.snapshots.adopt(upper, _top(layers), lease=lease, leave_out=ENGINES_OWN)
        return record.layer if record.entries else None
    finally:
        with suppress(NotFoundError):  # its tether is torn, and it is gone
            engine.remove(identifier, force=True)


def _top(layers: Sequence[LayerRecord]) -> ChainID | None:
    return layers[-1].chain_id if layers else None


def abandoned(engine: Engine) -> tuple[str, ...]:
    """Containers of builds that were killed: the folder of a build that lives is there."""
    return tuple(
        made.id
        for made, _ in engine.containers(all=True)
        if (build := made.spec.labels.get(BUILD_LABEL)) and not (engine.home / "tmp" / build).is_dir()
    )


def _until_end(engine: Engine, identifier: str, progress: Step, cancellation: Cancellation) -> int:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            process = engine.start(identifier, Stdio(stdout=writer, stderr=writer))
        finally:
            os.close(writer)
        process.tether()
        with cancellation.ending(lambda: _kill(engine, identifier)):
            for warning in process.warnings:
                progress.note_once(f"warning: {warning}")
            while data := os.read(reader, _CHUNK):
                progress.output(data)
            status = process.wait()
    finally:
        os.close(reader)
    if status is None:
        raise SandboxError("the container of the step was lost")
    if status.oom:
        progress.note("the kernel ended a process: out of memory")
    return status.code


def _kill(engine: Engine, identifier: str) -> None:
    with suppress(ConflictError, NotFoundError):  # it has ended meanwhile
        engine.kill(identifier)


def _remove_places(upper: Path, targets: Sequence[str], below: FileView) -> None:
    """Take away places that were made for mounts, and folders above them, unless something was put there."""
    with Root(upper) as root:
        for target in sorted(targets, reverse=True):
            path = below.resolve(os.fsencode(target), follow=False)
            while path and below.status(path) is None and _remove(root, path):
                path = path.rpartition(b"/")[0]


def _remove(root: Root, path: bytes) -> bool:
    """Remove an empty folder or file; whether it is gone. What is in /dev was never in the directory."""
    try:
        parent, name = root.parent(path)
    except FileNotFoundError:
        return True
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent)
        elif status.st_size == 0:
            os.unlink(name, dir_fd=parent)
        else:
            return False
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        os.close(parent)
    return True
