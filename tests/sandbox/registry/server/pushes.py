"""Pushes for the tests: content, documents about it, and a client that speaks with the application without network."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from werkzeug.test import Client

from sandbox.image import digest as digests
from sandbox.registry import media

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import WSGIApplication

    from werkzeug.test import TestResponse

    from sandbox.image.digest import Digest


def digest_of(data: bytes) -> Digest:
    """Calculated here, not by what is tested."""
    return digests.parse(f"sha256:{hashlib.sha256(data).hexdigest()}")


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    """A descriptor of content."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def image(config: bytes, layers: Iterable[bytes], **more: object) -> bytes:
    """An image manifest."""
    document = {
        "schemaVersion": 2,
        "mediaType": media.MANIFEST,
        "config": descriptor(config, media.CONFIG),
        "layers": [descriptor(layer, media.LAYER_GZIP) for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def index(*manifests: bytes, **more: object) -> bytes:
    """An image index."""
    listed = [descriptor(manifest, media.MANIFEST) for manifest in manifests]
    return json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": listed, **more}).encode()


class Peer:
    """A client of an application: `get`, `put` and so on of werkzeug's, and whole pushes."""

    def __init__(self, application: WSGIApplication, authorization: str = "") -> None:
        self._client = Client(application)
        self._headers = {"Authorization": authorization} if authorization else {}

    def __call__(
        self,
        method: str,
        path: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> TestResponse:
        """A request and its answer."""
        merged = {**self._headers, **(headers or {})}
        return self._client.open(
            path,
            method=method,
            data=data,
            headers=merged,
            query_string=query,
            buffered=True,  # and closed
        )

    def blob(self, name: str, data: bytes) -> Digest:
        """Push a blob."""
        digest = digest_of(data)
        response = self("POST", f"/v2/{name}/blobs/uploads/", data, query={"digest": digest})
        assert response.status_code == 201, response.text
        return digest

    def manifest(self, name: str, target: str, data: bytes, media_type: str = media.MANIFEST) -> Digest:
        """Push a manifest whose blobs are there."""
        response = self("PUT", f"/v2/{name}/manifests/{target}", data, headers={"Content-Type": media_type})
        assert response.status_code == 201, response.text
        return digest_of(data)

    def image(self, name: str, tag: str, content: bytes = b"a layer") -> tuple[bytes, Digest]:
        """Push an image of one layer: its manifest and digest."""
        config = b'{"architecture": "amd64"}'
        self.blob(name, config)
        self.blob(name, content)
        manifest = image(config, [content])
        return manifest, self.manifest(name, tag, manifest)

    def upload(self, name: str) -> str:
        """Begin an upload: its location."""
        response = self("POST", f"/v2/{name}/blobs/uploads/")
        assert response.status_code == 202, response.text
        return response.headers["Location"]

    def codes(self, response: TestResponse) -> list[str]:
        """The error codes of an answer, which has the specification's form."""
        assert response.mimetype == "application/json"
        body = json.loads(response.data)
        assert all(set(entry) <= {"code", "message", "detail"} and entry["message"] for entry in body["errors"])
        return [entry["code"] for entry in body["errors"]]
