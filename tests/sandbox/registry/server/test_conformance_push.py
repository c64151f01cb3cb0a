"""Conformance with the OCI Distribution Specification 1.1, section "Push": blobs in every way, and manifests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.registry import media
from sandbox.registry.server.application import Registry
from sandbox.registry.server.limits import Limits
from tests.sandbox.registry.server.pushes import Peer, descriptor, digest_of, image, index

if TYPE_CHECKING:
    from pathlib import Path

NAME = "team/app"
DATA = b"the content of a blob"
DIGEST = digest_of(DATA)


def pulled(peer: Peer, name: str = NAME) -> bytes:
    """The blob, as a pull gets it."""
    response = peer("GET", f"/v2/{name}/blobs/{DIGEST}")
    assert response.status_code == 200
    return bytes(response.data)


# --- Pushing a blob monolithically ---


def test_post_then_put(peer: Peer) -> None:
    """end-4a, end-6: 202 with a location, then 201 with the blob's, at which it can be pulled."""
    location = peer.upload(NAME)
    response = peer("PUT", location, DATA, query={"digest": DIGEST})
    assert response.status_code == 201
    assert response.headers["Docker-Content-Digest"] == DIGEST
    assert peer("GET", response.headers["Location"]).data == DATA


def test_a_single_post(peer: Peer) -> None:
    """end-4b: the content comes with the POST."""
    response = peer("POST", f"/v2/{NAME}/blobs/uploads/", DATA, query={"digest": DIGEST})
    assert response.status_code == 201
    assert peer("GET", response.headers["Location"]).data == DATA


@pytest.mark.parametrize("way", ["put", "post"])
def test_content_with_another_digest_is_refused(peer: Peer, root: Path, way: str) -> None:
    """400 with DIGEST_INVALID, and nothing of it stays, neither a blob nor an upload."""
    if way == "put":
        response = peer("PUT", peer.upload(NAME), b"else", query={"digest": DIGEST})
    else:
        response = peer("POST", f"/v2/{NAME}/blobs/uploads/", b"else", query={"digest": DIGEST})
    assert (response.status_code, peer.codes(response)) == (400, ["DIGEST_INVALID"])
    assert peer("HEAD", f"/v2/{NAME}/blobs/{DIGEST}").status_code == 404
    assert not list((root / "uploads").iterdir())
    assert not (root / "blobs").exists() or not list((root / "blobs").rglob("??????*"))


def test_a_put_without_a_digest_is_refused(peer: Peer) -> None:
    """400 with DIGEST_INVALID where the digest is missing or malformed; the upload goes on."""
    location = peer.upload(NAME)
    for query in ({}, {"digest": "sha256:nonsense"}, {"digest": "sha512:" + "0" * 128}):
        response = peer("PUT", location, DATA, query=query)
        assert (response.status_code, peer.codes(response)) == (400, ["DIGEST_INVALID"])
    assert peer("PUT", location, DATA, query={"digest": DIGEST}).status_code == 201


# --- Pushing a blob in chunks ---


def test_chunks(peer: Peer) -> None:
    """end-5: each chunk is answered with 202 and the range that is there; the last one may come with the PUT."""
    location = peer.upload(NAME)
    for start, end in ((0, 4), (5, 11)):
        headers = {"Content-Range": f"{start}-{end}"}
        response = peer("PATCH", location, DATA[start : end + 1], headers=headers)
        assert (response.status_code, response.headers["Range"]) == (202, f"0-{end}")
        location = response.headers["Location"]
    headers = {"Content-Range": f"12-{len(DATA) - 1}"}
    assert peer("PUT", location, DATA[12:], query={"digest": DIGEST}, headers=headers).status_code == 201
    assert pulled(peer) == DATA


def test_a_stream_and_an_empty_put(peer: Peer) -> None:
    """As docker pushes: one PATCH without a range, closed by a PUT without content."""
    location = peer.upload(NAME)
    assert peer("PATCH", location, DATA).status_code == 202
    assert peer("PUT", location, query={"digest": DIGEST}).status_code == 201
    assert pulled(peer) == DATA


