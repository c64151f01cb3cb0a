"""Conformance with the OCI Distribution Specification 1.1, section "Content Discovery", and docker's catalog."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from sandbox.registry import media
from sandbox.registry.server.application import Registry
from sandbox.registry.server.limits import Limits
from tests.sandbox.registry.server.pushes import Peer, descriptor, digest_of, image, index

if TYPE_CHECKING:
    from pathlib import Path

NAME = "team/app"
SBOM, SIGNATURE = "application/vnd.example.sbom.v1", "application/vnd.example.signature.v1"


def pages(peer: Peer, path: str, key: str) -> list[list[Any]]:
    """What `Link` leads through, page by page."""
    found = []
    while path:
        response = peer("GET", path)
        assert response.status_code == 200
        found.append(json.loads(response.data)[key])
        link = response.headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link.partition(">")[0].removeprefix("<")
    return found


# --- Listing tags ---


def test_tags_are_in_the_order_of_their_bytes(peer: Peer) -> None:
    """end-8a: 200 with all tags, sorted as Go's `sort.Strings` does."""
    manifest, _ = peer.image(NAME, "v1")
    for tag in ("v10", "V2", "_x", "a.b", "latest", "v2"):
        peer.manifest(NAME, tag, manifest)
    expected = ["V2", "_x", "a.b", "latest", "v1", "v10", "v2"]
    assert peer("GET", f"/v2/{NAME}/tags/list").json == {"name": NAME, "tags": expected}


def test_tags_in_pages(peer: Peer) -> None:
    """end-8b: `n` and `last`, and `Link` leads to the next page until there is none."""
    manifest, _ = peer.image(NAME, "t1")
    for number in range(2, 6):
        peer.manifest(NAME, f"t{number}", manifest)
    path = f"/v2/{NAME}/tags/list"
    assert pages(peer, f"{path}?n=2", "tags") == [["t1", "t2"], ["t3", "t4"], ["t5"]]
    assert pages(peer, f"{path}?n=5", "tags") == [["t1", "t2", "t3", "t4", "t5"]]
    assert pages(peer, f"{path}?last=t3", "tags") == [["t4", "t5"]]
    assert pages(peer, f"{path}?n=1&last=t4", "tags") == [["t5"]]
    assert pages(peer, f"{path}?n=9&last=zzz", "tags") == [[]]


def test_no_tags_are_wanted(peer: Peer) -> None:
    """`n=0` is an empty list without `Link`."""
    peer.image(NAME, "v1")
    assert pages(peer, f"/v2/{NAME}/tags/list?n=0", "tags") == [[]]


@pytest.mark.parametrize("number", ["-1", "many", "", "1.5", "٣"])
def test_a_page_has_a_number_of_entries(peer: Peer, number: str) -> None:
    """400 for an `n` that is none."""
    peer.image(NAME, "v1")
    assert peer("GET", f"/v2/{NAME}/tags/list", query={"n": number}).status_code == 400


def test_a_page_has_an_end(root: Path) -> None:
    """However large `n` is, a page has no more entries than the server likes, and `Link` leads on (CVE-2023-2253)."""
    peer = Peer(Registry(root, limits=Limits(page=2)))
    manifest, _ = peer.image(NAME, "a")
    for tag in ("b", "c"):
        peer.manifest(NAME, tag, manifest)
    assert pages(peer, f"/v2/{NAME}/tags/list?n=99999999999999999999", "tags") == [["a", "b"], ["c"]]


def test_tags_of_no_repository(peer: Peer) -> None:
    """404 with NAME_UNKNOWN; a repository without tags has an empty list."""
    response = peer("GET", f"/v2/{NAME}/tags/list")
    assert (response.status_code, peer.codes(response)) == (404, ["NAME_UNKNOWN"])
    peer.blob(NAME, b"content")
    assert peer("GET", f"/v2/{NAME}/tags/list").json == {"name": NAME, "tags": []}


# --- Listing referrers ---


