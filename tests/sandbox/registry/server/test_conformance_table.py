"""The two tables of the OCI Distribution specification 1.1, row by row: the endpoints with the statuses that they may
have ("API"), and the error codes ("Error Codes"). What stands behind each row is tested by the files beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.registry import media
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.access import BasicGate
from sandbox.registry.server.application import Registry
from sandbox.registry.server.htpasswd import FileAccounts
from sandbox.registry.server.limits import Limits
from tests.sandbox.registry.server.pushes import Peer, digest_of, image
from tests.sandbox.registry.server.test_access import basic, line

if TYPE_CHECKING:
    from pathlib import Path

NAME = "team/app"
LAYER, CONFIG = b"a layer", b'{"architecture": "amd64"}'
UNKNOWN = digest_of(b"unknown")
MANIFEST = image(CONFIG, [LAYER])
ENDPOINTS = [
    ("end-1", "GET", "/v2/", 200),
    ("end-2", "GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}", 200),
    ("end-2", "HEAD", f"/v2/{NAME}/blobs/{digest_of(LAYER)}", 200),
    ("end-2", "GET", f"/v2/{NAME}/blobs/{UNKNOWN}", 404),
    ("end-3", "GET", f"/v2/{NAME}/manifests/v1", 200),
    ("end-3", "HEAD", f"/v2/{NAME}/manifests/{digest_of(MANIFEST)}", 200),
    ("end-3", "HEAD", f"/v2/{NAME}/manifests/v2", 404),
    ("end-4a", "POST", f"/v2/{NAME}/blobs/uploads/", 202),
    ("end-4b", "POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(b'')}", 201),
    ("end-4b", "POST", f"/v2/{NAME}/blobs/uploads/?digest=sha256:1", 400),
    ("end-5", "PATCH", "{upload}", 202),
    ("end-5", "PATCH", f"/v2/{NAME}/blobs/uploads/00000000-0000-0000-0000-000000000000", 404),
    ("end-6", "PUT", f"{{upload}}?digest={digest_of(b'')}", 201),
    ("end-6", "PUT", f"{{upload}}?digest={UNKNOWN}", 400),
    ("end-7", "PUT", f"/v2/{NAME}/manifests/v1", 400),  # of nothing; the other files push real ones
    ("end-8a", "GET", f"/v2/{NAME}/tags/list", 200),
    ("end-8a", "GET", "/v2/nobody/tags/list", 404),
    ("end-8b", "GET", f"/v2/{NAME}/tags/list?n=1&last=a", 200),
    ("end-9", "DELETE", f"/v2/{NAME}/manifests/v1", 202),
    ("end-9", "DELETE", f"/v2/{NAME}/manifests/{UNKNOWN}", 404),
    ("end-10", "DELETE", f"/v2/{NAME}/blobs/{digest_of(LAYER)}", 202),
    ("end-10", "DELETE", f"/v2/{NAME}/blobs/{UNKNOWN}", 404),
    ("end-11", "POST", f"/v2/else/blobs/uploads/?mount={digest_of(LAYER)}&from={NAME}", 201),
    ("end-11", "POST", f"/v2/else/blobs/uploads/?mount={UNKNOWN}&from={NAME}", 202),
    ("end-12a", "GET", f"/v2/{NAME}/referrers/{digest_of(MANIFEST)}", 200),
    ("end-12a", "GET", f"/v2/{NAME}/referrers/sha256:1", 400),
    ("end-12b", "GET", f"/v2/{NAME}/referrers/{digest_of(MANIFEST)}?artifactType=a/b", 200),
    ("end-13", "GET", "{upload}", 204),
]
CODES = [
    ("BLOB_UNKNOWN", "GET", f"/v2/{NAME}/blobs/{UNKNOWN}", b"", {}, 404),
    ("BLOB_UPLOAD_INVALID", "PATCH", "{upload}", b"12345", {"Content-Range": "5-9"}, 416),
    ("BLOB_UPLOAD_UNKNOWN", "GET", f"/v2/{NAME}/blobs/uploads/nothing", b"", {}, 404),
    ("DIGEST_INVALID", "PUT", f"{{upload}}?digest={UNKNOWN}", LAYER, {}, 400),
    ("MANIFEST_BLOB_UNKNOWN", "PUT", f"/v2/{NAME}/manifests/x", image(CONFIG, [b"else"]), {}, 404),
    ("MANIFEST_INVALID", "PUT", f"/v2/{NAME}/manifests/x", b"{}", {}, 400),
    ("MANIFEST_UNKNOWN", "GET", f"/v2/{NAME}/manifests/unknown", b"", {}, 404),
    ("NAME_INVALID", "GET", "/v2/Team/manifests/v1", b"", {}, 400),
    ("NAME_UNKNOWN", "GET", "/v2/nobody/tags/list", b"", {}, 404),
    ("SIZE_INVALID", "PATCH", "{upload}", b"12345", {"Content-Range": "0-9"}, 400),
    ("UNAUTHORIZED", "GET", f"/v2/{NAME}/manifests/v1", b"", {}, 401),
    ("DENIED", "GET", f"/v2/{NAME}/manifests/v1", b"", {}, 403),
    ("UNSUPPORTED", "POST", f"/v2/{NAME}/tags/list", b"", {}, 405),
    ("TOOMANYREQUESTS", "POST", f"/v2/{NAME}/blobs/uploads/", b"", {}, 429),
]


def filled(root: Path) -> Peer:
    """A registry with an image."""
    peer = Peer(Registry(root))
    peer.blob(NAME, CONFIG)
    peer.blob(NAME, LAYER)
    peer.manifest(NAME, "v1", MANIFEST)
    return peer


@pytest.mark.parametrize(("endpoint", "method", "path", "status"), ENDPOINTS)
def test_every_endpoint(root: Path, endpoint: str, method: str, path: str, status: int) -> None:
    """Each row is there, with its success and with its failures."""
    peer = filled(root)
    location = peer.upload(NAME) if "{upload}" in path else ""
    headers = {"Content-Type": media.MANIFEST} if endpoint == "end-7" else {}
    response = peer(method, path.replace("{upload}", location), headers=headers)
    assert response.status_code == status, response.text
    if status >= 400 and method != "HEAD":
        assert peer.codes(response)


@pytest.mark.parametrize(("code", "method", "path", "body", "headers", "status"), CODES)
def test_every_code(
    root: Path, tmp_path: Path, code: str, method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Each is answered where the specification means it, in the form of its "Error Codes"."""
    location = filled(root).upload(NAME) if "{upload}" in path else ""
    filled(root)
    peer = guarded(root, tmp_path, code)
    if "/manifests/" in path and method == "PUT":
        headers = {"Content-Type": media.MANIFEST}
    response = peer(method, path.replace("{upload}", location), body, headers=headers)
    assert (response.status_code, peer.codes(response)) == (status, [code])


def guarded(root: Path, tmp_path: Path, code: str) -> Peer:
    """The registry as a client meets it that gets the code."""
    if code == "TOOMANYREQUESTS":
        return Peer(Registry(root, limits=Limits(uploads=0)))
    if code not in ("UNAUTHORIZED", "DENIED"):
        return Peer(Registry(root))
    (tmp_path / "accounts").write_text(line("alice", "secret"))
    (tmp_path / "rules").write_text("alice else/** pull\n")
    gate = BasicGate(FileAccounts(tmp_path / "accounts", rules=tmp_path / "rules"))
    return Peer(Registry(root, gate=gate), basic("alice", "secret") if code == "DENIED" else "")


def test_the_tables_are_whole() -> None:
    """No endpoint and no code of the specification is missing above."""
    assert [row[0] for row in CODES] == [code.value for code in ErrorCode]
    numbers = {row[0].removeprefix("end-").rstrip("ab") for row in ENDPOINTS}
    assert numbers == {str(number) for number in range(1, 14)}
