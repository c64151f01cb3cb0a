"""Garbage collection: what goes, what stays, and that no push suffers from it."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sandbox.registry import media
from sandbox.registry.server.application import Registry
from sandbox.registry.server.limits import Limits
from sandbox.registry.server.regularly import collect_regularly
from tests.sandbox.registry.server.pushes import Peer, descriptor, digest_of, image, index

if TYPE_CHECKING:
    from pathlib import Path

NAME = "team/app"
AGES_AGO = 1_000_000.0


@pytest.fixture
def registry(root: Path) -> Registry:
    """One whose collections spare only what is claimed while they run."""
    return Registry(root, limits=Limits(grace=0.0, upload_age=60.0))


def grow_old(root: Path) -> None:
    """As if all that is there had been pushed long ago."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (AGES_AGO, AGES_AGO))


def blobs(root: Path) -> set[str]:
    """The figures of the digests of all blobs on the disk."""
    return {path.name for path in (root / "blobs").rglob("*") if path.is_file()}


def test_what_a_manifest_refers_to_stays(peer: Peer, registry: Registry, root: Path) -> None:
    """An image is whole after a collection, and blobs without a manifest are gone."""
    manifest, _ = peer.image(NAME, "v1", b"a layer")
    garbage = peer.blob(NAME, b"garbage")
    grow_old(root)
    done = registry.collect()
    assert (done.links, done.blobs, done.size) == (1, 1, len(b"garbage"))
    assert peer("GET", f"/v2/{NAME}/manifests/v1").data == manifest
    assert peer("GET", f"/v2/{NAME}/blobs/{digest_of(b'a layer')}").data == b"a layer"
    assert peer("GET", f"/v2/{NAME}/blobs/{garbage}").status_code == 404
    assert garbage.hex not in blobs(root)


def test_a_trial_deletes_nothing(peer: Peer, registry: Registry, root: Path) -> None:
    """It tells what a collection would delete, and that is what the collection deletes then."""
    _, digest = peer.image(NAME, "v1")
    peer("DELETE", f"/v2/{NAME}/manifests/{digest}")
    peer.image("other", "v1")
    peer.blob(NAME, b"garbage")
    peer.image(NAME, "untagged", b"another layer")
    peer("DELETE", f"/v2/{NAME}/manifests/untagged")
    grow_old(root)
    before = sorted(root.rglob("*"))
    trial = registry.collect(untagged=0.0, trial=True)
    assert sorted(root.rglob("*")) == before
    done = registry.collect(untagged=0.0)
    assert (trial.manifests, done.manifests) == (1, 1)
    assert done.blobs == 2
    assert trial.blobs == 1  # the layer is still referred to: the manifest that goes is there


def test_a_blob_of_two_repositories_stays_for_the_other(peer: Peer, registry: Registry, root: Path) -> None:
    """Deleting an image in one repository leaves another one's blobs; the last one's deletion frees the disk."""
    _, digest = peer.image(NAME, "v1")
    peer.image("other", "v1")
    peer("DELETE", f"/v2/{NAME}/manifests/{digest}")
    grow_old(root)
    assert (registry.collect().blobs, len(blobs(root))) == (0, 2)
    assert peer("GET", "/v2/other/blobs/" + digest_of(b"a layer")).status_code == 200
    peer("DELETE", f"/v2/other/manifests/{digest}")
    assert (registry.collect().blobs, blobs(root)) == (2, set())


