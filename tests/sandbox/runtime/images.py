"""Images for tests, made of hand-made archives: the run's busybox with whatever else a test needs in it."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING

from sandbox.image.config import ImageConfig
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    import tarfile

    from sandbox.runtime.engine import Engine

Member = tuple["tarfile.TarInfo", bytes]
_NO_CONFIG = ImageConfig()


def busybox(engine: Engine) -> bytes:
    """The program."""
    (lower,) = engine.images.snapshots.lowers(engine.images.get("busybox"))
    return (lower / "bin/busybox").read_bytes()


def applets(*names: str) -> list[Member]:
    """/bin with links to the program."""
    return [member(f"bin/{name}", "link", target="bin/busybox") for name in names]


def make(engine: Engine, *members: Member, config: ImageConfig = _NO_CONFIG) -> str:
    """An image of /bin/busybox, /bin/sh and `members`; its name, which nobody else has."""
    name = f"test-{uuid.uuid4().hex}"
    first = [member("bin", "dir"), member("bin/busybox", data=busybox(engine), mode=0o755), *applets("sh", "sleep")]
    engine.images.import_tar(io.BytesIO(archive(*first, *members)), reference=name, config=config)
    return name
