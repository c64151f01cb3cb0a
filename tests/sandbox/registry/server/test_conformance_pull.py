"""Conformance with the OCI Distribution Specification 1.1, section "Pull". Written from its text: the official suite is
a program in Go that Debian and PyPI do not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.registry import media
from tests.sandbox.registry.server.pushes import digest_of

if TYPE_CHECKING:
    from tests.sandbox.registry.server.pushes import Peer

NAME = "team/app"
UNKNOWN = digest_of(b"nobody has this")


def test_the_base_says_that_this_is_a_registry(peer: Peer) -> None:
    """end-1: GET /v2/ is answered with 200, with and without the slash."""
    for path in ("/v2/", "/v2"):
        response = peer("GET", path)
        assert response.status_code == 200
        assert response.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_manifest_comes_back_byte_for_byte(peer: Peer, by: str) -> None:
    """end-3: 200 with the manifest as it was pushed, its media type and its digest; HEAD has the same headers."""
    manifest, digest = peer.image(NAME, "v1")
    path = f"/v2/{NAME}/manifests/{'v1' if by == 'tag' else digest}"
    found, head = peer("GET", path), peer("HEAD", path)
    assert found.data == manifest
    assert head.data == b""
    for response in (found, head):
        assert response.status_code == 200
        assert response.headers["Docker-Content-Digest"] == digest
        assert response.headers["Content-Type"] == media.MANIFEST
        assert response.headers["Content-Length"] == str(len(manifest))


def test_the_bytes_of_a_manifest_are_not_touched(peer: Peer) -> None:
    """White space, order and unknown fields of a manifest stay: its digest is that of the bytes."""
    peer.image(NAME, "v1")
    manifest, _ = peer.image(NAME, "v1")
    odd = b"\n  " + manifest.replace(b'{"schemaVersion": 2', b'{ "x-unknown" : "\\u00e9" ,"schemaVersion": 2') + b"\r\n"
    digest = peer.manifest(NAME, "odd", odd)
    assert peer("GET", f"/v2/{NAME}/manifests/{digest}").data == odd


def test_a_manifest_that_is_not_there_is_unknown(peer: Peer) -> None:
    """404 with MANIFEST_UNKNOWN in a repository that exists, with NAME_UNKNOWN in one that does not."""
    peer.image(NAME, "v1")
    for target in ("v2", UNKNOWN):
        response = peer("GET", f"/v2/{NAME}/manifests/{target}")
        assert (response.status_code, peer.codes(response)) == (404, ["MANIFEST_UNKNOWN"])
        assert peer("HEAD", f"/v2/{NAME}/manifests/{target}").status_code == 404
    response = peer("GET", "/v2/nobody/manifests/v1")
    assert (response.status_code, peer.codes(response)) == (404, ["NAME_UNKNOWN"])


def test_a_blob_comes_with_its_digest(peer: Peer) -> None:
    """end-2: 200 with the content, `Docker-Content-Digest` and the length; HEAD has the same headers."""
    digest = peer.blob(NAME, b"content")
    found, head = (peer(method, f"/v2/{NAME}/blobs/{digest}") for method in ("GET", "HEAD"))
    assert (found.data, head.data) == (b"content", b"")
    for response in (found, head):
        assert response.status_code == 200
        assert response.headers["Docker-Content-Digest"] == digest
        assert response.headers["Content-Length"] == "7"


def test_a_blob_is_of_its_repository(peer: Peer) -> None:
    """404 with BLOB_UNKNOWN for a blob that only another repository has."""
    digest = peer.blob("other", b"content")
    peer.blob(NAME, b"something")
    for method in ("GET", "HEAD"):
        assert peer(method, f"/v2/{NAME}/blobs/{digest}").status_code == 404
    assert peer.codes(peer("GET", f"/v2/{NAME}/blobs/{digest}")) == ["BLOB_UNKNOWN"]


def test_an_empty_blob_is_a_blob(peer: Peer) -> None:
    """Content of no bytes is pushed and pulled like any other."""
    digest = peer.blob(NAME, b"")
    response = peer("GET", f"/v2/{NAME}/blobs/{digest}")
    assert (response.status_code, response.data, response.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("wanted", "status", "content", "described"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=3-1", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges_of_a_blob(peer: Peer, wanted: str, status: int, content: bytes | None, described: str | None) -> None:
    """RFC 9110 §14: one range is served, one outside is 416, and what is no range of bytes is answered with all."""
    digest = peer.blob(NAME, b"0123456789")
    response = peer("GET", f"/v2/{NAME}/blobs/{digest}", headers={"Range": wanted})
    assert response.status_code == status
    assert response.headers.get("Content-Range") == described
    if content is not None:
        assert response.data == content
        assert response.headers["Content-Length"] == str(len(content))
        assert response.headers["Accept-Ranges"] == "bytes"


def test_a_range_of_a_blob_that_changed_is_all_of_it(peer: Peer) -> None:
    """`If-Range` (RFC 9110 §13.1.5): the range only where the entity tag is the content's."""
    digest = peer.blob(NAME, b"0123456789")
    for tag, status in ((f'"{digest}"', 206), ('"else"', 200), ("Tue, 24 Nov 2026 20:08:07 GMT", 200)):
        headers = {"Range": "bytes=2-3", "If-Range": tag}
        assert peer("GET", f"/v2/{NAME}/blobs/{digest}", headers=headers).status_code == status