@pytest.mark.parametrize("wanted", ["3-9", "6-9", "0-4", "5-4", "five-nine", "bytes 5-9/21", "-5", "5-", "٥-٩"])
def test_a_chunk_out_of_order_is_refused(peer: Peer, wanted: str) -> None:
    """416 with BLOB_UPLOAD_INVALID, the range that is there and the location to go on at; nothing of it is kept."""
    location = peer.upload(NAME)
    peer("PATCH", location, DATA[:5], headers={"Content-Range": "0-4"})
    response = peer("PATCH", location, DATA[5:10], headers={"Content-Range": wanted})
    assert (response.status_code, peer.codes(response)) == (416, ["BLOB_UPLOAD_INVALID"])
    assert (response.headers["Range"], response.headers["Location"]) == ("0-4", location)
    assert peer("PATCH", location, DATA[5:], headers={"Content-Range": f"5-{len(DATA) - 1}"}).status_code == 202
    assert peer("PUT", location, query={"digest": DIGEST}).status_code == 201


def test_a_chunk_of_another_size_than_it_says_is_refused(peer: Peer) -> None:
    """400 with SIZE_INVALID, and the upload stands where it stood."""
    location = peer.upload(NAME)
    response = peer("PATCH", location, DATA[:5], headers={"Content-Range": "0-9"})
    assert (response.status_code, peer.codes(response)) == (400, ["SIZE_INVALID"])
    assert peer("GET", location).headers["Range"] == "0-0"
    assert peer("PUT", location, DATA, query={"digest": DIGEST}).status_code == 201


def test_how_far_an_upload_is(peer: Peer) -> None:
    """end-13: 204 with the range that is there and the location."""
    location = peer.upload(NAME)
    assert peer("GET", location).headers["Range"] == "0-0"
    peer("PATCH", location, DATA[:5])
    response = peer("GET", location)
    assert (response.status_code, response.headers["Range"], response.headers["Location"]) == (204, "0-4", location)


def test_an_upload_goes_on_in_another_process(peer: Peer, root: Path) -> None:
    """Servers that share a directory share its uploads; what one has hashed, the other reads again."""
    location = peer.upload(NAME)
    peer("PATCH", location, DATA[:5])
    other = Peer(Registry(root))
    assert other("PATCH", location, DATA[5:10], headers={"Content-Range": "5-9"}).status_code == 202
    assert peer("PUT", location, DATA[10:], query={"digest": DIGEST}).status_code == 201
    assert pulled(other) == DATA


def test_an_upload_is_of_its_repository(peer: Peer) -> None:
    """404 with BLOB_UPLOAD_UNKNOWN where the upload's id is right and the repository is another."""
    location = peer.upload(NAME).replace(NAME, "else")
    for method in ("GET", "PATCH", "DELETE"):
        response = peer(method, location)
        assert (response.status_code, peer.codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_a_cancelled_upload_is_gone(peer: Peer, root: Path) -> None:
    """end-14: 204, then 404 with BLOB_UPLOAD_UNKNOWN for whatever is asked of it."""
    location = peer.upload(NAME)
    peer("PATCH", location, DATA)
    assert peer("DELETE", location).status_code == 204
    assert not list((root / "uploads").iterdir())
    for method, query in (("GET", {}), ("PATCH", {}), ("PUT", {"digest": DIGEST}), ("DELETE", {})):
        response = peer(method, location, query=query)
        assert (response.status_code, peer.codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_an_upload_ends_once(peer: Peer) -> None:
    """What was completed is no upload any more."""
    location = peer.upload(NAME)
    assert peer("PUT", location, DATA, query={"digest": DIGEST}).status_code == 201
    assert peer("PUT", location, DATA, query={"digest": DIGEST}).status_code == 404
    assert peer("PATCH", location, b"more").status_code == 404
    assert pulled(peer) == DATA


def test_limits_of_uploads(root: Path) -> None:
    """A blob over the limit is 413; one upload more than the limit is 429 with TOOMANYREQUESTS."""
    peer = Peer(Registry(root, limits=Limits(blob=10, uploads=2)))
    location = peer.upload(NAME)
    response = peer("PATCH", location, DATA)
    assert (response.status_code, peer.codes(response)) == (413, ["SIZE_INVALID"])
    peer.upload(NAME)
    response = peer("POST", f"/v2/{NAME}/blobs/uploads/")
    assert (response.status_code, peer.codes(response)) == (429, ["TOOMANYREQUESTS"])
    peer("DELETE", location)
    peer.upload(NAME)


# --- Mounting a blob from another repository ---


def test_a_blob_is_mounted(peer: Peer, root: Path) -> None:
    """end-11: 201, and the blob is there without having been sent; on the disk it is there once."""
    peer.blob("source", DATA)
    response = peer("POST", f"/v2/{NAME}/blobs/uploads/", query={"mount": DIGEST, "from": "source"})
    assert response.status_code == 201
    assert response.headers["Docker-Content-Digest"] == DIGEST
    assert peer("GET", response.headers["Location"]).data == DATA
    assert len({path.stat().st_ino for path in root.rglob(DIGEST.hex)}) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"mount": DIGEST, "from": "empty"},
        {"mount": DIGEST, "from": "../../etc"},
        {"mount": DIGEST},
        {"mount": "sha256:nonsense", "from": "source"},
        {"mount": digest_of(b"unknown"), "from": "source"},
    ],
)
def test_what_cannot_be_mounted_is_uploaded(peer: Peer, query: dict[str, str]) -> None:
    """202 with the location of an upload, whatever the reason."""
    peer.blob("source", DATA)
    response = peer("POST", f"/v2/{NAME}/blobs/uploads/", query=query)
    assert response.status_code == 202
    assert peer("PUT", response.headers["Location"], DATA, query={"digest": DIGEST}).status_code == 201


