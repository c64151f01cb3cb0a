"""Making a snapshot of a layer's archive, or of a tree of files: hash, extract, describe, rename into place.

Called by `Snapshots.unpack` and `Snapshots.pack`; see there for the contracts. Everything is made in a scratch
directory; a process that dies leaves that, without its lock, and nothing else.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, SandboxError
from sandbox.image import digest as digests
from sandbox.image import whiteout
from sandbox.image.extract import Extractor, Host, clean
from sandbox.image.image import LayerRecord
from sandbox.image.limits import Limits
from sandbox.image.locking import StoreLock
from sandbox.image.lower import LowerLayers
from sandbox.image.parts import ARCHIVE, Recorder
from sandbox.image.pipelining import Ahead, Behind
from sandbox.image.scratch import Scratch, make_directory
from sandbox.image.snapshots import FILES, METADATA, SnapshotRecord
from sandbox.image.tarformat import Kind
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import RecordingSource
from sandbox.image.tarwriter import TarWriter
from sandbox.image.tree import Tree
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sandbox.image.digest import ChainID, DiffID
    from sandbox.image.locking import Lease
    from sandbox.image.snapshots import Snapshots
    from sandbox.image.tarformat import TarEntry
    from sandbox.image.tarsource import Readable
    from sandbox.image.tree import Entries

_REPORT_EVERY = 5000  # entries
_RESERVE = 64 << 20  # bytes of the disk that an archive never gets
_RESERVE_INODES = 1000


def unpack(
    snapshots: Snapshots,
    stream: Readable,
    parent: ChainID | None,
    *,
    lease: Lease,
    expected: DiffID | None,
    require_end: bool,
    limits: Limits,
    progress: Callable[[str], None],
) -> SnapshotRecord:
    """See `Snapshots.unpack`."""
    lowers = _lease_lowers(snapshots, parent, lease)
    with Scratch(snapshots.home) as scratch:
        files = scratch.path / FILES
        files.mkdir(mode=0o700)
        hasher = hashlib.sha256()
        limits = within_disk(limits, scratch.path)
        entries = 0
        try:
            with (scratch.path / ARCHIVE).open("wb") as archive, _into(snapshots, files, lowers, limits) as extractor:
                recorder = Recorder(archive.write)
                with Ahead(stream, hasher) as ahead:
                    source = RecordingSource(ahead, limit=limits.data, record=recorder.raw)
                    reader = TarReader(source, limits, require_end=require_end)
                    for entry in reader:
                        extractor.add(entry, lambda entry=entry: _recorded(reader, recorder, entry))  # type: ignore[misc]
                        entries += 1
                        if entries % _REPORT_EVERY == 0:
                            progress(f"unpacked {entries} files, {source.count >> 20} MiB")
                extractor.finish()
                recorder.close()
        except OSError as error:
            raise _disk_error(error, snapshots.home) from error
        diff_id = digests.from_hex(hasher.hexdigest())
        if expected is not None and diff_id != expected:
            raise InvalidError(f"the layer has the digest {diff_id}, not {expected}", reference="digest-mismatch")
        if extractor.replaced:  # its first contents are gone
            (scratch.path / ARCHIVE).unlink()
        layer = LayerRecord(diff_id, digests.chain_id(parent, diff_id), extractor.size, source.count)
        record = SnapshotRecord(layer, parent, entries, extractor.warnings)
        (scratch.path / METADATA).write_bytes(_metadata(record))
        return _commit(snapshots, scratch.path, record, lease)


def pack(snapshots: Snapshots, tree: Entries, parent: ChainID | None, *, lease: Lease) -> SnapshotRecord:
    """See `Snapshots.pack`."""
    lowers = _lease_lowers(snapshots, parent, lease)
    with Scratch(snapshots.home) as scratch:
        files = scratch.path / FILES
        files.mkdir(mode=0o700)
        try:
            with _into(snapshots, files, lowers, Limits()) as extractor, _Described(scratch.path) as archive:
                for entry, data in tree:
                    archive.writer.begin(entry)
                    extractor.add(entry, lambda data=data: archive.writer.through(data()))  # type: ignore[misc]
                    archive.end(entry)
                extractor.finish()
        except OSError as error:
            raise _disk_error(error, snapshots.home) from error
        return _commit(snapshots, scratch.path, archive.record(parent, (*extractor.warnings, *tree.warnings)), lease)


def adopt(
    snapshots: Snapshots, upper: Path, parent: ChainID | None, *, lease: Lease, leave_out: Collection[bytes]
) -> SnapshotRecord:
    """See `Snapshots.adopt`."""
    _lease_lowers(snapshots, parent, lease)
    opaque = whiteout.opaque_attribute(user_namespace=in_user_namespace())
    with Scratch(snapshots.home) as scratch:
        files = scratch.path / FILES
        upper.rename(files)
        with Root(files) as root:
            for path in leave_out:
                with suppress(FileNotFoundError, NotADirectoryError):
                    root.remove_tree(path)
        try:
            with _Described(scratch.path) as archive:
                tree = Tree([files], opaque, whiteouts=True)
                for entry, data in tree:
                    archive.writer.begin(entry)
                    for _ in archive.writer.through(data()):
                        pass
                    archive.end(entry)
        except OSError as error:
            raise _disk_error(error, snapshots.home) from error
        return _commit(snapshots, scratch.path, archive.record(parent, tree.warnings), lease)


class _Described:
    """The archive of a tree, of which only the digest and the parts are kept: `writer` takes its entries."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / ARCHIVE).open("wb")
        self._recorder = Recorder(self._file.write)
        self._hashing = Behind(hashlib.sha256())
        self.writer = TarWriter(self._header, self._hashing.write)
        self._size = self._entries = 0

    def __enter__(self) -> Self:
        self._hashing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.writer.close()
                self._recorder.close()
        finally:
            self._hashing.__exit__(kind, error, trace)
            self._file.close()

    def _header(self, data: bytes | memoryview) -> None:
        self._recorder.raw(data)
        self._hashing.write(data)

    def end(self, entry: TarEntry) -> None:
        """An entry whose contents were written."""
        if entry.kind is Kind.FILE:
            self._recorder.file(entry.name, entry)
            self._size += entry.data_size
        self.writer.end()
        self._entries += 1

    def record(self, parent: ChainID | None, warnings: tuple[str, ...]) -> SnapshotRecord:
        """The snapshot, described, also on the disk; after the block."""
        diff_id = digests.from_hex(self._hashing.hexdigest())
        layer = LayerRecord(diff_id, digests.chain_id(parent, diff_id), self._size, self._hashing.count)
        record = SnapshotRecord(layer, parent, self._entries, warnings)
        (self._folder / METADATA).write_bytes(_metadata(record))
        return record