def test_what_a_client_has_is_not_sent_again(peer: Peer) -> None:
    """`If-None-Match` with the digest is 304, for blobs and for manifests; with another one it is 200."""
    _, digest = peer.image(NAME, "v1", b"a layer")
    blob = digest_of(b"a layer")
    for path, tag in ((f"manifests/{digest}", digest), ("manifests/v1", digest), (f"blobs/{blob}", blob)):
        response = peer("GET", f"/v2/{NAME}/{path}")
        assert response.headers["ETag"] == f'"{tag}"'
        for method in ("GET", "HEAD"):
            fresh = peer(method, f"/v2/{NAME}/{path}", headers={"If-None-Match": f'"{tag}"'})
            assert (fresh.status_code, fresh.data) == (304, b"")
            assert fresh.headers["Docker-Content-Digest"] == tag
        stale = peer("GET", f"/v2/{NAME}/{path}", headers={"If-None-Match": '"else"'})
        assert stale.status_code == 200


def test_what_a_tag_names_is_asked_for_again(peer: Peer) -> None:
    """Content under a digest may be cached for ever, what a tag names may not."""
    _, digest = peer.image(NAME, "v1")
    assert "immutable" in peer("GET", f"/v2/{NAME}/manifests/{digest}").headers["Cache-Control"]
    assert peer("GET", f"/v2/{NAME}/manifests/v1").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("Upper/blobs/" + UNKNOWN, 400, "NAME_INVALID"),
        ("a//b/tags/list", 400, "NAME_INVALID"),
        ("-a/tags/list", 400, "NAME_INVALID"),
        ("a" * 300 + "/tags/list", 400, "NAME_INVALID"),
        ("../../etc/tags/list", 400, "NAME_INVALID"),
        (f"{NAME}/blobs/sha256:short", 400, "DIGEST_INVALID"),
        (f"{NAME}/blobs/sha256:../../../lock", 404, "UNSUPPORTED"),
        (f"{NAME}/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        (f"{NAME}/manifests/sha256:0", 400, "DIGEST_INVALID"),
        (f"{NAME}/manifests/-tag", 400, "MANIFEST_INVALID"),
        (f"{NAME}/manifests/{'t' * 129}", 400, "MANIFEST_INVALID"),
        (f"{NAME}/blobs/uploads/nonsense", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("nothing/of/that", 404, "UNSUPPORTED"),
    ],
)
def test_malformed_paths_are_refused(peer: Peer, path: str, status: int, code: str) -> None:
    """Names, tags and digests that are none have their error codes, and never reach the disk."""
    response = peer("GET", f"/v2/{path}")
    assert (response.status_code, peer.codes(response)) == (status, [code])


def test_parts_of_a_name_may_look_like_endpoints(peer: Peer) -> None:
    """A repository called `blobs/tags/list/manifests` is one like any other."""
    name = "blobs/tags/list/manifests"
    manifest, digest = peer.image(name, "v1")
    assert peer("GET", f"/v2/{name}/manifests/v1").data == manifest
    assert peer("GET", f"/v2/{name}/tags/list").json == {"name": name, "tags": ["v1"]}
    assert peer("GET", f"/v2/{name}/referrers/{digest}").status_code == 200
