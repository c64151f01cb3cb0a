"""Images and power losses: what was not on the disk yet is looked at, and goes where it is damaged."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.image.buildcache import BuildCache, CachedStep
from tests.sandbox.image.archives import archive, member
from tests.sandbox.image.test_store import make

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.digest import ChainID, Digest
    from sandbox.image.store import ImageStore

KEY = "0" * 64
PATIENCE = 30.0  # seconds for the disk of a busy machine


def notes(store: ImageStore) -> list[Path]:
    """The images that may not be on the disk."""
    return list((store.images / "unsettled").iterdir())


def settled(store: ImageStore) -> bool:
    """Whether all notes are taken back in time."""
    deadline = time.monotonic() + PATIENCE
    while notes(store) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not notes(store)


def doubt(store: ImageStore, digest: Digest) -> None:
    """Leave what the machine's boot before this one would have left, had it ended just after an image or a layer was
    made.
    """
    (store.images / "unsettled" / digest.hex).symlink_to("another-boot")


def remember(store: ImageStore, text: str) -> tuple[BuildCache, ChainID]:
    """What builds remember of a step, under the key of noughts, and the layer that it has made."""
    cache = BuildCache(store.home)
    with store.lease() as lease:
        layer = store.snapshots.unpack(io.BytesIO(archive(member("file", data=text.encode()))), lease=lease).layer
        cache.put(KEY, CachedStep(layer, ""))
    return cache, layer.chain_id


def test_an_image_is_written_to_the_disk_behind_our_back(store: ImageStore) -> None:
    """The note that is made with an image is taken back without its maker."""
    make(store, "one", "text")
    assert settled(store)


def test_what_is_whole_stays(store: ImageStore) -> None:
    """After a power loss every image that was made shortly before is read, once."""
    image = make(store, "one", "text")
    assert settled(store)
    doubt(store, image.id)
    assert store.mend() == ()
    assert store.get("one") == image
    assert notes(store) == []


@pytest.mark.parametrize("damage", ["file", "archive", "layer.json", "document"])
def test_what_is_damaged_goes(store: ImageStore, damage: str) -> None:
    """A layer with an empty file, or an empty document: the image goes, with all that share it, and no other."""
    image, other = make(store, "one", "text"), make(store, "other", "other")
    make(store, "same-layer", "text", command=("sh",))
    assert settled(store)
    snapshot = store.snapshots.root / image.layers[0].chain_id.hex
    place = {"file": snapshot / "fs/file", "document": store.content.path(image.id)}.get(damage, snapshot / damage)
    place.write_bytes(b"")
    doubt(store, image.id)
    shared = () if damage == "document" else ("same-layer:latest",)
    assert store.mend() == ("one:latest", *shared)
    assert store.find("one") is None
    assert store.get("other") == other
    assert (store.find("same-layer") is None) == bool(shared)
    assert make(store, "one", "text") == image  # as good as new
    assert next(store.snapshots.archive(image.layers[0].chain_id))


def test_a_layer_that_a_build_remembers(store: ImageStore) -> None:
    """It is noted like an image, and written to the disk with the rest."""
    cache, layer = remember(store, "text")
    assert [note.name for note in notes(store)] == [layer.hex]
    store.settle()
    assert settled(store)
    doubt(store, layer)
    assert store.mend() == ()
    assert cache.get(KEY) is not None
    assert notes(store) == []


@pytest.mark.parametrize("noted", ["layer", "image"])
def test_a_damaged_layer_is_remembered_no_more(store: ImageStore, noted: str) -> None:
    """Else the next build would make the same damaged image of it again."""
    image = make(store, "one", "text")
    cache, layer = remember(store, "text")
    assert layer == image.layers[0].chain_id
    store.settle()
    assert settled(store)
    (store.snapshots.path(layer) / "file").write_bytes(b"")
    doubt(store, layer if noted == "layer" else image.id)
    assert store.mend() == ("one:latest",)
    assert cache.get(KEY) is None
    assert not store.snapshots.exists(layer)


def test_a_note_of_this_boot_is_left_alone(store: ImageStore) -> None:
    """Somebody was killed before the disk had written everything: the kernel has it all."""
    image = make(store, "one", "text")
    assert settled(store)
    store._settling.note(image.id)
    (store.snapshots.root / image.layers[0].chain_id.hex / "fs/file").write_bytes(b"")
    assert store.mend() == ()
    assert len(notes(store)) == 1
