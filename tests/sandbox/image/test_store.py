"""The image store: names, ids, sizes, removal."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ConflictError, InvalidError, LimitError, NotFoundError, SandboxError
from sandbox.image import digest as digests
from sandbox.image.config import ImageConfig
from sandbox.image.content import MAX_DOCUMENT
from sandbox.image.manifest import parse_document, parse_manifest
from sandbox.image.store import ImageStore
from tests.sandbox.image.archives import archive, diff_id, member

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.image import Image, LayerRecord

CREATED = "2025-01-01T00:00:00Z"


def make(store: ImageStore, reference: str, text: str = "", *, command: tuple[str, ...] = ()) -> Image:
    """An image of one file; the same text is the same layer."""
    data = archive(member("file", data=text.encode()))
    return store.import_tar(io.BytesIO(data), reference=reference, config=ImageConfig(command=command), created=CREATED)


def is_empty(store: ImageStore) -> bool:
    """Whether nothing is left in the store but its locks."""
    left = [path for path in store.home.rglob("*") if path.is_file() and path.name != "lock"]
    folders = [path for name in ("snapshots", "leases") for path in (store.images / name).glob("*")]
    return not left and not folders and not list((store.home / "tmp").iterdir())


def test_an_empty_store_has_nothing(store: ImageStore) -> None:
    """Reading makes no directories, and says what to do."""
    assert store.list() == () and store.total_size() == 0 and store.find("x") is None
    with pytest.raises(NotFoundError, match="no image 'busybox'") as caught:
        store.get("busybox")
    assert "sandbox bootstrap" in caught.value.hint
    assert not store.home.exists()
    assert store.reclaim() == 0


def test_import(store: ImageStore) -> None:
    """An image of one layer: files, configuration, manifest, names, digests."""
    data = archive(member("etc/motd", data=b"hello"))
    image = store.import_tar(
        io.BytesIO(data),
        reference="localhost:5000/app",
        config=ImageConfig(command=("sh",), environment={"A": "b"}),
        created=CREATED,
        comment="test",
    )
    assert image.references == ("localhost:5000/app:latest",)
    assert image.config.command == ("sh",) and image.config.environment == {"A": "b"}
    assert (image.created, image.os) == (CREATED, "linux")
    assert image.architecture in ("amd64", "arm64")
    (layer,) = image.layers
    assert layer.diff_id == layer.chain_id == diff_id(data)
    assert (layer.size, layer.tar_size, image.size) == (5, len(data), 5)
    (lower,) = store.snapshots.lowers(image)
    assert (lower / "etc/motd").read_bytes() == b"hello"
    document = store.content.read(image.id)
    assert digests.of(document) == image.id
    assert parse_document(document).diff_ids == (layer.diff_id,)
    assert parse_document(document).history[0].comment == "test"
    manifest = parse_manifest(store.content.read(image.manifest_digest))
    assert manifest.config.digest == image.id
    assert (manifest.layers[0].digest, manifest.layers[0].size) == (layer.diff_id, len(data))
    assert store.get("localhost:5000/app") == image
    assert list((store.home / "tmp").iterdir()) == []


def test_the_store_is_private(store: ImageStore) -> None:
    """Nobody else on the host may reach set-uid programs inside layers (CVE-2021-41091)."""
    make(store, "a")
    for folder in (store.home, store.images, store.snapshots.root, store.home / "tmp"):
        assert folder.stat().st_mode & 0o077 == 0


def test_the_same_input_is_the_same_image(store: ImageStore) -> None:
    """Ids depend on nothing but content; two names share one image."""
    first, second = make(store, "a"), make(store, "b:2")
    assert first.id == second.id and second.references == ("a:latest", "b:2")
    assert len(store.list()) == 1


def test_compressed_imports_have_the_uncompressed_digest(store: ImageStore) -> None:
    """A DiffID is of the tar, however it came."""
    import gzip  # noqa: PLC0415

    data = archive(member("f"))
    image = store.import_tar(io.BytesIO(gzip.compress(data)), reference="z")
    assert image.layers[0].diff_id == diff_id(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 5000,
        archive(member("f", data=b"x" * 5000))[:3000],
        archive(member("f", data=b"x"))[:1024],
        b"\x1f\x8bxx",
    ],
    ids=["empty", "text", "cut in a file", "cut before the end marker", "broken gzip"],
)
def test_what_is_no_whole_archive_is_refused(store: ImageStore, data: bytes) -> None:
    """`tar c | sandbox import` of a tar that died must not become an image."""
    with pytest.raises(InvalidError):
        store.import_tar(io.BytesIO(data), reference="broken")
    assert is_empty(store)


def test_a_bad_name_is_said_before_the_work(store: ImageStore) -> None:
    """The stream is not even read."""
    stream = io.BytesIO(archive(member("f")))
    with pytest.raises(InvalidError, match="reference"):
        store.import_tar(stream, reference="Bad Name")
    assert stream.tell() == 0


def test_get_by_everything(store: ImageStore) -> None:
    """Name, name@digest, id with and without `sha256:`, and its beginnings."""
    image = make(store, "app:1")
    for name in (
        "app:1",
        "docker.io/library/app:1",
        f"app@{image.manifest_digest}",
        image.id,
        image.id.hex,
        image.id.hex[:12],
        image.id[:14],
        image.id.hex[:1],
    ):
        assert store.get(name).id == image.id, name
    for name in ("app", "other:1", "app@sha256:" + "0" * 64, "0" * 64, "sha256:" + "0" * 64):
        with pytest.raises(NotFoundError):
            store.get(name)
    with pytest.raises(InvalidError):
        store.get("No Such")


def test_get_without_names_reads_no_others(store: ImageStore) -> None:
    """A start needs the image alone: a damaged name elsewhere does not hold it up."""
    image = make(store, "app:1")
    (store.images / "references" / "docker.io" / "library" / "other").mkdir()
    (store.images / "references" / "docker.io" / "library" / "other" / ":1").symlink_to("damaged")
    assert store.get("app:1", named=False) == image._replace(references=())
    with pytest.raises(SandboxError, match="damaged reference"):
        store.get("app:1")


def test_ambiguous_ids(store: ImageStore) -> None:
    """Two images of one beginning: an error that names them; a longer beginning decides."""
    by_start: dict[str, list[Image]] = {}
    for index in range(17):
        image = make(store, f"i{index}", str(index))
        by_start.setdefault(image.id.hex[0], []).append(image)
    start, several = next((start, images) for start, images in by_start.items() if len(images) > 1)
    with pytest.raises(ConflictError, match="begin") as caught:
        store.get(start)
    assert all(image.id.short in caught.value.message for image in several)
    assert store.get(several[0].id.short).id == several[0].id


def test_a_name_comes_before_an_id(store: ImageStore) -> None:
    """An image named like another's id, as docker decides it."""
    first = make(store, "first", "1")
    second = make(store, first.id.short, "2")
    assert store.get(first.id.short).id == second.id


