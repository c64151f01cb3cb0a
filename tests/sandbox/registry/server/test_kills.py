"""Servers and collections that are killed at any moment: what was acknowledged is there, and pushes go on."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.registry import media
from sandbox.registry.server.application import Registry
from sandbox.registry.server.limits import Limits
from tests.sandbox.command import COMMAND
from tests.sandbox.registry.server.pushes import Peer, digest_of, image
from tests.sandbox.registry.server.running import Served, request, served

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
NAME = "team/app"
_GONE = (OSError, http.client.HTTPException)


def push_until_killed(server: Served, seed: int, acknowledged: list[tuple[str, bytes, list[bytes]]]) -> None:
    """Push images of layers in chunks, and note each one that the server has said is there."""
    with contextlib.suppress(*_GONE):
        for turn in range(1000):
            layers = [b"%d %d %d " % (seed, turn, layer) * 20_000 for layer in range(2)]
            for data in (b"{}", *layers):
                _, headers, _ = request(server, "POST", f"/v2/{NAME}/blobs/uploads/")
                location = headers["Location"]
                for at in range(0, len(data), 100_000):
                    assert request(server, "PATCH", location, data[at : at + 100_000])[0] == 202
                assert request(server, "PUT", f"{location}?digest={digest_of(data)}")[0] == 201
            manifest, tag = image(b"{}", layers), f"{seed}-{turn}"
            status, _, _ = request(server, "PUT", f"/v2/{NAME}/manifests/{tag}", manifest, Content_Type=media.MANIFEST)
            assert status == 201
            acknowledged.append((tag, manifest, layers))


def assert_whole(peer: Peer, acknowledged: list[tuple[str, bytes, list[bytes]]]) -> None:
    """Every image that was acknowledged can be pulled, byte for byte."""
    for tag, manifest, layers in acknowledged:
        assert peer("GET", f"/v2/{NAME}/manifests/{tag}").data == manifest
        for data in (b"{}", *layers):
            assert peer("GET", f"/v2/{NAME}/blobs/{digest_of(data)}").data == data


def assert_sound(root: Path) -> None:
    """Every blob on the disk is what its name says, and every tag names a manifest that is there."""
    for path in (root / "blobs").rglob("*"):
        if path.is_file():
            assert digest_of(path.read_bytes()).hex == path.name
    for path in root.rglob("_tags/*"):
        assert (path.parent.parent / "_manifests" / path.read_text().removeprefix("sha256:")).exists()


def test_a_server_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """Three lives of a server, each ended by SIGKILL amid pushes: all that was acknowledged is whole, in the next life
    and after a collection without any grace.
    """
    root = tmp_path / "registry"
    acknowledged: list[tuple[str, bytes, list[bytes]]] = []
    for life in range(3):
        with served(root) as server:
            pushing = [
                threading.Thread(target=push_until_killed, args=(server, 10 * life + seed, acknowledged))
                for seed in range(2)
            ]
            for thread in pushing:
                thread.start()
            wanted = len(acknowledged) + 3
            while len(acknowledged) < wanted and any(thread.is_alive() for thread in pushing):
                time.sleep(0.01)
            time.sleep(secrets.randbelow(200) / 1000)
            server.kill()
            for thread in pushing:
                thread.join()
        assert_whole(Peer(Registry(root)), acknowledged)
    assert_sound(root)
    Registry(root, limits=Limits(grace=0.0, upload_age=0.0)).collect(untagged=0.0)
    assert_whole(Peer(Registry(root)), acknowledged)
    assert not list((root / "uploads").iterdir())
    assert not list((root / "tmp").iterdir())


def test_an_upload_outlives_its_server(tmp_path: Path) -> None:
    """Chunks that were acknowledged by a server that was killed are there: the upload goes on with the next one."""
    data = os.urandom(1_000_000)
    with served(tmp_path / "registry") as server:
        location = request(server, "POST", f"/v2/{NAME}/blobs/uploads/")[1]["Location"]
        assert request(server, "PATCH", location, data[:600_000])[0] == 202
        server.kill()
    with served(tmp_path / "registry") as server:
        assert request(server, "GET", location)[1]["Range"] == "0-599999"
        headers = {"Content_Range": "600000-999999"}
        assert request(server, "PUT", f"{location}?digest={digest_of(data)}", data[600_000:], **headers)[0] == 201
        assert request(server, "GET", f"/v2/{NAME}/blobs/{digest_of(data)}")[2] == data


def test_collections_that_are_killed(tmp_path: Path) -> None:
    """A collection may end anywhere: images are whole, and the next one finishes the work."""
    root = tmp_path / "registry"
    peer = Peer(Registry(root))
    kept = [(f"kept-{number}", *_push(peer, f"kept-{number}")) for number in range(5)]
    peer.blob("garbage", b"{}")
    peer.manifest("garbage", "x", image(b"{}", []))
    for number in range(40):
        peer.blob("garbage", b"%d" % number * 100)
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (1_000_000, 1_000_000))
    command = [*COMMAND, "registry", "gc", "--storage", str(root), "--grace", "0s"]
    for number in range(4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        if number < 3:
            lock = root / "lock"
            before = lock.stat().st_mtime_ns
            while lock.stat().st_mtime_ns == before and process.poll() is None:  # it has begun
                time.sleep(0.001)
            time.sleep(secrets.randbelow(20) / 1000)
            process.kill()
        process.wait(60)
        assert_whole(peer, kept)
    assert_sound(root)
    left = {path.name for path in (root / "repositories" / "garbage" / "_blobs").iterdir()}
    assert left == {digest_of(b"{}").hex}


def _push(peer: Peer, tag: str) -> tuple[bytes, list[bytes]]:
    layer = tag.encode() * 1000
    peer.blob(NAME, b"{}")
    peer.blob(NAME, layer)
    manifest = image(b"{}", [layer])
    peer.manifest(NAME, tag, manifest)
    return manifest, [layer]
