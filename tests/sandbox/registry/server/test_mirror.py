"""Pull-through: a registry that fetches from another one what it lacks."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from werkzeug.test import Client

from sandbox.image import digest as digests
from sandbox.registry.server.application import Registry
from sandbox.registry.server.mirror import FetchedManifest
from sandbox.registry.server.passages import UpstreamError
from tests.sandbox.registry.server.pushes import Peer, digest_of
from tests.sandbox.registry.server.running import request, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.image.digest import Digest

NAME = "library/app"
LAYER = os.urandom(1_000_000)


class Blob:
    """A blob of the other registry, in pieces; `breaks` after so many."""

    def __init__(self, data: bytes, size: int, breaks: int, gate: threading.Event | None) -> None:
        self._gate = gate
        self.size = size
        self._data = data
        self._breaks = breaks
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for number, at in enumerate(range(0, len(self._data), 100_000)):
            if self._gate is not None:
                self._gate.wait(60)
            if number == self._breaks:
                raise UpstreamError("connection lost")
            yield self._data[at : at + 100_000]

    def close(self) -> None:
        """No more of it."""
        self.closed = True


class Other:
    """Another registry, asked without a network; it can be down, and lie."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.down = False
        self.lies: bytes | None = None
        self.serves = ""  # whatever manifest is asked for
        self.breaks = -1
        self.gate: threading.Event | None = None  # before which nothing comes
        self.asked: list[str] = []
        self.last: Blob | None = None

    def names(self, repository: str, tag: str, digest: Digest) -> bool:
        """By HEAD."""
        return self._get("HEAD", f"{repository}/manifests/{tag}")[1].get("Docker-Content-Digest") == digest

    def manifest(self, repository: str, target: Digest | str) -> FetchedManifest | None:
        """By GET."""
        status, headers, data = self._get("GET", f"{repository}/manifests/{self.serves or target}")
        return FetchedManifest(headers["Content-Type"], data) if status == 200 else None

    def blob(self, repository: str, digest: Digest) -> Blob | None:
        """By GET."""
        status, _, data = self._get("GET", f"{repository}/blobs/{digest}")
        self.last = Blob(self.lies or data, len(data), self.breaks, self.gate) if status == 200 else None
        return self.last

    def tags(self, repository: str) -> list[str] | None:
        """All at once."""
        response = self.peer("GET", f"/v2/{repository}/tags/list")
        if self.down:
            raise UpstreamError("connection refused")
        return response.get_json()["tags"] if response.status_code == 200 else None

    def _get(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if self.down:
            raise UpstreamError("connection refused")
        self.asked.append(f"{method} {path.removeprefix(NAME)}")
        response = self.peer(method, f"/v2/{path}")
        return response.status_code, dict(response.headers), response.data


@pytest.fixture
def other(tmp_path: Path) -> Other:
    """A registry with an image."""
    peer = Peer(Registry(tmp_path / "other"))
    peer.image(NAME, "v1", LAYER)
    return Other(peer)


@pytest.fixture
def mirror(root: Path, other: Other) -> Peer:
    """A mirror of it, that asks for each tag each time."""
    return Peer(Registry(root, upstream=other, fresh=0.0))


def blobs(root: Path) -> int:
    """How many blobs the mirror keeps."""
    return sum(path.is_file() for path in (root / "blobs").rglob("*"))


def test_an_image_comes_through_and_stays(mirror: Peer, other: Other) -> None:
    """Manifest and layers are those of the other registry; the second time nothing is fetched, even when it is down."""
    manifest, digest = other.peer.image(NAME, "v1", LAYER)
    for _ in range(2):
        assert mirror("GET", f"/v2/{NAME}/manifests/v1").data == manifest
        assert mirror("GET", f"/v2/{NAME}/manifests/{digest}").data == manifest
        response = mirror("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}")
        assert (response.data == LAYER, response.headers["Content-Length"]) == (True, str(len(LAYER)))
        assert response.headers["Docker-Content-Digest"] == digest_of(LAYER)
    blob = f"GET /blobs/{digest_of(LAYER)}"
    assert other.asked == ["GET /manifests/v1", blob, "HEAD /manifests/v1"]
    other.down = True
    assert mirror("GET", f"/v2/{NAME}/manifests/v1").data == manifest
    assert mirror("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}").data == LAYER
    assert mirror("GET", f"/v2/{NAME}/tags/list").get_json()["tags"] == ["v1"]


def test_a_tag_that_moved_is_followed(mirror: Peer, other: Other) -> None:
    """The mirror serves what the tag names there now, and nothing for a tag that was deleted there."""
    mirror("GET", f"/v2/{NAME}/manifests/v1")
    manifest, _ = other.peer.image(NAME, "v1", b"newer")
    assert mirror("GET", f"/v2/{NAME}/manifests/v1").data == manifest
    other.peer("DELETE", f"/v2/{NAME}/manifests/v1")
    assert mirror("GET", f"/v2/{NAME}/manifests/v1").status_code == 404


def test_what_is_fresh_is_not_asked_for(root: Path, other: Other) -> None:
    """Within a minute a tag is served as it is."""
    mirror = Peer(Registry(root, upstream=other))
    for _ in range(3):
        assert mirror("GET", f"/v2/{NAME}/manifests/v1").status_code == 200
    assert other.asked == ["GET /manifests/v1"]


@pytest.mark.parametrize("lie", [LAYER[:-1] + b"x", LAYER[:-1], LAYER + b"x"])
def test_a_lie_is_not_kept(mirror: Peer, other: Other, root: Path, lie: bytes) -> None:
    """Other content than the digest says never arrives whole, and nothing of it stays; the truth is fetched then."""
    other.lies = lie
    with pytest.raises(Exception, match=r"digest|larger"):
        mirror("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}")
    assert (blobs(root), list((root / "uploads").iterdir())) == (0, [])
    other.lies = None
    assert mirror("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}").data == LAYER


def test_a_manifest_that_is_another_is_refused(mirror: Peer, other: Other) -> None:
    """502: the other registry has something else under the digest."""
    wanted = digest_of(b"wanted")
    other.serves = other.peer.image(NAME, "v1", LAYER)[1]
    response = mirror("GET", f"/v2/{NAME}/manifests/{wanted}")
    assert (response.status_code, mirror.codes(response)) == (502, ["DIGEST_INVALID"])


def test_a_broken_passage_leaves_nothing(
    mirror: Peer, other: Other, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection to the other registry breaks: the client's breaks, too; there is neither blob nor upload, and
    one line of it in the log.
    """
    other.breaks = 3
    with caplog.at_level("WARNING"), pytest.raises(ConnectionResetError, match="connection lost"):
        mirror("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}")
    assert [f"blob {digest_of(LAYER)} broke off" in record.getMessage() for record in caplog.records] == [True]
    assert (blobs(root), list((root / "uploads").iterdir())) == (0, [])
    assert other.last is not None
    assert other.last.closed


def test_a_client_that_leaves_early(root: Path, other: Other) -> None:
    """The blob is fetched to its end all the same, and kept."""
    response = Client(Registry(root, upstream=other)).get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}")
    next(iter(response.response))
    response.close()
    end = time.monotonic() + 60
    while not (blobs(root) and not list((root / "uploads").iterdir())):
        assert time.monotonic() < end
        time.sleep(0.01)
    other.down = True
    assert Peer(Registry(root, upstream=other))("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}").data == LAYER


def test_many_clients_at_once(root: Path, other: Other) -> None:
    """A blob that many want at the same time is fetched once, and all get it while it comes: the last may be late."""
    other.gate = threading.Event()
    registry = Registry(root, upstream=other)
    path = f"/v2/{NAME}/blobs/{digest_of(LAYER)}"
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(Client(registry).get, path, buffered=True)
        end = time.monotonic() + 60
        while other.last is None or not list((root / "uploads").iterdir()):
            assert time.monotonic() < end
            time.sleep(0.01)
        others = [pool.submit(Client(registry).get, path, buffered=True) for _ in range(5)]
        other.gate.set()
        assert all(found.result(60).data == LAYER for found in (first, *others))
    assert other.asked == [f"GET /blobs/{digest_of(LAYER)}"]


def test_what_is_nowhere_is_unknown(mirror: Peer, other: Other) -> None:
    """404 for what the other registry does not have, 502 for what is not here while it is down."""
    unknown = digest_of(b"unknown")
    for path, code in (("manifests/v2", "NAME_UNKNOWN"), (f"blobs/{unknown}", "BLOB_UNKNOWN")):
        response = mirror("GET", f"/v2/{NAME}/{path}")
        assert (response.status_code, mirror.codes(response)) == (404, [code])
    other.down = True
    for path in ("manifests/v2", f"manifests/{unknown}", f"blobs/{unknown}"):
        assert mirror("GET", f"/v2/{NAME}/{path}").status_code == 502


def test_a_head_fetches_no_blob(mirror: Peer, root: Path) -> None:
    """The size of a blob, and nothing kept."""
    response = mirror("HEAD", f"/v2/{NAME}/blobs/{digest_of(LAYER)}")
    assert (response.status_code, response.headers["Content-Length"]) == (200, str(len(LAYER)))
    assert blobs(root) == 0


def test_nobody_pushes_to_a_mirror(mirror: Peer) -> None:
    """405 with UNSUPPORTED."""
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/v1"), ("DELETE", "manifests/v1")):
        response = mirror(method, f"/v2/{NAME}/{path}")
        assert (response.status_code, mirror.codes(response)) == (405, ["UNSUPPORTED"])


@pytest.mark.slow
def test_the_command_mirrors_a_registry(tmp_path: Path) -> None:
    """`sandbox registry serve --mirror-of HOST`: our own client fetches from a server that is real; then that ends."""
    manifest, digest = Peer(Registry(tmp_path / "other")).image(NAME, "v1", LAYER)
    with served(tmp_path / "other") as there, served(tmp_path / "mirror", "--mirror-of", there.address) as here:
        for path, data in (("manifests/v1", manifest), (f"blobs/{digest_of(LAYER)}", LAYER)):
            assert request(here, "GET", f"/v2/{NAME}/{path}")[2] == data
        assert request(here, "GET", f"/v2/{NAME}/manifests/unknown")[0] == 404
        there.kill()
        for path, data in ((f"manifests/{digest}", manifest), (f"blobs/{digest_of(LAYER)}", LAYER)):
            assert request(here, "GET", f"/v2/{NAME}/{path}")[2] == data
        assert request(here, "GET", f"/v2/{NAME}/blobs/{digests.of(b'unknown')}")[0] == 502
