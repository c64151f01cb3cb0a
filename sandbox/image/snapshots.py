"""Committed layers, unpacked: `images/snapshots/<chain hex>/fs` is a directory that overlay takes as a lower one.

A snapshot is named by its ChainID: its own layer *on top of* certain others. It is complete and never changes from the
moment it has its name; beside `fs` lies `layer.json`. The runtime reads (`lowers`); `unpack` makes one from a layer's
archive and loads its machinery only then.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import NotFoundError, SandboxError
from sandbox.image import digest as digests
from sandbox.image.image import LayerRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.image.digest import ChainID, DiffID
    from sandbox.image.image import Image
    from sandbox.image.limits import Limits
    from sandbox.image.locking import Lease
    from sandbox.image.tarsource import Readable

FILES = "fs"
METADATA = "layer.json"


class SnapshotRecord(NamedTuple):
    """What `layer.json` says. `warnings`: what of the archive could not be kept on this host, one sentence each."""

    layer: LayerRecord
    parent: ChainID | None
    entries: int
    warnings: tuple[str, ...]


class Snapshots:
    """The snapshots of one `$HAKO_HOME`; `root` is `home/images/snapshots`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "images" / "snapshots"

    def path(self, chain_id: ChainID) -> Path:
        """The directory with the layer's files."""
        return self.root / chain_id.hex / FILES

    def exists(self, chain_id: ChainID) -> bool:
        """Whether the snapshot is there (it is then complete)."""
        return self.path(chain_id).is_dir()

    def lowers(self, image: Image) -> tuple[Path, ...]:
        """The directories that make up the image, top first, as overlay wants them. Raises NotFoundError."""
        paths = tuple(self.path(layer.chain_id) for layer in reversed(image.layers))
        for path in paths:
            if not path.is_dir():
                raise NotFoundError(
                    f"layer {path.parent.name[:12]} of image {image.id.short} is missing from the store",
                    hint=f"remove the image and make it again: sandbox rmi {image.id.short}",
                )
        return paths

    def record(self, chain_id: ChainID) -> SnapshotRecord:
        """The snapshot's metadata. Raises NotFoundError."""
        try:
            data = json.loads((self.root / chain_id.hex / METADATA).read_bytes())
            return SnapshotRecord(
                layer=LayerRecord(digests.parse(data["diff_id"]), chain_id, int(data["size"]), int(data["tar_size"])),
                parent=digests.parse(data["parent"]) if data["parent"] else None,
                entries=int(data["entries"]),
                warnings=tuple(data["warnings"]),
            )
        except FileNotFoundError:
            raise NotFoundError(f"no snapshot {chain_id}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise SandboxError(f"snapshot {chain_id.short}: damaged {METADATA}: {error}") from error

    def list(self) -> tuple[ChainID, ...]:
        """All snapshots."""
        try:
            return tuple(digests.from_hex(entry.name) for entry in self.root.iterdir())
        except FileNotFoundError:
            return ()

    def ancestry(self, chain_id: ChainID | None) -> tuple[ChainID, ...]:
        """A snapshot and those below it, top first."""
        chain: list[ChainID] = []
        while chain_id is not None:
            chain.append(chain_id)
            chain_id = self.record(chain_id).parent
        return tuple(chain)

    def unpack(
        self,
        stream: Readable,
        parent: ChainID | None = None,
        *,
        lease: Lease,
        expected: DiffID | None = None,
        require_end: bool = False,
        limits: Limits | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> SnapshotRecord:
        """Make a snapshot of an uncompressed layer archive on top of `parent`, hashing it meanwhile.

        With `require_end` an archive without its end marker is refused. The snapshot belongs to `lease` until an image
        refers to it. Anything but `expected` as the archive's digest is refused. Many processes may unpack the same
        layer: the first to finish gives the name its snapshot, the others use that. Raises InvalidError (malformed or
        hostile archive), LimitError, OSError (disk full); nothing is left then.
        """
        from sandbox.image.limits import Limits  # noqa: PLC0415
        from sandbox.image.unpack import unpack  # noqa: PLC0415

        return unpack(
            self,
            stream,
            parent,
            lease=lease,
            expected=expected,
            require_end=require_end,
            limits=limits or Limits(),
            progress=progress or (lambda _: None),
        )
