"""Images out of archives and layouts, of other programs and ourselves; hostile ones are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from sandbox.errors import SandboxError
from sandbox.image import loading
from sandbox.image.config import ImageConfig
from sandbox.image.saving import members, write_archive, write_directory
from sandbox.image.store import ImageStore
from tests.sandbox.image.archives import archive, diff_id, member
from tests.sandbox.podman import HAS_PODMAN, podman_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sandbox.image.image import Image

CREATED = "2025-01-01T00:00:00Z"
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
needs_podman = pytest.mark.skipif(not HAS_PODMAN, reason="podman is not installed, or no root")


def make(store: ImageStore, *references: str, text: str = "") -> Image:
    """An image of a few files under several names."""
    data = archive(member("d", "dir"), member("d/f", data=text.encode() * 1000), member("l", "link", target="d/f"))
    config = ImageConfig(command=("sh",), labels={"a": text})
    store.import_tar(io.BytesIO(data), reference=references[0], config=config, created=CREATED)
    for reference in references[1:]:
        store.tag(references[0], reference)
    return store.get(references[0])


def load(store: ImageStore, data: bytes) -> tuple[loading.Loaded, ...]:
    """Load from a file of these bytes."""
    with io.BytesIO(data) as source:
        fd = os.memfd_create("archive")
        os.write(fd, source.getvalue())
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            return loading.load(store, fd)
        finally:
            os.close(fd)


def saved(store: ImageStore, *names: str, docker: bool = True) -> bytes:
    """The archive that `save` writes."""
    stream = io.BytesIO()
    write_archive(members(store, names, docker=docker), stream.write)
    return stream.getvalue()


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    """A second, empty store."""
    return ImageStore(tmp_path / "other")


def test_saved_and_loaded(store: ImageStore, other: ImageStore) -> None:
    """Several images with several names, one without: ids, names, files and archives are the same on the other side."""
    first, second = make(store, "a:1", "host.example/b/c:2", text="x"), make(store, "d", text="y")
    data = saved(store, "a:1", "host.example/b/c:2", second.id)
    assert data == saved(store, "a:1", "host.example/b/c:2", second.id)
    loaded = load(other, data)
    assert [entry.names for entry in loaded] == [("a:1",), ("host.example/b/c:2",), ()] or [
        sorted(entry.names) for entry in loaded
    ] == [["a:1", "host.example/b/c:2"], ["a:1", "host.example/b/c:2"], []]
    assert other.get("a:1").id == first.id == other.get("host.example/b/c:2").id
    assert other.get(second.id).references == ()
    assert other.get("a:1").layers == first.layers
    assert saved(other, "a:1", "host.example/b/c:2", second.id) == data


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress, zstandard.compress])
def test_compressed_and_through_a_pipe(
    store: ImageStore, other: ImageStore, compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Whatever it is compressed with, and when it cannot be read twice; nothing is left in the scratch directory."""
    image = make(store, "a", text="x")
    path = tmp_path / "archive"
    path.write_bytes(compress(saved(store, "a")))
    process = subprocess.Popen(["cat", path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        (loaded,) = loading.load(other, process.stdout.fileno())
    process.wait()
    assert loaded.image.id == image.id
    with path.open("rb") as file:
        assert loading.load(other, file.fileno())[0].image.id == image.id
    assert list((other.home / "tmp").iterdir()) == []


def test_a_layout_in_a_directory(store: ImageStore, other: ImageStore, tmp_path: Path) -> None:
    """As skopeo's `oci:`."""
    image = make(store, "a", text="x")
    write_directory(members(store, ["a"], docker=False), tmp_path / "layout")
    assert sorted(path.name for path in (tmp_path / "layout").iterdir()) == ["blobs", "index.json", "oci-layout"]
    (loaded,) = loading.load(other, tmp_path / "layout")
    assert (loaded.image.id, loaded.names) == (image.id, ("a:latest",))


def docker_archive(layers: Sequence[bytes], tags: list[str] | None, **config: Any) -> bytes:
    """An archive as docker wrote it before version 25: a folder for each layer, its configuration beside."""
    document: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff_id(layer) for layer in layers]},
        **config,
    }
    data = json.dumps(document).encode()
    name = diff_id(data)[7:] + ".json"
    entries = []
    for number, layer in enumerate(layers):
        entries += [member(f"{number}", "dir"), member(f"{number}/layer.tar", data=layer)]
    listed = [{"Config": name, "RepoTags": tags, "Layers": [f"{number}/layer.tar" for number in range(len(layers))]}]
    return archive(*entries, member(name, data=data), member("manifest.json", data=json.dumps(listed).encode()))


