"""Images and power losses: what was not on the disk yet is looked at, and goes where it is damaged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.image.test_store import make

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.image import Image
    from sandbox.image.store import ImageStore

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


def doubt(store: ImageStore, image: Image) -> None:
    """Leave what the machine's boot before this one would have left, had it ended just after the image was made."""
    (store.images / "unsettled" / image.id.hex).symlink_to("another-boot")


def test_an_image_is_written_to_the_disk_behind_our_back(store: ImageStore) -> None:
    """The note that is made with an image is taken back without its maker."""
    make(store, "one", "text")
    assert settled(store)


def test_what_is_whole_stays(store: ImageStore) -> None:
    """After a power loss every image that was made shortly before is read, once."""
    image = make(store, "one", "text")
    assert settled(store)
    doubt(store, image)
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
    doubt(store, image)
    shared = () if damage == "document" else ("same-layer:latest",)
    assert store.mend() == ("one:latest", *shared)
    assert store.find("one") is None
    assert store.get("other") == other
    assert (store.find("same-layer") is None) == bool(shared)
    assert make(store, "one", "text") == image  # as good as new
    assert next(store.snapshots.archive(image.layers[0].chain_id))


def test_a_note_of_this_boot_is_left_alone(store: ImageStore) -> None:
    """Somebody was killed before the disk had written everything: the kernel has it all."""
    image = make(store, "one", "text")
    assert settled(store)
    store._settling.note(image.id)
    (store.snapshots.root / image.layers[0].chain_id.hex / "fs/file").write_bytes(b"")
    assert store.mend() == ()
    assert len(notes(store)) == 1