def test_a_blob_is_mounted_from_anywhere(root: Path) -> None:
    """Without `from` any repository's blob is mounted, where the registry allows that."""
    peer = Peer(Registry(root, mounts_anything=True))
    peer.blob("source", DATA)
    assert peer("POST", f"/v2/{NAME}/blobs/uploads/", query={"mount": DIGEST}).status_code == 201
    assert pulled(peer) == DATA
    unknown = digest_of(b"unknown")
    assert peer("POST", f"/v2/{NAME}/blobs/uploads/", query={"mount": unknown}).status_code == 202


# --- Pushing manifests ---


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_manifest_is_pushed(peer: Peer, by: str) -> None:
    """end-7: 201 with a location at which it can be pulled, and its digest."""
    config, layer = b"{}", b"layer"
    peer.blob(NAME, config)
    peer.blob(NAME, layer)
    manifest = image(config, [layer])
    target = "v1" if by == "tag" else digest_of(manifest)
    response = peer("PUT", f"/v2/{NAME}/manifests/{target}", manifest, headers={"Content-Type": media.MANIFEST})
    assert response.status_code == 201
    assert response.headers["Docker-Content-Digest"] == digest_of(manifest)
    assert peer("GET", response.headers["Location"]).data == manifest


def test_parameters_of_the_content_type_are_ignored(peer: Peer) -> None:
    """A registry should ignore parameters of `Content-Type`."""
    manifest, _ = peer.image(NAME, "v1")
    peer.manifest(NAME, "v2", manifest, f"{media.MANIFEST}; charset=utf-8")
    assert peer("GET", f"/v2/{NAME}/manifests/v2").headers["Content-Type"] == media.MANIFEST


def test_a_tag_moves(peer: Peer) -> None:
    """The same tag pushed again names the new manifest; the old one is there under its digest."""
    first, digest = peer.image(NAME, "v1", b"first")
    second, _ = peer.image(NAME, "v1", b"second")
    assert peer("GET", f"/v2/{NAME}/manifests/v1").data == second
    assert peer("GET", f"/v2/{NAME}/manifests/{digest}").data == first


def test_a_manifest_with_unknown_blobs_is_refused(peer: Peer) -> None:
    """404 with a MANIFEST_BLOB_UNKNOWN for each blob that is missing, which the detail names."""
    peer.blob(NAME, b"there")
    manifest = image(b"{}", [b"there", b"missing"])
    response = peer("PUT", f"/v2/{NAME}/manifests/v1", manifest, headers={"Content-Type": media.MANIFEST})
    assert (response.status_code, peer.codes(response)) == (404, ["MANIFEST_BLOB_UNKNOWN"] * 2)
    details = [error["detail"]["digest"] for error in json.loads(response.data)["errors"]]
    assert details == [digest_of(b"{}"), digest_of(b"missing")]
    assert peer("GET", f"/v2/{NAME}/manifests/v1").status_code == 404


def test_an_index_with_unknown_manifests_is_refused(peer: Peer, root: Path) -> None:
    """The manifests of an index come before it, unless the registry takes them in any order."""
    manifest, _ = peer.image(NAME, "v1")
    peer.manifest(NAME, "all", index(manifest), media.INDEX)
    sparse = index(manifest, image(b"{}", []))
    response = peer("PUT", f"/v2/{NAME}/manifests/all", sparse, headers={"Content-Type": media.INDEX})
    assert (response.status_code, peer.codes(response)) == (404, ["MANIFEST_BLOB_UNKNOWN"])
    Peer(Registry(root, complete=False)).manifest(NAME, "all", sparse, media.INDEX)


