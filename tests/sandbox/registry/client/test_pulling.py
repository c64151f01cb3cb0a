"""Pulling images from registries that mean well."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from sandbox.errors import NotFoundError
from sandbox.image.platform import Platform
from sandbox.registry import media
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.spool import Spool
from tests.sandbox.registry.client.conftest import layer
from tests.sandbox.registry.client.servers import Hostile, Reply, Request, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.image.store import ImageStore
    from sandbox.registry.client.pulling import Pulled

    Pulls = Callable[..., Pulled]


def downloads(store: ImageStore) -> list[str]:
    """What of downloads is left."""
    folder = store.home / "images/downloads"
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".turn") if folder.is_dir() else []


def test_an_image_has_what_its_registry_has(hostile: Hostile, store: ImageStore, pulls: Pulls) -> None:
    """Files, configuration, digests and name; the manifest as it came."""
    first, second = layer("a"), layer("b", b"world")
    described = hostile.image(first, second)
    pulled = pulls(f"{hostile.address}/some/where")
    image = pulled.image
    assert pulled.new and pulled.digest == described["digest"] == image.manifest_digest
    assert image.references == (f"{hostile.address}/some/where:latest",)
    assert image.config.command == ("/a",)
    assert [one.diff_id for one in image.layers] == [digest_of(first[0]), digest_of(second[0])]
    assert [(path / "b").exists() for path in store.snapshots.lowers(image)] == [True, False]
    assert store.content.read(image.manifest_digest) == hostile.manifests["latest"][1]
    assert downloads(store) == []


def test_what_is_here_is_not_fetched_again(hostile: Hostile, store: ImageStore, pulls: Pulls) -> None:
    """The same image asks for its manifest alone; another one for the layers that are new."""
    hostile.image(layer("a"))
    pulls(f"{hostile.address}/x")
    hostile.requests.clear()
    assert not pulls(f"{hostile.address}/x").new
    assert [request.path for request in hostile.requests] == ["/v2/x/manifests/latest"]
    hostile.image(layer("a"), layer("b"), tag="two")
    hostile.requests.clear()
    assert pulls(f"{hostile.address}/x:two").new
    assert len(hostile.asked("blobs")) == 2  # configuration and the second layer
    assert len(store.list()) == 2


def test_by_digest(hostile: Hostile, store: ImageStore, pulls: Pulls) -> None:
    """The image is found by that name afterwards, of an index, too."""
    described = hostile.image(layer())
    index = hostile.manifest({"schemaVersion": 2, "manifests": [described]}, kind=media.INDEX)
    for digest in (described["digest"], index["digest"]):
        name = f"{hostile.address}/x@{digest}"
        assert pulls(name).digest == digest
        assert store.get(name).manifest_digest == described["digest"]


@pytest.mark.parametrize(("wanted", "number"), [("amd64", 0), ("arm64", 1), ("arm/v7", 3), ("arm/v6", 2), ("386", 4)])
def test_the_image_of_a_platform_is_chosen(hostile: Hostile, pulls: Pulls, wanted: str, number: int) -> None:
    """Of several, by os, architecture and variant; attestations are none."""
    platforms: list[dict[str, Any]] = [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "linux", "architecture": "arm", "variant": "v6"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
        {"os": "linux", "architecture": "386"},
    ]
    listed = [
        {**hostile.image(layer(data=str(platform).encode()), tag="x", platform=platform), "platform": platform}
        for platform in platforms
    ]
    strange = {"platform": {"os": "unknown", "architecture": "unknown"}}
    hostile.manifest({"schemaVersion": 2, "manifests": [{**listed[0], **strange}, *listed]}, "many", kind=media.INDEX)
    system, _, rest = f"linux/{wanted}".partition("/")
    architecture, _, variant = rest.partition("/")
    if architecture == "arm" and variant == "v7":
        variant = "v7"
    pulled = pulls(f"{hostile.address}/x:many", platform=Platform(system, architecture, variant))
    assert pulled.image.manifest_digest == listed[number]["digest"]


def test_a_platform_that_is_not_there(hostile: Hostile, pulls: Pulls) -> None:
    """The error lists those that are; an image of one platform alone is refused where another was asked for."""
    only = {**hostile.image(layer()), "platform": {"os": "linux", "architecture": "s390x"}}
    hostile.manifest({"schemaVersion": 2, "manifests": [only]}, "many", kind=media.INDEX)
    with pytest.raises(NotFoundError, match="has no image for linux/arm64") as caught:
        pulls(f"{hostile.address}/x:many", platform=Platform("linux", "arm64"))
    assert caught.value.hint == "there are linux/s390x"
    with pytest.raises(NotFoundError, match="no image for linux/riscv64"):
        pulls(f"{hostile.address}/x", platform=Platform("linux", "riscv64"))


def test_zstd_and_plain_layers(hostile: Hostile, store: ImageStore, pulls: Pulls) -> None:
    """What is in a layer is told by its first bytes."""
    plain, _ = layer("a")
    hostile.image((plain, zstandard.compress(plain)), tag="zstd", layer_type=media.LAYER_ZSTD)
    hostile.image((plain, plain), tag="plain", layer_type=media.LAYER)
    layers = [pulls(f"{hostile.address}/x:{tag}").image.layers for tag in ("zstd", "plain")]
    assert layers[0] == layers[1]


def test_the_same_blob_twice(hostile: Hostile, store: ImageStore, pulls: Pulls) -> None:
    """It is fetched once, and unpacked on each layer below."""
    hostile.image(layer("a"), layer("b"), layer("a"))
    assert len(pulls(f"{hostile.address}/x").image.layers) == 3
    assert len(hostile.asked("blobs")) == 3
    assert downloads(store) == []


def test_a_broken_connection_is_taken_up(hostile: Hostile, pulls: Pulls) -> None:
    """From the byte on at which it broke, as often as something comes."""
    plain, packed = layer(data=os.urandom(3 << 20))
    hostile.image((plain, packed))

    def cut(request: Request) -> Reply | None:
        usual = hostile._usual(request, path)
        return usual._replace(cut=1 << 20) if len(usual.body) > 1 << 20 else None

    path = f"/v2/x/blobs/{digest_of(packed)}"
    hostile.answers[path] = cut
    pulls(f"{hostile.address}/x")
    starts = [request.headers.get("range", "") for request in hostile.asked("blobs") if request.path == path]
    assert starts[0] == "" and len(starts) > 2
    assert all(start.startswith("bytes=") for start in starts[1:])


def test_a_server_without_ranges_begins_anew(hostile: Hostile, pulls: Pulls) -> None:
    """What was hashed before is forgotten."""
    plain, packed = layer(data=os.urandom(3 << 20))
    hostile.image((plain, packed))
    hostile.ranges = False
    replies = [Reply(body=packed, cut=2 << 20), Reply(503), Reply(body=packed)]
    hostile.answers[f"/v2/x/blobs/{digest_of(packed)}"] = lambda _: replies.pop(0)
    assert pulls(f"{hostile.address}/x").new
    assert replies == []


def test_what_passes_is_waited_for(hostile: Hostile, pulls: Pulls) -> None:
    """A server that is too busy is asked again, when it says."""
    hostile.image(layer())
    replies = [Reply(503), Reply(429, headers={"Retry-After": "1"})]
    hostile.answers["/v2/x/manifests/latest"] = lambda _: replies.pop(0) if replies else None
    began = time.monotonic()
    pulls(f"{hostile.address}/x")
    assert time.monotonic() - began >= 1.0
    hostile.answers["/v2/x/manifests/latest"] = lambda _: Reply(429, headers={"Retry-After": "3600"})
    with pytest.raises(RegistryError, match="wants fewer requests") as caught:
        pulls(f"{hostile.address}/x")
    assert "try again in 3600 s" in caught.value.hint


def test_what_a_killed_pull_has_left_is_reclaimed(hostile: Hostile, store: ImageStore, pulls: Pulls) -> None:
    """After a day by the next pull of anything, and at once by `system reclaim`; never what somebody works on."""
    folder = store.home / "images/downloads"
    folder.mkdir(parents=True)
    old, young, whole = (folder / f"{figure * 64}{end}" for figure, end in (("a", ".part"), ("b", ".part"), ("c", "")))
    for path in (old, young, whole):
        path.write_bytes(b"x" * 1000)
    os.utime(old, (0, 0))
    os.utime(whole, (0, 0))
    with whole.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        hostile.image(layer())
        pulls(f"{hostile.address}/x")
        assert downloads(store) == [young.name, whole.name]
        assert Spool(store.home).reclaim(age=0) == 1000
    assert downloads(store) == [whole.name]


PULL = """
import sys
from pathlib import Path
from sandbox.image.store import ImageStore
from sandbox.registry.client.pulling import pull
print(pull(ImageStore(Path(sys.argv[1])), sys.argv[2]).image.id)
"""


def start(home: Path, name: str, repository: Path) -> subprocess.Popen[str]:
    """A process that pulls."""
    return subprocess.Popen(
        [sys.executable, "-c", PULL, str(home), name],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.root
def test_a_killed_pull_is_gone_on_with(hostile: Hostile, store: ImageStore, pulls: Pulls, repository: Path) -> None:
    """The next one asks for the rest alone; then nothing is left of either."""
    plain, packed = layer(data=os.urandom(3 << 20))
    hostile.image((plain, packed))
    path = f"/v2/x/blobs/{digest_of(packed)}"
    hostile.answers[path] = lambda _: Reply(body=packed[: 1 << 20], length=len(packed)) if wait() else None
    part = store.home / f"images/downloads/{digest_of(packed)[7:]}.part"

    def wait() -> bool:
        return not part.exists() or part.stat().st_size == 0

    process = start(store.home, f"{hostile.address}/x", repository)
    try:
        deadline = time.monotonic() + 60
        while wait() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    del hostile.answers[path]
    hostile.requests.clear()
    had = part.stat().st_size
    assert pulls(f"{hostile.address}/x").new
    assert [request.headers.get("range") for request in hostile.requests if request.path == path] == [f"bytes={had}-"]
    assert downloads(store) == []


@pytest.mark.root
@pytest.mark.slow
def test_many_that_pull_at_once_fetch_once(hostile: Hostile, store: ImageStore, repository: Path) -> None:
    """Each blob is asked for once by twelve processes; all have the image."""
    hostile.image(layer("a", os.urandom(1 << 20)), layer("b", os.urandom(1 << 20)))
    processes = [start(store.home, f"{hostile.address}/x", repository) for _ in range(12)]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert {process.returncode for process in processes} == {0}, outputs
    assert len({output for output, _ in outputs}) == 1
    asked = [request.path for request in hostile.asked("blobs")]
    assert len(asked) == len(set(asked)) == 3
    assert downloads(store) == []


@pytest.mark.root
def test_images_that_share_a_layer_fetch_it_once(hostile: Hostile, store: ImageStore, repository: Path) -> None:
    """Two processes at once, whichever layer each begins with: none waits for the other forever."""
    one, other = layer("a", os.urandom(1 << 20)), layer("b", os.urandom(1 << 20))
    hostile.image(one, other, tag="x")
    hostile.image(other, one, tag="y")
    processes = [start(store.home, f"{hostile.address}/x:{tag}", repository) for tag in ("x", "y")]
    for process in processes:
        assert process.communicate(timeout=60)[1] == ""
    assert downloads(store) == []