def push_referrers(peer: Peer) -> tuple[str, dict[str, dict[str, Any]]]:
    """An image with three referrers: its digest, and their descriptors by digest."""
    manifest, subject = peer.image(NAME, "v1")
    about = {"subject": descriptor(manifest, media.MANIFEST)}
    peer.blob(NAME, b"{}")
    sbom = image(b"{}", [], artifactType=SBOM, annotations={"org.example.format": "json"}, **about)
    plain = image(b"{}", [], annotations={"a": "b"}, **about)  # its type is that of its configuration
    listed = index(**about)
    peer.manifest(NAME, digest_of(sbom), sbom)
    peer.manifest(NAME, "signature", plain)
    peer.manifest(NAME, digest_of(listed), listed, media.INDEX)
    expected = [
        {**descriptor(sbom, media.MANIFEST), "artifactType": SBOM, "annotations": {"org.example.format": "json"}},
        {**descriptor(plain, media.MANIFEST), "artifactType": media.CONFIG, "annotations": {"a": "b"}},
        descriptor(listed, media.INDEX),
    ]
    return subject, {one["digest"]: one for one in expected}


def test_referrers_are_listed(peer: Peer) -> None:
    """end-12a: an index of descriptors with types and annotations; an index has no type but its own."""
    subject, expected = push_referrers(peer)
    response = peer("GET", f"/v2/{NAME}/referrers/{subject}")
    assert (response.status_code, response.headers["Content-Type"]) == (200, media.INDEX)
    document = json.loads(response.data)
    assert (document["schemaVersion"], document["mediaType"]) == (2, media.INDEX)
    assert {one["digest"]: one for one in document["manifests"]} == expected
    assert "OCI-Filters-Applied" not in response.headers


def test_referrers_are_filtered(peer: Peer) -> None:
    """end-12b: only those of the type, and the answer says that it was filtered."""
    subject, expected = push_referrers(peer)
    for wanted in (SBOM, media.CONFIG, SIGNATURE):
        response = peer("GET", f"/v2/{NAME}/referrers/{subject}", query={"artifactType": wanted})
        assert response.headers["OCI-Filters-Applied"] == "artifactType"
        types = [one.get("artifactType") for one in json.loads(response.data)["manifests"]]
        assert types == [one["artifactType"] for one in expected.values() if one.get("artifactType") == wanted]


def test_referrers_of_nothing(peer: Peer) -> None:
    """An empty index for a digest and a repository that nobody knows, never 404; 400 for a malformed digest."""
    response = peer("GET", f"/v2/{NAME}/referrers/{digest_of(b'unknown')}")
    assert (response.status_code, json.loads(response.data)["manifests"]) == (200, [])
    assert peer("GET", f"/v2/{NAME}/referrers/sha256:nonsense").status_code == 400


def test_referrers_in_pages(root: Path) -> None:
    """What does not fit one index comes in several, each with other descriptors."""
    peer = Peer(Registry(root, limits=Limits(page=2)))
    subject, expected = push_referrers(peer)
    found = pages(peer, f"/v2/{NAME}/referrers/{subject}", "manifests")
    assert list(map(len, found)) == [2, 1]
    assert {one["digest"]: one for page in found for one in page} == expected
    filtered = pages(peer, f"/v2/{NAME}/referrers/{subject}?artifactType={quote(media.CONFIG)}&n=1", "manifests")
    assert [one["artifactType"] for page in filtered for one in page] == [media.CONFIG]


def test_a_deleted_referrer_is_not_listed(peer: Peer) -> None:
    """Deleted manifests leave the list of referrers, and a deleted subject leaves its referrers where they are."""
    subject, expected = push_referrers(peer)
    gone = next(iter(expected))
    assert peer("DELETE", f"/v2/{NAME}/manifests/{gone}").status_code == 202
    assert peer("DELETE", f"/v2/{NAME}/manifests/{subject}").status_code == 202
    listed = json.loads(peer("GET", f"/v2/{NAME}/referrers/{subject}").data)["manifests"]
    assert {one["digest"] for one in listed} == set(expected) - {gone}


# --- The catalog ---


def test_repositories_are_listed(peer: Peer) -> None:
    """Docker's `_catalog`: what can be pulled, sorted, in pages; a repository that only has blobs is not there."""
    for name in ("b/c", "a-b", "a/b", "a"):
        peer.image(name, "v1")
    peer.blob("only/blobs", b"content")
    assert pages(peer, "/v2/_catalog", "repositories") == [["a", "a-b", "a/b", "b/c"]]
    assert pages(peer, "/v2/_catalog?n=3", "repositories") == [["a", "a-b", "a/b"], ["b/c"]]
    assert pages(peer, "/v2/_catalog?n=3&last=a-b", "repositories") == [["a/b", "b/c"]]


def test_an_empty_registry_has_no_repositories(peer: Peer) -> None:
    """Before anything was pushed there is not even a directory."""
    assert peer("GET", "/v2/_catalog").json == {"repositories": []}