def test_tag_moves_and_leaves_a_dangling_image(store: ImageStore) -> None:
    """A name stands for one image; the one that lost it stays until removed."""
    first, second = make(store, "a", "1"), make(store, "b", "2")
    tagged = store.tag("b", "a")
    assert tagged.id == second.id and tagged.references == ("a:latest", "b:latest")
    assert store.get(first.id).references == ()
    assert {image.id for image in store.list()} == {first.id, second.id}
    with pytest.raises(InvalidError, match="digest"):
        store.tag("a", f"c@{first.manifest_digest}")
    with pytest.raises(NotFoundError):
        store.tag("nothing", "c")


def test_names_inside_names(store: ImageStore) -> None:
    """`a`, `a/b` and `a/b/c` are repositories beside each other; removing one leaves the others."""
    for index, name in enumerate(("a.io/a:x", "a.io/a/b:x", "a.io/a/b/c:x")):
        make(store, name, str(index))
    store.remove("a.io/a/b:x")
    assert store.find("a.io/a:x") and store.find("a.io/a/b/c:x") and not store.find("a.io/a/b:x")
    store.remove("a.io/a/b/c:x")
    store.remove("a.io/a:x")
    assert is_empty(store) and list((store.images / "references").iterdir()) == []


def test_remove_by_name(store: ImageStore) -> None:
    """The first name goes alone, the image goes with the last."""
    image = make(store, "a", "content")
    store.tag("a", "b")
    removed = store.remove("a")
    assert (removed.untagged, removed.deleted) == (("a:latest",), ())
    removed = store.remove("b")
    assert removed.untagged == ("b:latest",)
    assert removed.deleted == (image.id, image.layers[0].chain_id)
    assert removed.freed > len("content")
    assert is_empty(store)
    with pytest.raises(NotFoundError):
        store.remove("b")