def test_dockers_old_form(store: ImageStore) -> None:
    """The configuration stays byte for byte, so the id is docker's; layers build on each other."""
    layers = [archive(member("a", data=b"1"), member("b")), archive(member(".wh.b"), member("c"))]
    (loaded,) = load(store, docker_archive(layers, ["x/y:1", "z:2"], author="me"))
    assert loaded.names == ("x/y:1", "z:2") and store.get("z:2").id == loaded.image.id
    assert json.loads(store.content.read(loaded.image.id))["author"] == "me"
    assert [layer.diff_id for layer in loaded.image.layers] == [diff_id(layer) for layer in layers]
    assert b"".join(store.snapshots.archive(loaded.image.layers[1].chain_id)) == layers[1]
    assert load(store, docker_archive(layers, None, author="me"))[0].image.id == loaded.image.id


def test_a_layer_with_a_file_twice(store: ImageStore) -> None:
    """Its files do not hold all of it: the archive is kept, and comes out as it was."""
    layer = archive(member("a", data=b"1"), member("b"), member("a", data=b"2"))
    (loaded,) = load(store, gzip.compress(docker_archive([layer], ["one"])))
    chain_id = loaded.image.layers[0].chain_id
    assert (store.snapshots.path(chain_id) / "a").read_bytes() == b"2"
    assert b"".join(store.snapshots.archive(chain_id)) == layer
    assert load(store, saved(store, "one"))[0].image.id == loaded.image.id


def test_a_layer_that_is_there_is_not_read(store: ImageStore) -> None:
    """Not even needed in the archive."""
    layer = archive(member("a", data=b"1"))
    load(store, docker_archive([layer], ["one"]))
    data = docker_archive([layer], ["two"], author="x")
    broken = data.replace(layer[:512], bytes(512))
    assert load(store, broken)[0].names == ("two:latest",)


def test_of_an_index_the_image_of_this_machine(store: ImageStore, other: ImageStore, tmp_path: Path) -> None:
    """Other platforms and attestations are passed over, though their blobs are missing."""
    make(store, "a", text="x")
    layout = tmp_path / "layout"
    write_directory(members(store, ["a"], docker=False), layout)
    index = json.loads((layout / "index.json").read_bytes())
    descriptor = index["manifests"][0]
    mine = descriptor | {"platform": {"os": "linux", "architecture": store.get("a").architecture}}
    wrong = descriptor | {"digest": diff_id(b"none"), "platform": {"os": "unknown", "architecture": "unknown"}}
    inner = json.dumps(index | {"manifests": [wrong, mine]}).encode()
    (layout / "blobs/sha256" / diff_id(inner)[7:]).write_bytes(inner)
    outer = {
        "mediaType": index["mediaType"],
        "digest": diff_id(inner),
        "size": len(inner),
        "annotations": {"org.opencontainers.image.ref.name": "latest"},
    }
    (layout / "index.json").write_text(json.dumps(index | {"manifests": [outer]}))
    (loaded,) = loading.load(other, layout)
    assert loaded.image.id == store.get("a").id and loaded.names == ()


def damaged(data: bytes, old: bytes, new: bytes) -> bytes:
    """With one thing put in place of another."""
    assert data.count(old) >= 1 and len(old) == len(new)
    return data.replace(old, new)


