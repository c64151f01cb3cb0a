"""What builds remember, in a folder to take along: `--cache-to type=local,dest=…` and `--cache-from type=local,src=…`.

The folder is an OCI layout whose manifest has the steps' layers, uncompressed, and in place of an image's configuration
the document that says what they are (`cachedocument`). Source: BuildKit, docs of the local cache exporter.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sandbox.builder.cachedocument import CONFIG, CacheIndex, describe, layers_of
from sandbox.errors import InvalidError, NotFoundError
from sandbox.image import digest as digests
from sandbox.image.buildcache import CachedStep
from sandbox.image.manifest import INDEXES, LAYER, MANIFEST, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sandbox.image.digest import ChainID, Digest
    from sandbox.image.locking import Lease
    from sandbox.image.snapshots import Snapshots

_LIMIT = 64 << 20  # bytes of a document


def export(folder: Path, snapshots: Snapshots, steps: Mapping[str, CachedStep]) -> Digest:
    """Write the steps, by their keys; the manifest's digest. Layers that the folder has are not written again."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layers = layers_of(steps)
    for layer in layers:
        if not (blobs / layer.diff_id.hex).exists():
            _write(blobs / layer.diff_id.hex, snapshots.archive(layer.chain_id))
    config = _blob(blobs, describe(steps, layers, [layer.diff_id for layer in layers]))
    unique = {layer.diff_id: layer for layer in layers}.values()
    manifest = _blob(
        blobs,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **config},
            "layers": [{"mediaType": LAYER, "digest": layer.diff_id, "size": layer.tar_size} for layer in unique],
        },
    )
    _write(folder / "oci-layout", (b'{"imageLayoutVersion":"1.0.0"}',))
    index = {"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": [{"mediaType": MANIFEST, **manifest}]}
    _write(folder / "index.json", (json.dumps(index).encode(),))  # the last: until then it is the one of before
    return digests.parse(manifest["digest"])


class CacheLayout:
    """A folder that `export` has written."""

    def __init__(self, folder: Path, snapshots: Snapshots) -> None:
        self._folder = folder
        self._snapshots = snapshots
        self._index: CacheIndex | None = None

    def find(self, key: str, below: ChainID | None, lease: Lease) -> CachedStep | None:
        """See `CacheSource`. A folder that is not there has no steps."""
        if self._index is None:
            self._index = self._load()
        found = self._index.find(key, below)
        if found is None or found.layer is None:
            return None if found is None else CachedStep(None, found.created)
        diff_id = found.layer.diff_id
        try:
            with self._path(found.layer.blob.digest).open("rb") as stream:
                record = self._snapshots.unpack(stream, below, lease=lease, expected=diff_id)
        except FileNotFoundError:
            raise NotFoundError(f"the cache {str(self._folder)!r} lacks {diff_id}") from None
        return CachedStep(record.layer, found.created)

    def _load(self) -> CacheIndex:
        try:
            index = json.loads(_read(self._folder / "index.json"))
        except FileNotFoundError:  # the first build of all
            return CacheIndex({"records": [], "layers": []}, {})
        except ValueError as error:
            raise self._damaged(error) from None
        try:
            manifest = parse_manifest(self._blob(index["manifests"][0]["digest"]))
            if manifest.config.media_type != CONFIG:
                raise ValueError("it holds an image")
            blobs = {str(layer.digest): layer for layer in manifest.layers}
            return CacheIndex(json.loads(self._blob(manifest.config.digest)), blobs)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, FileNotFoundError, InvalidError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> InvalidError:
        return InvalidError(f"{str(self._folder)!r} is no cache of builds: {error}")

    def _path(self, digest: Digest) -> Path:
        return self._folder / "blobs" / "sha256" / digest.hex

    def _blob(self, name: object) -> bytes:
        digest = digests.parse(name)
        data = _read(self._path(digest))
        if digests.of(data) != digest:
            raise ValueError(f"{digest} is damaged")
        return data


def _blob(blobs: Path, document: object) -> dict[str, Any]:
    data = json.dumps(document, sort_keys=True).encode()
    digest = digests.of(data)
    _write(blobs / digest.hex, (data,))
    return {"digest": digest, "size": len(data)}


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Whole or not at all; builds that write one cache at once write files of their own first."""
    part = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with part.open("xb") as stream:
            stream.writelines(pieces)
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise ValueError(f"{path.name} is too large")
    return data