def test_remove_by_id(store: ImageStore) -> None:
    """All names of one repository at once; several repositories need force."""
    image = make(store, "a:1")
    store.tag("a:1", "a:2")
    store.tag("a:1", "b:1")
    with pytest.raises(ConflictError, match="several repositories") as caught:
        store.remove(image.id.short)
    assert "a:1, a:2, b:1" in caught.value.hint
    store.remove("b:1")
    assert store.remove(image.id.short).untagged == ("a:1", "a:2")
    image = make(store, "a:1")
    store.tag("a:1", "b:1")
    assert store.remove(image.id, force=True).untagged == ("a:1", "b:1")
    assert is_empty(store)


def test_remove_by_digest(store: ImageStore) -> None:
    """`name@digest` takes that repository's names of that manifest."""
    image = make(store, "a:1")
    store.tag("a:1", "a:2")
    assert store.remove(f"a@{image.manifest_digest}").untagged == ("a:1", "a:2")
    assert is_empty(store)


def test_an_image_in_use_stays(store: ImageStore) -> None:
    """Without force it is refused; with force only names go, and the layers of the container are still there."""
    image = make(store, "a")
    store.tag("a", "b")

    def in_use(image_id: str) -> tuple[str, ...]:
        assert image_id == image.id
        return ("c" * 64,)

    assert store.remove("b", in_use=in_use).untagged == ("b:latest",)  # not the last name
    with pytest.raises(ConflictError, match="in use by container cccccccccccc") as caught:
        store.remove("a", in_use=in_use)
    assert caught.value.reference == "image-in-use"
    with pytest.raises(ConflictError):
        store.remove(image.id, in_use=in_use)
    removed = store.remove("a", force=True, in_use=in_use)
    assert (removed.untagged, removed.deleted) == (("a:latest",), ())
    assert store.get(image.id).references == ()
    assert store.snapshots.lowers(image)
    assert store.remove(image.id).deleted[0] == image.id


def test_shared_layers_count_once_and_live_as_long_as_anybody(store: ImageStore) -> None:
    """Two images over one layer."""
    first, second = make(store, "a", "x" * 1000), make(store, "b", "x" * 1000, command=("other",))
    assert first.id != second.id and first.layers == second.layers
    assert first.size == second.size == 1000 and store.total_size() == 1000
    store.remove("a")
    assert store.snapshots.lowers(second)
    assert store.remove("b").deleted == (second.id, second.layers[0].chain_id)