def test_hostile_and_damaged_archives(store: ImageStore, other: ImageStore, tmp_path: Path) -> None:
    """One line, and no image."""
    make(store, "a", text="x")
    good = saved(store, "a")
    layer = archive(member("a"))
    manifest = b'[{"Config":"c.json","RepoTags":["a:1"],"Layers":[]}]'
    hostile = {
        "no archive": b"hello",
        "an empty one": archive(),
        "no JSON": archive(member("manifest.json", data=b"{")),
        "no list": archive(member("manifest.json", data=b"{}")),
        "deep JSON": archive(member("manifest.json", data=b"[" * 100_000)),
        "no configuration": archive(member("manifest.json", data=manifest)),
        "a document without end": archive(member("manifest.json", data=b" " * (9 << 20))),
        "an index that is a manifest": archive(member("index.json", data=b'{"manifests":[],"layers":[]}')),
        "a digest that is a path": archive(
            member("index.json", data=b'{"manifests":[{"digest":"sha256:../../x","size":1,"mediaType":"x"}]}')
        ),
        "another layer": damaged(good, b"x" * 1000, b"y" * 1000),
        "another configuration": damaged(good, b'"Cmd":["sh"]', b'"Cmd":["xx"]'),
        "a wrong configuration": damaged(docker_archive([layer], ["a"]), b"amd64", b"amd65"),
        "a wrong layer": damaged(docker_archive([layer], ["a"]), layer[:100], b"b" + layer[1:100]),
        "cut short": good[: len(good) // 2],
        "a name outside": docker_archive([layer], ["../../x"]),
        "a layer that leads out": docker_archive([archive(member("../x"))], ["a"]),
        "links in a circle": archive(
            member("manifest.json", "symlink", target="b"), member("b", "symlink", target="manifest.json")
        ),
        "a link to the host": archive(member("manifest.json", "symlink", target="/etc/passwd")),
        "a member twice": archive(member("manifest.json", data=manifest), member("./manifest.json", data=manifest)),
    }
    for name, data in hostile.items():
        with pytest.raises(SandboxError) as caught:
            load(other, data)
        assert "\n" not in str(caught.value), name
        assert other.list() == (), name
    other.reclaim()
    assert other.snapshots.list() == () and other.content.list() == ()
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "index.json").symlink_to("/etc/passwd")
    with pytest.raises(SandboxError):
        loading.load(other, layout)
    (layout / "index.json").unlink()
    os.mkfifo(layout / "index.json")
    with pytest.raises(SandboxError, match="not a regular file"):
        loading.load(other, layout)


def skopeo(*words: str) -> None:
    """Copy an image."""
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", *words], check=True, capture_output=True)


@needs_skopeo
@pytest.mark.slow
def test_skopeo_reads_ours_and_we_read_skopeos(store: ImageStore, other: ImageStore, tmp_path: Path) -> None:
    """docker-archive, OCI archive and OCI layout, with gzip and with zstd."""
    image = make(store, "docker.io/library/a:1", text="x")
    ours = tmp_path / "ours.tar"
    ours.write_bytes(saved(store, "a:1"))
    for number, (source, target, options) in enumerate(
        [
            (f"docker-archive:{ours}:docker.io/library/a:1", "docker-archive", ()),
            (f"docker-archive:{ours}:docker.io/library/a:1", "oci-archive", ()),
            (f"oci-archive:{ours}", "oci", ("--dest-compress-format", "zstd")),
        ]
    ):
        path = tmp_path / f"theirs-{number}"
        skopeo(*options, source, f"{target}:{path}:host.example/x:{number}")
        place: Path | int = path if path.is_dir() else os.open(path, os.O_RDONLY)
        (loaded,) = loading.load(other, place)
        if isinstance(place, int):
            os.close(place)
        assert loaded.names == (f"host.example/x:{number}",)
        assert [layer.chain_id for layer in loaded.image.layers] == [layer.chain_id for layer in image.layers]


@needs_podman
@pytest.mark.slow
def test_podman_reads_ours_and_we_read_podmans(store: ImageStore, other: ImageStore, tmp_path: Path) -> None:
    """Two images in one archive; podman's docker-archive of both, its OCI archive and layout of one."""
    first = make(store, "host.example/a:1", text="x")
    make(store, "host.example/b:1", text="y")
    ours = tmp_path / "ours.tar"
    ours.write_bytes(saved(store, "host.example/a:1", "host.example/b:1"))
    with podman_storage() as podman:
        said = podman("load", "-q", "-i", str(ours)).decode()
        assert "host.example/a:1" in said and "host.example/b:1" in said
        podman("save", "-q", "-m", "-o", str(tmp_path / "both"), "host.example/a:1", "host.example/b:1")
        podman("save", "-q", "--format", "oci-archive", "-o", str(tmp_path / "one"), "host.example/a:1")
        podman("save", "-q", "--format", "oci-dir", "-o", str(tmp_path / "layout"), "host.example/a:1")
    for name, count in (("both", 2), ("one", 1)):
        with (tmp_path / name).open("rb") as file:
            loaded = loading.load(other, file.fileno())
        assert len(loaded) == count and loaded[0].names == ("host.example/a:1",)
        assert loaded[0].image.layers == first.layers
    (single,) = loading.load(other, tmp_path / "layout")
    assert single.image.layers == first.layers
