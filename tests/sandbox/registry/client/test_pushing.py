"""Pushing, to Debian's registry and to one that breaks things off."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import NotFoundError
from sandbox.image.tree import Tree
from sandbox.registry import media
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.pushing import Pushed, push
from tests.sandbox.image.archives import archive, member
from tests.sandbox.registry.client.conftest import QUICK, layer
from tests.sandbox.registry.client.servers import Hostile, Reply, Request, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.image.store import ImageStore
    from sandbox.registry.client.progress import State
    from sandbox.registry.client.pulling import Pulled

    Pulls = Callable[..., Pulled]


class States:
    """What a push says of its layers."""

    def __init__(self) -> None:
        self.last: dict[str, str] = {}

    def layer(self, name: str, state: State, done: int = 0, total: int = 0, detail: str = "") -> None:  # noqa: ARG002
        """Remember it."""
        self.last[name] = f"{state} {detail}".strip()

    def line(self, text: str) -> None:
        """Nothing."""

    @property
    def all(self) -> list[str]:
        """Of every layer the last."""
        return list(self.last.values())


def made(store: ImageStore, name: str, data: bytes = b"hello") -> str:
    """An image of one layer of our own; its name."""

    class Source:
        def __init__(self, data: bytes) -> None:
            self._data = data

        def read(self, size: int, /) -> bytes:
            taken, self._data = self._data[:size], self._data[size:]
            return taken

    store.import_tar(Source(archive(member("file", data=data))), reference=name)
    return name


def pushed(store: ImageStore, name: str, states: States | None = None) -> Pushed:
    """Push with short waits."""
    return push(store, name, retrying=QUICK, progress=states)


def test_what_is_pushed_can_be_pulled(registry: str, store: ImageStore, pulls: Pulls) -> None:
    """The registry has it under the digest that is said; here the name stands for that, too."""
    name = made(store, f"{registry}/a/b:1", os.urandom(3 << 20))
    image, states = store.get(name), States()
    done = pushed(store, name, states)
    assert states.all == ["Pushed"]
    assert store.get(name).manifest_digest == done.digest
    url = f"http://{registry}/v2/a/b/manifests/{done.digest}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": media.MANIFEST})) as answer:
        assert len(answer.read()) == done.size
    store.remove(name)
    pulled = pulls(name)
    assert (pulled.image.id, pulled.image.layers, pulled.digest) == (image.id, image.layers, done.digest)


def test_what_is_there_is_not_sent_again(registry: str, store: ImageStore) -> None:
    """Not to the repository that has it; into another one of the registry it is mounted."""
    name = made(store, f"{registry}/a:1")
    first, states = pushed(store, name), States()
    assert pushed(store, name, states) == first
    assert states.all == ["Layer already exists"]
    store.tag(name, f"{registry}/b:2")
    assert pushed(store, f"{registry}/b:2", states).digest == first.digest
    assert states.all == ["Mounted a"]


def test_a_pulled_image_keeps_its_digest(registry: str, store: ImageStore, pulls: Pulls, hostile: Hostile) -> None:
    """In the registry that it came from its layers are mounted; an image on top of it sends its own alone."""
    name = made(store, f"{registry}/base")
    digest = pushed(store, name).digest
    store.remove(name)
    base = pulls(name).image
    store.tag(name, f"{registry}/copy")
    states = States()
    assert pushed(store, f"{registry}/copy", states).digest == digest
    assert states.all == ["Mounted base"]
    from sandbox.image.committing import commit  # noqa: PLC0415

    upper = store.home / "upper"
    upper.mkdir()
    (upper / "new").write_text("x")
    commit(store, base, Tree([upper], "user.overlay.opaque"), config=base.config, reference=f"{registry}/on/top")
    states = States()
    pushed(store, f"{registry}/on/top", states)
    assert states.all == ["Mounted copy", "Pushed"]


def test_layers_of_another_registry_are_sent(registry: str, hostile: Hostile, store: ImageStore, pulls: Pulls) -> None:
    """Compressed anew, with a manifest of their own."""
    hostile.image(layer("a"), layer("b"))
    image = pulls(f"{hostile.address}/x").image
    store.tag(f"{hostile.address}/x", f"{registry}/y")
    states = States()
    assert pushed(store, f"{registry}/y", states).digest != image.manifest_digest
    assert states.all == ["Pushed", "Pushed"]
    assert store.get(f"{hostile.address}/x").id == store.get(f"{registry}/y").id


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_reads_what_we_push(registry: str, store: ImageStore, pulls: Pulls, tmp_path: Path) -> None:
    """It copies it with every digest checked; and what it pushes, in docker's schema 2 and OCI's, we pull."""
    name = made(store, f"{registry}/a:1", os.urandom(1 << 20))
    pushed(store, name)
    skopeo = ["skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--insecure-policy"]
    subprocess.run([*skopeo, f"docker://{name}", f"oci:{tmp_path / 'oci'}:x"], check=True, capture_output=True)
    for form in ("v2s2", "oci"):
        there = f"{registry}/{form}:1"
        command = [*skopeo, "--format", form, f"oci:{tmp_path / 'oci'}:x", f"docker://{there}"]
        subprocess.run(command, check=True, capture_output=True)
        assert [one.diff_id for one in pulls(there).image.layers] == [one.diff_id for one in store.get(name).layers]


class Uploads:
    """What a registry does with uploads; each PATCH but the last is broken off after `most` bytes."""

    def __init__(self, hostile: Hostile, *, most: int, breaks: int) -> None:
        self._hostile = hostile
        self._most = most
        self._breaks = breaks
        self.received = b""
        self.forgets = False
        hostile.answers["*"] = self.answer

    def answer(self, request: Request) -> Reply | None:  # noqa: PLR0911  (one for each end point)
        """See the class."""
        path, _, query = request.path.partition("?")
        place = {"Location": "/v2/x/blobs/uploads/1", "Range": f"0-{max(0, len(self.received) - 1)}"}
        if request.method == "POST":
            self.received = b""
            return Reply(202, headers={"Location": "/v2/x/blobs/uploads/1"})
        if request.method == "PATCH":
            if self._breaks:
                self._breaks -= 1
                self.received += request.body[: self._most]
                return Reply(503)
            self.received += request.body
            return Reply(202, headers={**place, "Range": f"0-{len(self.received) - 1}"})
        if request.method == "GET" and path.endswith("/uploads/1"):
            return Reply(404) if self.forgets else Reply(204, headers=place)
        if request.method == "PUT" and "digest=" in query:
            data = request.body or self.received
            digest = query.partition("digest=")[2].replace("%3A", ":")
            if digest_of(data) != digest:
                return Reply(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}')
            self._hostile.blobs[digest] = data
            return Reply(201)
        if request.method == "PUT":
            self._hostile.manifests[path.rpartition("/")[2]] = (request.headers["content-type"], request.body)
            return Reply(201)
        return None


@pytest.mark.parametrize("forgets", [False, True])
def test_an_upload_that_breaks_goes_on(hostile: Hostile, store: ImageStore, pulls: Pulls, forgets: bool) -> None:
    """Where the registry says that it has come to, or from the beginning where it has forgotten the upload."""
    uploads = Uploads(hostile, most=100_000, breaks=2)
    uploads.forgets = forgets
    name = made(store, f"{hostile.address}/x:1", os.urandom(1 << 20))
    pushed(store, name)
    ranges = [request.headers.get("content-range", "") for request in hostile.requests if request.method == "PATCH"]
    starts = [found.group(1) if (found := re.match(r"(\d+)-", text)) else "" for text in ranges]
    assert starts == (["", "", ""] if forgets else ["", "100000", "200000"])
    store.remove(name)
    assert pulls(name).new


def test_an_upload_that_always_breaks(hostile: Hostile, store: ImageStore) -> None:
    """It ends with the registry's error, and nothing is left."""
    Uploads(hostile, most=0, breaks=1000)
    name = made(store, f"{hostile.address}/x:1")
    with pytest.raises(RegistryError, match="failed with status 503"):
        pushed(store, name)
    assert list((store.home / "tmp").iterdir()) == []


def test_uploads_that_are_refused(hostile: Hostile, store: ImageStore) -> None:
    """One line with what the registry says, at once."""
    hostile.answers["*"] = lambda request: (
        Reply(403, json.dumps({"errors": [{"code": "DENIED", "message": "quota"}]}).encode())
        if request.method == "POST"
        else None
    )
    name = made(store, f"{hostile.address}/x:1")
    with pytest.raises(RegistryError, match=r"denies access to .*: quota"):
        pushed(store, name)


@pytest.mark.parametrize("name", ["nosuch", "a@sha256:" + "0" * 64])
def test_what_cannot_be_pushed(store: ImageStore, name: str) -> None:
    """What is not here, and what is no tag."""
    with pytest.raises(NotFoundError):
        pushed(store, name)
