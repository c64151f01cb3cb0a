"""New images of old ones: layers, history, sizes, and what prune leaves."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import NotFoundError, SandboxError
from sandbox.image import whiteout
from sandbox.image.committing import commit
from sandbox.image.config import ImageConfig
from sandbox.image.description import describe, history
from sandbox.image.manifest import parse_document
from sandbox.image.tree import Tree
from sandbox.image.unpack import in_user_namespace
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.image import Image
    from sandbox.image.store import ImageStore

OPAQUE = whiteout.opaque_attribute(user_namespace=in_user_namespace())


def base(store: ImageStore) -> Image:
    """An image of one layer."""
    return store.import_tar(io.BytesIO(archive(member("a", data=b"12345"))), reference="base", comment="root")


def add(store: ImageStore, image: Image, folder: Path, reference: str = "", **files: str) -> Image:
    """An image with a layer of these files on top."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    tree = Tree([folder], OPAQUE, whiteouts=True)
    return commit(
        store,
        image,
        tree,
        config=ImageConfig(command=("x",)),
        reference=reference,
        created_by="make it",
        author="me",
        comment="added",
    )


def test_a_commit(store: ImageStore, tmp_path: Path) -> None:
    """The lower layers stay, the history grows, docker's shapes tell of it."""
    below = base(store)
    made = add(store, below, tmp_path / "upper", "made:1", b="678")
    assert made.layers[:1] == below.layers and made.layers[1].size == 3 and made.size == 8
    document = parse_document(store.content.read(made.id))
    assert document.diff_ids == tuple(layer.diff_id for layer in made.layers)
    assert document.unknown["author"] == "me" and document.config.command == ("x",)
    lines = history(store, store.get("made:1"))
    assert [(line.created_by, line.comment, line.size) for line in lines] == [
        ("make it", "added", 3),
        ("import", "root", 5),
    ]
    assert lines[0].id == made.id and lines[0].tags == ("made:1",) and lines[1].id == "<missing>"
    shape = describe(store, store.get("made:1"))
    assert shape["Author"] == "me" and shape["Comment"] == "added" and shape["Size"] == 8
    assert shape["RepoDigests"] == [f"made@{made.manifest_digest}"]
    assert len(shape["RootFS"]["Layers"]) == 2 and shape["GraphDriver"]["Data"]["LowerDir"]


def test_nothing_changed_makes_no_layer(store: ImageStore, tmp_path: Path) -> None:
    """Only the configuration is new."""
    below = base(store)
    made = add(store, below, tmp_path / "upper")
    assert made.layers == below.layers and made.id != below.id and made.references == ()
    assert parse_document(store.content.read(made.id)).history[-1].empty_layer
    assert [line.size for line in history(store, made)] == [0, 5]


def test_shared_layers_count_once_and_stay_while_they_are_needed(store: ImageStore, tmp_path: Path) -> None:
    """Removing the lower image deletes none of its layers, pruning the upper ones gives back only theirs."""
    below = base(store)
    one = add(store, below, tmp_path / "1", "one", b="1" * 10)
    two = add(store, one, tmp_path / "2", "two", c="2" * 100)
    assert store.total_size() == 115
    assert store.remove("base").freed < 3000  # its documents
    assert store.total_size() == 115
    pruned = store.prune(lambda image: image.id == two.id)
    assert pruned.untagged == ("two:latest",) and two.layers[2].chain_id in pruned.deleted
    assert store.total_size() == 15 and store.get("one").layers == one.layers
    with pytest.raises(NotFoundError):
        store.get("two")


def test_prune_spares_what_is_in_use(store: ImageStore) -> None:
    """Whatever the filter says."""
    image = base(store)
    assert store.prune(lambda _: True, in_use=lambda _: ("c",)).deleted == ()
    assert store.get("base").id == image.id


def test_a_layer_on_disk_that_has_changed_is_not_handed_out(store: ImageStore, tmp_path: Path) -> None:
    """Its archive has another digest; said at the end, since it is streamed."""
    image = base(store)
    (layer,) = image.layers
    path = store.snapshots.path(layer.chain_id) / "a"
    path.write_bytes(b"54321")
    with pytest.raises(SandboxError, match="damaged"):
        b"".join(store.snapshots.archive(layer.chain_id))
    path.write_bytes(b"1")
    with pytest.raises(SandboxError, match="shorter"):
        b"".join(store.snapshots.archive(layer.chain_id))
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(SandboxError, match="damaged"):
        b"".join(store.snapshots.archive(layer.chain_id))


def test_an_archive_with_a_file_twice_cannot_be_written_again(store: ImageStore) -> None:
    """Its first contents are gone: said in one line, not made up."""
    data = archive(member("a", data=b"1"), member("a", data=b"2"))
    (layer,) = store.import_tar(io.BytesIO(data), reference="twice").layers
    assert not store.snapshots.is_replayable(layer.chain_id)
    with pytest.raises(SandboxError, match="had a file twice"):
        b"".join(store.snapshots.archive(layer.chain_id))