def _recorded(reader: TarReader, recorder: Recorder, entry: TarEntry) -> Iterator[bytes | memoryview]:
    parent, base = clean(entry.name)
    recorder.file(parent + b"/" + base if parent else base, entry)
    return reader.data()


def _lease_lowers(snapshots: Snapshots, parent: ChainID | None, lease: Lease) -> tuple[ChainID, ...]:
    """The layers below, kept while this one is made."""
    with StoreLock(snapshots.root.parent, exclusive=False):
        lowers = snapshots.ancestry(parent)
        for lower in lowers:
            lease.add_snapshot(lower)
    return lowers


@contextmanager
def _into(snapshots: Snapshots, files: Path, lowers: tuple[ChainID, ...], limits: Limits) -> Iterator[Extractor]:
    """What puts entries below `files`."""
    host = Host(user_namespace=in_user_namespace(), uid=os.geteuid(), gid=os.getegid())
    opaque = whiteout.opaque_attribute(user_namespace=host.user_namespace)
    with (
        LowerLayers(map(snapshots.path, lowers), opaque) as lower_layers,
        Root(files) as root,
        Extractor(root, lower_layers, host, most=limits.entries) as extractor,
    ):
        yield extractor


def in_user_namespace() -> bool:
    """Whether devices cannot be made here, and overlay uses its `user.` attributes."""
    return not in_initial_namespace() or os.geteuid() != 0


def _commit(snapshots: Snapshots, made: Path, record: SnapshotRecord, lease: Lease) -> SnapshotRecord:
    """Give the snapshot its name, or use the one that was faster."""
    chain_id = record.layer.chain_id
    target = snapshots.root / chain_id.hex
    with StoreLock(snapshots.root.parent, exclusive=False):
        lease.add_snapshot(chain_id)
        make_directory(snapshots.root)
        try:
            made.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            return snapshots.record(chain_id)
    return record


def _metadata(record: SnapshotRecord) -> bytes:
    return json.dumps(
        {
            "diff_id": record.layer.diff_id,
            "parent": record.parent,
            "size": record.layer.size,
            "tar_size": record.layer.tar_size,
            "entries": record.entries,
            "warnings": record.warnings,
        }
    ).encode("ascii")


def within_disk(limits: Limits, path: Path) -> Limits:
    """The same limits, but no more than the disk has: a bomb is stopped before the disk is full, not by it."""
    status = os.statvfs(path)
    data = max(0, status.f_bavail * status.f_frsize - _RESERVE)
    # Some file systems make inodes as they need them and say 0.
    entries = max(0, status.f_favail - _RESERVE_INODES) if status.f_files else limits.entries
    return limits._replace(data=min(limits.data, data), entries=min(limits.entries, entries))


def _disk_error(error: OSError, home: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SandboxError(
            f"the disk of {home} is full",
            hint="remove images with `sandbox rmi`, or set HAKO_HOME",
            reference="disk-full",
        )
    return error
