"""What builds remember: a step's key and the layer that it made. `images/cache/<key>` is one record.

The records keep their layers in the store when no image has them; `prune` lets them go. A record whose layer is gone
counts for nothing. Writing is atomic, and two builds that write one key write the same thing.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.image import digest as digests
from sandbox.image import scratch
from sandbox.image.image import LayerRecord
from sandbox.image.settling import Settling
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sandbox.image.digest import ChainID


class CachedStep(NamedTuple):
    """A step's layer, None where it changed nothing, and when it was made (RFC 3339)."""

    layer: LayerRecord | None
    created: str


class BuildCache:
    """The records of one `$HAKO_HOME`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "images" / "cache"
        self._settling = Settling(home / "images")

    def get(self, key: str) -> CachedStep | None:
        """The step of a key (64 hexadecimal figures); None for an unknown one, and for a record that is damaged."""
        try:
            return _read((self._folder / digests.from_hex(key).hex).read_bytes())
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, step: CachedStep) -> None:
        """Remember a step. Its layer has to be leased meanwhile.

        Nothing is synchronised with the disk, which would cost more than many a step: a record that a power loss
        has emptied counts for nothing, and the layer is noted as one to look at then, until `ImageStore.settle`.
        """
        if step.layer is not None:
            self._settling.note(step.layer.chain_id)
        data = {"layer": list(step.layer) if step.layer else None, "created": step.created}
        record = self._folder / digests.from_hex(key).hex
        scratch.write(self._home, record, json.dumps(data).encode("ascii"), durable=False)

    def making(self, key: str, lock: Callable[[int], object]) -> AbstractContextManager[None]:
        """Of all builds only one is in the block for a key; the others find in the cache then what it has made.

        `lock` waits for the flock(2) of a descriptor.
        """
        return scratch.alone(self._home, f"step-{digests.from_hex(key).hex}", lock)

    def chain_ids(self) -> Iterator[ChainID]:
        """The layers that are remembered."""
        for path in self._records():
            with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                step = _read(path.read_bytes())
                if step.layer is not None:
                    yield step.layer.chain_id

    def forget(self, layers: Collection[ChainID]) -> None:
        """Forget the steps that made these layers, which are damaged."""
        for path in self._records() if layers else ():
            with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                made = _read(path.read_bytes()).layer
                if made is not None and made.chain_id in layers:
                    path.unlink()

    def prune(self, *, older: float = 0.0) -> int:
        """Forget steps that were remembered more than `older` seconds ago; how many. The store's sweep takes layers
        away.
        """
        gone = 0
        limit = time.time() - older
        for path in self._records():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime <= limit:
                    path.unlink()
                    gone += 1
        return gone

    def _records(self) -> list[Path]:
        try:
            return list(self._folder.iterdir())
        except FileNotFoundError:
            return []


def _read(data: bytes) -> CachedStep:
    record = json.loads(data)
    layer = record["layer"]
    if layer is not None:
        diff_id, chain_id, size, tar_size = layer
        layer = LayerRecord(digests.parse(diff_id), digests.parse(chain_id), int(size), int(tar_size))
    return CachedStep(layer, str(record["created"]))