@pytest.mark.parametrize("claim", ["head", "mount", "upload", "post"])
def test_what_a_push_was_told_stays(peer: Peer, registry: Registry, root: Path, claim: str) -> None:
    """A blob that a client was told is there is young again: by HEAD, by a mount, by an upload."""
    digest = peer.blob(NAME, b"content")
    grow_old(root)
    young = Registry(root, limits=Limits(grace=3600.0))
    if claim == "head":
        assert peer("HEAD", f"/v2/{NAME}/blobs/{digest}").status_code == 200
    elif claim == "mount":
        peer("POST", "/v2/other/blobs/uploads/", query={"mount": digest, "from": NAME})
    elif claim == "upload":
        peer("PUT", peer.upload(NAME), b"content", query={"digest": digest})
    else:
        peer.blob(NAME, b"content")
    assert young.collect().links == 0
    assert peer("GET", f"/v2/{NAME}/blobs/{digest}").data == b"content"
    grow_old(root)
    assert young.collect().blobs == 1


def test_untagged_manifests_stay_unless_one_says_so(peer: Peer, registry: Registry, root: Path) -> None:
    """A manifest pushed by its digest is an image of its own right; `untagged` takes it when it is old enough."""
    manifest, digest = peer.image(NAME, "v1")
    peer("DELETE", f"/v2/{NAME}/manifests/v1")
    grow_old(root)
    registry.collect()
    registry.collect(untagged=2 * time.time())
    assert peer("GET", f"/v2/{NAME}/manifests/{digest}").data == manifest
    assert registry.collect(untagged=60.0).manifests == 1
    assert peer("GET", f"/v2/{NAME}/manifests/{digest}").status_code == 404
    assert blobs(root) == set()


def test_untagged_manifests_that_are_needed_stay(peer: Peer, registry: Registry, root: Path) -> None:
    """Those of a tagged index, and the referrers of what stays, whatever refers to these; not those of what goes."""
    child, child_digest = peer.image(NAME, "child")
    gone, gone_digest = peer.image(NAME, "gone", b"else")
    peer.manifest(NAME, "all", index(child), media.INDEX)
    peer.blob(NAME, b"{}")
    signature = image(b"{}", [], subject=descriptor(child, media.MANIFEST))
    seal = image(b"{}", [], subject=descriptor(signature, media.MANIFEST))
    other = image(b"{}", [], subject=descriptor(gone, media.MANIFEST))
    kept = {child_digest, *(peer.manifest(NAME, digest_of(one), one) for one in (signature, seal))}
    lost = {gone_digest, peer.manifest(NAME, digest_of(other), other)}
    for tag in ("child", "gone"):
        peer("DELETE", f"/v2/{NAME}/manifests/{tag}")
    grow_old(root)
    assert registry.collect(untagged=60.0).manifests == len(lost)
    for digests, status in ((kept, 200), (lost, 404)):
        assert {peer("GET", f"/v2/{NAME}/manifests/{digest}").status_code for digest in digests} == {status}


def test_abandoned_uploads_are_given_up(peer: Peer, registry: Registry, root: Path) -> None:
    """Those to which nothing came for long go; one that a request writes to stays, and so does a young one."""
    old, busy, young = (peer.upload(NAME) for _ in range(3))
    for location in (old, busy):
        folder = root / "uploads" / location.rpartition("/")[2]
        for path in (*folder.iterdir(), folder):
            os.utime(path, (AGES_AGO, AGES_AGO))
    with registry.parts.uploads.open(NAME, busy.rpartition("/")[2]):
        assert registry.collect().uploads == 1
    assert [peer("GET", location).status_code for location in (old, busy, young)] == [404, 204, 204]


def test_empty_repositories_go(peer: Peer, registry: Registry, root: Path) -> None:
    """When nothing of a repository is left, neither are its folders; those of others stay."""
    _, digest = peer.image("a/b/c", "v1")
    peer.image("a/d", "v1")
    peer("DELETE", f"/v2/a/b/c/manifests/{digest}")
    grow_old(root)
    registry.collect()
    assert {path.name for path in (root / "repositories" / "a").iterdir()} == {"d"}
    assert peer("GET", "/v2/a/b/c/tags/list").status_code == 404