def test_an_index_of_nothing_is_an_index(peer: Peer) -> None:
    """The list of manifests may be empty, and so may the list of layers."""
    peer.manifest(NAME, "none", index(), media.INDEX)
    peer.blob(NAME, b"{}")
    peer.manifest(NAME, "artifact", image(b"{}", []))


def test_layers_that_lie_elsewhere_are_not_wanted(peer: Peer) -> None:
    """Foreign layers are never pushed."""
    peer.blob(NAME, b"{}")
    foreign = descriptor(b"licensed", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    document = json.loads(image(b"{}", []))
    document["layers"] = [{**foreign, "urls": ["https://example.org/layer"]}]
    peer.manifest(NAME, "v1", json.dumps(document).encode())


def test_a_manifest_over_the_limit_is_too_large(peer: Peer) -> None:
    """4 MiB are taken, one byte more is 413."""
    peer.blob(NAME, b"{}")
    padding = 4 * 2**20 - len(image(b"{}", [], annotations={"a": ""}))
    peer.manifest(NAME, "v1", image(b"{}", [], annotations={"a": "x" * padding}))
    manifest = image(b"{}", [], annotations={"a": "x" * (padding + 1)})
    response = peer("PUT", f"/v2/{NAME}/manifests/v2", manifest, headers={"Content-Type": media.MANIFEST})
    assert (response.status_code, peer.codes(response)) == (413, ["SIZE_INVALID"])


def test_a_manifest_with_another_digest_is_refused(peer: Peer) -> None:
    """400 with DIGEST_INVALID where the path has a digest that is not the manifest's."""
    manifest, _ = peer.image(NAME, "v1")
    path = f"/v2/{NAME}/manifests/{digest_of(b'else')}"
    response = peer("PUT", path, manifest, headers={"Content-Type": media.MANIFEST})
    assert (response.status_code, peer.codes(response)) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"mediaType": media.INDEX},
        {"mediaType": 7},
        {"manifests": []},  # CVE-2021-41190: a manifest that could be an index
        {"layers": None},
        {"config": {"mediaType": media.CONFIG, "digest": "sha256:../../etc/passwd", "size": 1}},
        {"config": {"mediaType": media.CONFIG, "digest": digest_of(b"{}"), "size": -1}},
        {"subject": "sha256:nonsense"},
        {"annotations": {"a": 1}},
        {"artifactType": []},
    ],
)
def test_a_document_that_is_no_manifest_is_refused(peer: Peer, change: dict[str, Any]) -> None:
    """400 with MANIFEST_INVALID."""
    peer.blob(NAME, b"{}")
    document = {**json.loads(image(b"{}", [])), **change}
    manifest = json.dumps(document).encode()
    response = peer("PUT", f"/v2/{NAME}/manifests/v1", manifest, headers={"Content-Type": media.MANIFEST})
    assert (response.status_code, peer.codes(response)) == (400, ["MANIFEST_INVALID"])


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"text"'])
def test_what_is_no_json_is_refused(peer: Peer, data: bytes) -> None:
    """400 with MANIFEST_INVALID, however deep it goes."""
    response = peer("PUT", f"/v2/{NAME}/manifests/v1", data, headers={"Content-Type": media.MANIFEST})
    assert (response.status_code, peer.codes(response)) == (400, ["MANIFEST_INVALID"])


def test_a_document_comes_as_what_it_is(peer: Peer) -> None:
    """400 where the document says another type than the request, and for a type that is none of a manifest."""
    manifest, _ = peer.image(NAME, "v1")
    for media_type in (media.INDEX, media.DOCKER_MANIFEST, "application/json"):
        response = peer("PUT", f"/v2/{NAME}/manifests/v1", manifest, headers={"Content-Type": media_type})
        assert (response.status_code, peer.codes(response)) == (400, ["MANIFEST_INVALID"])


# --- Pushing manifests with subject ---


def test_a_subject_is_confirmed(peer: Peer) -> None:
    """`OCI-Subject` tells the client that the registry has understood; the subject need not be there."""
    peer.blob(NAME, b"{}")
    subject = descriptor(b"not pushed yet", media.MANIFEST)
    response = peer(
        "PUT",
        f"/v2/{NAME}/manifests/signature",
        image(b"{}", [], subject=subject),
        headers={"Content-Type": media.MANIFEST},
    )
    assert (response.status_code, response.headers["OCI-Subject"]) == (201, subject["digest"])
    manifest, _ = peer.image(NAME, "v1")
    response = peer("PUT", f"/v2/{NAME}/manifests/v1", manifest, headers={"Content-Type": media.MANIFEST})
    assert "OCI-Subject" not in response.headers
