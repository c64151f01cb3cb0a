"""What builds remember, in a folder to take along: `--cache-to type=local,dest=…` and `--cache-from type=local,src=…`.

The folder is an OCI layout whose manifest has the steps' layers, uncompressed, and in place of an image's configuration
BuildKit's cache configuration: layers, and records of keys. The keys are ours, so that each builder finds only its own.
Whoever takes a cache trusts its maker as much as an image's: a key tells the sources, not what was made of them.
Source: BuildKit, docs of the local cache exporter; cache/remotecache/v1.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError, NotFoundError
from sandbox.image import digest as digests
from sandbox.image.buildcache import CachedStep
from sandbox.image.manifest import INDEXES, LAYER, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sandbox.image.digest import ChainID, Digest
    from sandbox.image.locking import Lease
    from sandbox.image.snapshots import Snapshots

CONFIG = "application/vnd.buildkit.cacheconfig.v0"
_CHAIN = "hako.chain-id"  # of a layer: what it lies on counts, too
_LIMIT = 64 << 20  # bytes of a document


def export(folder: Path, snapshots: Snapshots, steps: Mapping[str, CachedStep]) -> Digest:
    """Write the steps, by their keys; the manifest's digest. Layers that the folder has are not written again."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    places: dict[ChainID, int] = {}
    layers: list[dict[str, Any]] = []
    descriptors: list[dict[str, Any]] = []
    for step in steps.values():
        if step.layer is None or step.layer.chain_id in places:
            continue
        record = snapshots.record(step.layer.chain_id)
        places[step.layer.chain_id] = len(layers)
        below = places.get(record.parent, -1) if record.parent else -1
        layers.append({"blob": step.layer.diff_id, "parent": below, "annotations": {_CHAIN: step.layer.chain_id}})
        descriptors.append({"mediaType": LAYER, "digest": step.layer.diff_id, "size": step.layer.tar_size})
        if not (blobs / step.layer.diff_id.hex).exists():
            _write(blobs / step.layer.diff_id.hex, snapshots.archive(step.layer.chain_id))
    records = [
        {
            "digest": digests.from_hex(key),
            "layers": [{"layer": -1 if step.layer is None else places[step.layer.chain_id], "createdAt": step.created}],
        }
        for key, step in steps.items()
    ]
    config = _blob(blobs, {"layers": layers, "records": records})
    manifest = _blob(
        blobs,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **config},
            "layers": descriptors,
        },
    )
    _write(folder / "oci-layout", (b'{"imageLayoutVersion":"1.0.0"}',))
    index = {"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": [{"mediaType": MANIFEST, **manifest}]}
    _write(folder / "index.json", (json.dumps(index).encode(),))  # the last: until then it is the one of before
    return digests.parse(manifest["digest"])


class CacheLayout:
    """A folder that `export` has written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config: dict[str, Any] | None = None

    def find(self, key: str, below: ChainID | None, snapshots: Snapshots, lease: Lease) -> CachedStep | None:
        """The step of a key, its layer unpacked on top of `below`; None where there is none for it. A folder that is
        not there has none. InvalidError where the folder is no such cache, or was damaged.
        """
        try:
            if self._config is None:
                self._config = self._load()
            records = {record["digest"]: record["layers"][0] for record in self._config["records"]}
            found = records.get(digests.from_hex(key))
            if found is None:
                return None
            created = str(found["createdAt"])
            if found["layer"] == -1:
                return CachedStep(None, created)
            layer = self._config["layers"][found["layer"]]
            diff_id, chain_id = digests.parse(layer["blob"]), layer["annotations"][_CHAIN]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InvalidError(f"{str(self._folder)!r} is no cache of builds: {error}") from None
        if digests.chain_id(below, diff_id) != chain_id:
            return None
        try:
            with (self._folder / "blobs" / "sha256" / diff_id.hex).open("rb") as stream:
                record = snapshots.unpack(stream, below, lease=lease, expected=diff_id)
        except FileNotFoundError:
            raise NotFoundError(f"the cache {str(self._folder)!r} lacks {diff_id}") from None
        return CachedStep(record.layer, created)

    def _load(self) -> dict[str, Any]:
        try:
            index = json.loads(_read(self._folder / "index.json"))
        except FileNotFoundError:  # the first build of all
            return {"records": [], "layers": []}
        manifest = json.loads(self._blob(index["manifests"][0]["digest"]))
        if manifest["config"]["mediaType"] != CONFIG:
            raise ValueError("it holds an image")
        config: dict[str, Any] = json.loads(self._blob(manifest["config"]["digest"]))
        return config

    def _blob(self, name: object) -> bytes:
        digest = digests.parse(name)
        data = _read(self._folder / "blobs" / "sha256" / digest.hex)
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