def test_garbage_of_killed_processes_goes(peer: Peer, registry: Registry, root: Path) -> None:
    """A half-made file without a lock, and a blob that was put in place before any repository had it."""
    peer.image(NAME, "v1")
    (root / "tmp" / "image-0123456789abcdef").write_bytes(b"half")
    orphan = root / "blobs" / "sha256" / "00" / ("00" * 32)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"x" * 10)
    grow_old(root)
    done = registry.collect()
    assert (done.blobs, done.size) == (1, 10)
    assert not list((root / "tmp").iterdir())


@pytest.mark.slow
def test_pushes_and_collections_at_once(registry: Registry, root: Path) -> None:
    """Many pushes of images that share layers, deletions, and collections without any grace, all at once: every image
    that was acknowledged and not deleted is whole, again and again.

    A client whose blob was collected between its claim and its manifest is told so, and pushes it again.
    """
    over = threading.Event()

    def collect() -> None:
        while not over.is_set():
            registry.collect(untagged=0.0)

    def push(worker: int) -> None:
        peer = Peer(Registry(root))
        for turn in range(12):
            name, layers = f"team/{worker % 2}", [b"base", b"%d" % (turn % 4), b"%d-%d" % (worker, turn)]
            manifest = image(b"{}", layers)
            for _ in range(100):
                for data in (b"{}", *layers):
                    if peer("HEAD", f"/v2/{name}/blobs/{digest_of(data)}").status_code != 200:
                        peer.blob(name, data)
                headers = {"Content-Type": media.MANIFEST}
                response = peer("PUT", f"/v2/{name}/manifests/{worker}-{turn}", manifest, headers=headers)
                if response.status_code == 201:
                    break
                assert set(peer.codes(response)) == {"MANIFEST_BLOB_UNKNOWN"}
            else:
                pytest.fail("never pushed")
            if turn % 3 == 0:
                peer("DELETE", f"/v2/{name}/manifests/{digest_of(manifest)}")
                continue
            for data in (b"{}", *layers):
                assert peer("GET", f"/v2/{name}/blobs/{digest_of(data)}").data == data

    with ThreadPoolExecutor(6) as pool:
        collections = [pool.submit(collect) for _ in range(2)]
        pushes = [pool.submit(push, worker) for worker in range(4)]
        for done in pushes:
            done.result()
        over.set()
        for done in collections:
            done.result()
    peer = Peer(registry)
    for worker in range(4):
        for turn in (turn for turn in range(12) if turn % 3):
            response = peer("GET", f"/v2/team/{worker % 2}/manifests/{worker}-{turn}")
            assert response.status_code == 200
            for layer in response.get_json(force=True)["layers"]:
                assert peer("GET", f"/v2/team/{worker % 2}/blobs/{layer['digest']}").status_code == 200


def test_a_push_within_the_grace_never_fails(root: Path) -> None:
    """With a grace longer than the push, a collection at every moment of it takes nothing."""
    registry = Registry(root, limits=Limits(grace=60.0))
    peer = Peer(registry)
    for step in (b"{}", b"one", b"two"):
        peer.blob(NAME, step)
        assert registry.collect().links == 0
    peer.manifest(NAME, "v1", image(b"{}", [b"one", b"two"]))
    assert registry.collect(untagged=0.0).links == 0
    assert peer("GET", f"/v2/{NAME}/blobs/{digest_of(b'two')}").data == b"two"


def test_collections_go_on_regularly(registry: Registry, root: Path) -> None:
    """One after the other; one that fails is not the last."""
    collect, failed = registry.collect, threading.Event()

    def fail_once() -> object:
        if not failed.is_set():
            failed.set()
            raise OSError("the disk is full")
        return collect()

    registry.collect = fail_once  # type: ignore[method-assign,assignment]
    Peer(registry).blob(NAME, b"garbage")
    grow_old(root)
    stop = collect_regularly(registry, 0.01)
    try:
        end = time.monotonic() + 60
        while blobs(root):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert failed.is_set()
    finally:
        stop.set()
