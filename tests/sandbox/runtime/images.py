"""Images for tests, made of hand-made archives: the run's busybox with whatever else a test needs in it."""

from __future__ import annotations

import io
import tarfile
import uuid
from typing import TYPE_CHECKING

from sandbox.image.config import ImageConfig
from sandbox.image.store import ImageStore
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.engine import Engine

Member = tuple[tarfile.TarInfo, bytes]
NO_CONFIG = ImageConfig()


def busybox(engine: Engine) -> bytes:
    """The program."""
    (lower,) = engine.images.snapshots.lowers(engine.images.get("busybox"))
    return (lower / "bin/busybox").read_bytes()


def copy_busybox(source: Path, target: Path) -> None:
    """The run's image `busybox` for another state directory."""
    shared = ImageStore(source)
    (lower,) = shared.snapshots.lowers(shared.get("busybox"))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(lower, arcname=".")
    stream.seek(0)
    ImageStore(target).import_tar(stream, reference="busybox", config=shared.get("busybox").config)


def applets(*names: str) -> list[Member]:
    """/bin with links to the program."""
    return [member(f"bin/{name}", "link", target="bin/busybox") for name in names]


def make(engine: Engine, *members: Member, config: ImageConfig = NO_CONFIG, bare: bool = False) -> str:
    """An image of `members` and, if it is not `bare`, of /bin with busybox, sh and sleep; its name, which nobody else
    has.
    """
    first = [member("bin", "dir"), member("bin/busybox", data=busybox(engine), mode=0o755), *applets("sh", "sleep")]
    name = f"test-{uuid.uuid4().hex}"
    layer = io.BytesIO(archive(*([] if bare else first), *members))
    # The comment makes it an image of its own, also where others make one of the same files.
    engine.images.import_tar(layer, reference=name, config=config, comment=name)
    return name