def test_an_image_of_several_layers(store: ImageStore) -> None:
    """`add` makes an image of leased snapshots; lowers are topmost first."""
    layers: list[LayerRecord] = []
    with store.lease() as lease:
        for index in range(3):
            data = archive(member(f"f{index}", data=b"x" * index))
            parent = layers[-1].chain_id if layers else None
            layers.append(store.snapshots.unpack(io.BytesIO(data), parent, lease=lease).layer)
        document = json.dumps({"rootfs": {"diff_ids": [layer.diff_id for layer in layers]}}).encode()
        image = store.add(b'{"schemaVersion": 2}', document, layers)
    assert [layer.chain_id for layer in image.layers] == list(digests.chain_ids(layer.diff_id for layer in layers))
    assert [next(path.iterdir()).name for path in store.snapshots.lowers(image)] == ["f2", "f1", "f0"]
    assert image.size == 3 and image.references == () and image.chain_id == layers[-1].chain_id
    assert store.reclaim() == 0
    assert store.snapshots.lowers(image)


def test_a_lease_keeps_layers_from_being_reclaimed(store: ImageStore) -> None:
    """What is being built on is not garbage; when the lease ends without an image it is."""
    with store.lease() as lease:
        record = store.snapshots.unpack(io.BytesIO(archive(member("f", data=b"x" * 100))), lease=lease)
        assert store.reclaim() == 0
        assert store.snapshots.exists(record.layer.chain_id)
    assert store.reclaim() == 100
    assert not store.snapshots.exists(record.layer.chain_id)
    assert is_empty(store)


def test_an_image_needs_its_layers(store: ImageStore) -> None:
    """Neither made nor used without them."""
    image = make(store, "a")
    with pytest.raises(SandboxError, match="not in the store"):
        store.add(b"{}", b"{}", [image.layers[0]._replace(chain_id=digests.of(b"no"))])
    (store.snapshots.root / image.layers[0].chain_id.hex).rename(store.home / "away")
    with pytest.raises(NotFoundError, match="missing") as caught:
        store.snapshots.lowers(image)
    assert "sandbox rmi" in caught.value.hint


def test_documents_are_bounded_and_verified(store: ImageStore) -> None:
    """CVE-2023-25153; and a blob is what its digest says."""
    with pytest.raises(LimitError):
        store.content.put(bytes(MAX_DOCUMENT + 1))
    with pytest.raises(InvalidError, match="digest"):
        store.content.put(b"x", expected=digests.of(b"y"))
    assert store.content.list() == ()


def test_damaged_records_are_errors_that_name_them(store: ImageStore) -> None:
    """Never a traceback."""
    image = make(store, "a")
    (store.images / "ids" / image.id.hex).write_text("{")
    with pytest.raises(SandboxError, match=image.id.short):
        store.get("a")


def test_looking_up_imports_little(tmp_path: Path) -> None:
    """`sandbox run` starts a Python process each time: nothing heavy on its way to an image."""
    ImageStore(tmp_path)
    script = (
        "import sys, pathlib; from sandbox.image.store import ImageStore; "
        "ImageStore(pathlib.Path('/nonexistent')).find('busybox'); print(*sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {script}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"subprocess", "tempfile", "shutil", "asyncio", "logging", "hashlib", "tomllib", "zlib", "lzma", "select"}
    assert heavy.isdisjoint(found)
    ours = {name for name in found if name.startswith("sandbox.")}
    assert ours.isdisjoint({"sandbox.image.unpack", "sandbox.image.manifest", "sandbox.image.bootstrap"})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file system of its own")
def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    """The import stops, says so, and leaves nothing."""
    from sandbox.kernel.mounts import mount, umount  # noqa: PLC0415

    mount("tmpfs", str(tmp_path), "tmpfs", 0, "size=80m,nr_inodes=5000")
    try:
        store = ImageStore(tmp_path / "home")
        with pytest.raises(SandboxError, match=r"bytes|full"):
            store.import_tar(io.BytesIO(archive(member("big", data=bytes(60 << 20)))), reference="a")
        assert is_empty(store)
        with pytest.raises(SandboxError, match="entries"):
            store.import_tar(io.BytesIO(archive(*(member(str(index)) for index in range(6000)))), reference="a")
        assert is_empty(store)
    finally:
        umount(str(tmp_path))
