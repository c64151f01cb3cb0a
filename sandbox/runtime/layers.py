"""What a container has changed, and all it has: `commit`, `diff` and `export`. Called by the engine.

A container's files are its upper directory over the layers of its image; nothing is mounted for this, and the container
may be running, paused or at its end. What the engine itself puts into every root is left out.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError, SandboxError
from sandbox.image import whiteout
from sandbox.image.committing import commit as commit_tree
from sandbox.image.lower import LowerLayers
from sandbox.image.tree import Tree
from sandbox.image.unpack import in_user_namespace
from sandbox.records import NamedTuple
from sandbox.runtime import control, events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from socket import socket

    from sandbox.image.config import ImageConfig
    from sandbox.image.image import Image
    from sandbox.image.store import ImageStore
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.state import ContainerFolder

# Places to mount on that init makes where an image has none; what a container sees there never is on the disk.
ENGINES_OWN = frozenset((b"dev", b"proc", b"sys", b"etc/hosts", b"etc/hostname", b"etc/resolv.conf"))


class Change(NamedTuple):
    """`kind` is docker's letter: A added, C changed, D deleted. `path` is absolute."""

    kind: str
    path: str


def commit(
    engine: Engine,
    folder: ContainerFolder,
    *,
    reference: str,
    changes: Sequence[str],
    author: str,
    comment: str,
    pause: bool,
) -> Image:
    """An image of the container: its image, its settings with `changes` (Dockerfile instructions), its files."""
    made = folder.config()
    base = engine.images.get(made.image_id)
    config = _settings(base.config, made)
    if changes:
        from sandbox.image.changes import apply_lines  # noqa: PLC0415  (a Dockerfile's parser: a third of a commit)

        config = apply_lines(config, changes)
    with _frozen(folder) if pause else nullcontext():
        image = commit_tree(
            engine.images,
            base,
            Tree([folder.path / "upper"], _opaque(), whiteouts=True, leave_out=ENGINES_OWN),
            config=config,
            reference=reference,
            created_by=" ".join(made.argv),
            author=author,
            comment=comment,
        )
    events.of_container(engine.home, made, "commit")
    return image


@contextmanager
def _frozen(folder: ContainerFolder) -> Iterator[None]:
    """Frozen in the block, unless it does not run, is frozen already, or cannot be: the layer is sound all the same.

    The supervisor lets it go when this process is gone.
    """
    with ExitStack() as stack:
        connection: socket | None = None
        with suppress(SandboxError, OSError):
            connected = stack.enter_context(control.connect(folder.path))
            _ask(connected, "hold")
            connection = connected
        yield
        if connection is not None:
            with suppress(SandboxError, OSError):
                _ask(connection, "unpause")


def _ask(connection: socket, what: str) -> None:
    control.send(connection, {"do": what})
    received = control.receive(connection)
    if received is not None:
        control.raise_error(received[0])


def _settings(config: ImageConfig, made: ContainerConfig) -> ImageConfig:
    """The image's, with what the container was asked for."""
    spec = made.spec
    command = config.command
    if spec.command is not None:
        command = tuple(spec.command)
    elif spec.entrypoint is not None:
        command = ()
    return config._replace(
        entrypoint=config.entrypoint if spec.entrypoint is None else tuple(spec.entrypoint),
        command=command,
        environment={**config.environment, **spec.environment},
        labels={**config.labels, **spec.labels},
        user=spec.user or config.user,
        working_dir=spec.working_dir or config.working_dir,
        stop_signal=spec.stop_signal or config.stop_signal,
    )


def diff(images: ImageStore, made: ContainerConfig, upper: Path) -> Iterator[Change]:
    """What is different from the image, parents first."""
    lowers = _lowers(images, made)
    found: dict[bytes, str] = {}
    replaced: list[bytes] = []  # directories that hide all that the image has in them
    with LowerLayers(lowers, _opaque()) as lower:
        for entry, _ in Tree([upper], _opaque(), whiteouts=True, leave_out=ENGINES_OWN):
            parent, slash, base = entry.name.rpartition(b"/")
            mark, deleted = whiteout.read(entry.name, base)
            if mark is whiteout.Mark.DELETED:
                found[parent + slash + deleted] = "D"
            elif mark is whiteout.Mark.OPAQUE:
                replaced.append(parent + slash)
            else:
                there = lower.find(entry.name)
                if there is not None:
                    os.close(there)
                found[entry.name] = "A" if there is None else "C"
    if replaced:
        for entry, _ in Tree(lowers, _opaque()):
            inside = entry.name.startswith(tuple(replaced))
            if inside and entry.name not in found and found.get(entry.name.rpartition(b"/")[0]) != "D":
                found[entry.name] = "D"
    for path in sorted(found):
        yield Change(found[path], "/" + os.fsdecode(path))


def export(images: ImageStore, made: ContainerConfig, upper: Path) -> Tree:
    """All its files, as one tree."""
    return Tree([upper, *_lowers(images, made)], _opaque())


def _lowers(images: ImageStore, made: ContainerConfig) -> list[Path]:
    paths = [images.snapshots.root / chain_id.partition(":")[2] / "fs" for chain_id in made.layers]
    for path in paths:
        if not path.is_dir():
            raise NotFoundError(f"a layer of container {made.name} is missing from the store")
    return paths


def _opaque() -> str:
    return whiteout.opaque_attribute(user_namespace=in_user_namespace())
