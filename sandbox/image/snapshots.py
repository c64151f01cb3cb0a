"""Committed layers, unpacked: `images/snapshots/<chain hex>/fs` is a directory that overlay takes as a lower one.

A snapshot is named by its ChainID: its own layer *on top of* certain others. It is complete and never changes from the
moment it has its name; beside `fs` lie `layer.json` and `archive` (see `parts`). The runtime reads (`lowers`); what
makes snapshots loads its machinery only then.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sandbox.errors import NotFoundError, SandboxError, UnsupportedError
from sandbox.image import digest as digests
from sandbox.image.image import LayerRecord
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from sandbox.image.digest import ChainID, DiffID
    from sandbox.image.image import Image
    from sandbox.image.limits import Limits
    from sandbox.image.locking import Lease
    from sandbox.image.tarsource import Readable
    from sandbox.image.tree import Entries

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

    def claim(self, chain_id: ChainID, lease: Lease) -> bool:
        """Whether the snapshot is there; it then stays as long as the lease."""
        from sandbox.image.locking import StoreLock  # noqa: PLC0415  (not on the path of a run)

        with StoreLock(self.root.parent, exclusive=False):
            if not self.exists(chain_id):
                return False
            lease.add_snapshot(chain_id)
            return True

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

    def pack(self, tree: Entries, parent: ChainID | None = None, *, lease: Lease) -> SnapshotRecord:
        """Make a snapshot on top of `parent` of a copy of a tree with whiteouts: of what a container has changed.

        The layer's archive is what `tree` gives, in that order. Leases, concurrency and errors are as for `unpack`.
        """
        from sandbox.image.unpack import pack  # noqa: PLC0415

        return pack(self, tree, parent, lease=lease)

    def adopt(
        self, upper: Path, parent: ChainID | None = None, *, lease: Lease, leave_out: Collection[bytes] = ()
    ) -> SnapshotRecord:
        """Make a snapshot *of* an upper directory that nobody uses any more, without copying it: it is moved away.

        It has to be on the store's file system and not mounted. `leave_out` are paths that are removed first. What the
        builder does after each step; the digest is the one that `pack` would give.
        """
        from sandbox.image.unpack import adopt  # noqa: PLC0415

        return adopt(self, upper, parent, lease=lease, leave_out=leave_out)

    def archive(self, chain_id: ChainID) -> Iterator[bytes]:
        """The layer's archive as it came, to its last byte. Raises NotFoundError; UnsupportedError for one that cannot
        be written again (see `is_replayable`); SandboxError when what comes out has another digest, at the end.
        """
        from hashlib import sha256  # noqa: PLC0415

        from sandbox.image.parts import replay  # noqa: PLC0415

        layer = self.record(chain_id).layer
        if not self.is_replayable(chain_id):
            raise UnsupportedError(
                f"layer {chain_id.short} cannot be written as it came: its archive had a file twice",
                hint="`sandbox export` writes a container of it as one layer",
            )
        hasher = sha256()
        for piece in replay(self.root / chain_id.hex, FILES):
            hasher.update(piece)
            yield piece
        if hasher.hexdigest() != layer.diff_id.hex:
            raise SandboxError(
                f"layer {chain_id.short} in the store is damaged: its archive has another digest than it came with",
                hint="remove its images and make them again",
                reference="damaged-layer",
            )

    def keep_archive(self, chain_id: ChainID, stream: Readable) -> None:
        """Keep a layer's archive whole, deflated: for one that cannot be written out of its files, because it has a
        file twice. `stream` is the archive again, uncompressed; the caller has a lease of the layer.
        """
        from sandbox.image.parts import ARCHIVE, CHUNK, Recorder  # noqa: PLC0415
        from sandbox.image.scratch import Scratch  # noqa: PLC0415

        with Scratch(self.home) as scratch:
            made = scratch.path / ARCHIVE
            with made.open("wb") as file:
                recorder = Recorder(file.write)
                while piece := stream.read(CHUNK):
                    recorder.raw(piece)
                recorder.close()
            made.rename(self.root / chain_id.hex / ARCHIVE)

    def is_replayable(self, chain_id: ChainID) -> bool:
        """Whether the layer's archive can be written again byte for byte."""
        return (self.root / chain_id.hex / "archive").exists()
