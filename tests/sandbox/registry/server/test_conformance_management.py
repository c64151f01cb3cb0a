"""Conformance with the OCI Distribution Specification 1.1, section "Content Management", and with its error form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.registry.server.application import Registry
from tests.sandbox.registry.server.pushes import Peer, digest_of

if TYPE_CHECKING:
    from pathlib import Path

NAME = "team/app"
UNKNOWN = digest_of(b"unknown")


def test_a_tag_is_deleted_alone(peer: Peer) -> None:
    """end-9 with a tag: 202; the manifest is there under its digest and its other tags."""
    manifest, digest = peer.image(NAME, "v1")
    peer.manifest(NAME, "v2", manifest)
    assert peer("DELETE", f"/v2/{NAME}/manifests/v1").status_code == 202
    assert peer("GET", f"/v2/{NAME}/manifests/v1").status_code == 404
    assert peer("GET", f"/v2/{NAME}/manifests/v2").data == manifest
    assert peer("GET", f"/v2/{NAME}/manifests/{digest}").data == manifest


def test_a_manifest_is_deleted_with_its_tags(peer: Peer) -> None:
    """end-9 with a digest: 202; afterwards it is 404 under its digest and every tag, and other manifests stay."""
    manifest, digest = peer.image(NAME, "v1")
    peer.manifest(NAME, "v2", manifest)
    peer.image(NAME, "other", b"something else")
    assert peer("DELETE", f"/v2/{NAME}/manifests/{digest}").status_code == 202
    for target in (digest, "v1", "v2"):
        assert peer("GET", f"/v2/{NAME}/manifests/{target}").status_code == 404
    assert peer("GET", f"/v2/{NAME}/tags/list").json == {"name": NAME, "tags": ["other"]}


def test_a_blob_is_deleted_from_one_repository(peer: Peer) -> None:
    """end-10: 202, then 404; another repository keeps it."""
    digest = peer.blob(NAME, b"content")
    peer.blob("other", b"content")
    assert peer("DELETE", f"/v2/{NAME}/blobs/{digest}").status_code == 202
    assert peer("GET", f"/v2/{NAME}/blobs/{digest}").status_code == 404
    assert peer("DELETE", f"/v2/{NAME}/blobs/{digest}").status_code == 404
    assert peer("GET", f"/v2/other/blobs/{digest}").data == b"content"


def test_what_is_not_there_cannot_be_deleted(peer: Peer) -> None:
    """404 with the code that says what is missing."""
    response = peer("DELETE", f"/v2/{NAME}/manifests/{UNKNOWN}")
    assert (response.status_code, peer.codes(response)) == (404, ["NAME_UNKNOWN"])
    peer.image(NAME, "v1")
    for path, code in (
        (f"manifests/{UNKNOWN}", "MANIFEST_UNKNOWN"),
        ("manifests/v2", "MANIFEST_UNKNOWN"),
        (f"blobs/{UNKNOWN}", "BLOB_UNKNOWN"),
    ):
        response = peer("DELETE", f"/v2/{NAME}/{path}")
        assert (response.status_code, peer.codes(response)) == (404, [code])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"/v2/{NAME}/manifests/v1"),
        ("PUT", f"/v2/{NAME}/manifests/v2"),
        ("DELETE", f"/v2/{NAME}/blobs/{UNKNOWN}"),
        ("POST", f"/v2/{NAME}/blobs/uploads/"),
    ],
)
def test_a_registry_that_is_read_only(peer: Peer, root: Path, method: str, path: str) -> None:
    """405 with UNSUPPORTED for whatever changes something; pulls go on."""
    manifest, _ = peer.image(NAME, "v1")
    reader = Peer(Registry(root, read_only=True))
    response = reader(method, path)
    assert (response.status_code, reader.codes(response)) == (405, ["UNSUPPORTED"])
    assert reader("GET", f"/v2/{NAME}/manifests/v1").data == manifest


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", f"/v2/{NAME}/tags/list", "GET, HEAD"),
        ("PATCH", f"/v2/{NAME}/manifests/v1", "DELETE, GET, HEAD, PUT"),
        ("GET", f"/v2/{NAME}/blobs/uploads/", "POST"),
        ("TRACE", f"/v2/{NAME}/blobs/{UNKNOWN}", "DELETE, GET, HEAD"),
    ],
)
def test_methods_that_a_path_does_not_have(peer: Peer, method: str, path: str, allowed: str) -> None:
    """405 with UNSUPPORTED, and `Allow` names those that it has."""
    response = peer(method, path)
    assert (response.status_code, peer.codes(response)) == (405, ["UNSUPPORTED"])
    assert response.headers["Allow"] == allowed
