"""Registries that mean harm, or are broken: one line, bounded work, and nothing of it in the store."""

from __future__ import annotations

import gzip
import json
import os
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.errors import SandboxError
from sandbox.registry import media
from sandbox.registry.client import layers
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.spool import Spool
from tests.sandbox.image.archives import archive, member
from tests.sandbox.registry.client.conftest import QUICK, certificate, layer
from tests.sandbox.registry.client.servers import Hostile, Reply, Request, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.image.store import ImageStore
    from sandbox.registry.client.pulling import Pulled

    Pulls = Callable[..., Pulled]


@pytest.fixture
def refused(hostile: Hostile, store: ImageStore, pulls: Pulls) -> Callable[..., SandboxError]:
    """Pull what must not be pulled: the error; nothing is left but an empty turn."""

    def refused() -> SandboxError:
        with pytest.raises(SandboxError) as caught:
            pulls(f"{hostile.address}/x")
        assert "\n" not in str(caught.value) and str(caught.value).isprintable()
        assert store.list() == () and store.snapshots.list() == ()
        folder = store.home / "images/downloads"
        assert [path.name for path in folder.glob("*") if path.suffix != ".turn" and path.stat().st_size] == []
        return caught.value

    return refused


def other_bytes(hostile: Hostile, tag: str, data: bytes, kind: str = media.MANIFEST) -> None:
    """Answer for a manifest with something else."""
    hostile.answers[f"/v2/x/manifests/{tag}"] = lambda _: Reply(body=data, headers={"Content-Type": kind})


def test_a_manifest_with_another_digest(hostile: Hostile, pulls: Pulls) -> None:
    """Asked for by digest, it has to have that; and the one that its header says."""
    described = hostile.image(layer())
    other_bytes(hostile, described["digest"], b"{}")
    with pytest.raises(RegistryError, match=r"sends .* with the digest sha256:44136fa355b3"):
        pulls(f"{hostile.address}/x@{described['digest']}")
    hostile.answers["/v2/x/manifests/latest"] = lambda _: Reply(
        body=b"{}", headers={"Docker-Content-Digest": described["digest"]}
    )
    with pytest.raises(RegistryError, match="not sha256:"):
        pulls(f"{hostile.address}/x")


def test_a_manifest_without_end(hostile: Hostile, refused: Any) -> None:
    """Reading ends at four megabytes, whatever the server would send (CVE-2023-25153)."""
    other_bytes(hostile, "latest", b'{"a":"' + b"x" * (5 << 20) + b'"}')
    assert "more than 4194304 bytes" in refused().message


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>login</html>", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not an object"),
        (b'{"schemaVersion": 2}', ""),
        (
            b'{"schemaVersion": 2, "config": {"digest": "sha256:../../../etc/passwd", "size": 1}, "layers": []}',
            "digest",
        ),
        (b'{"schemaVersion": 2, "config": {}, "layers": [], "manifests": []}', "could be taken for something else"),
        (b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % media.INDEX.encode(), "and comes as"),
    ],
)
def test_documents_that_are_none(hostile: Hostile, refused: Any, body: bytes, why: str) -> None:
    """Pages, deep nesting, paths for digests, and what could be taken for two things (CVE-2021-41190)."""
    other_bytes(hostile, "latest", body)
    assert why in refused().message


def test_an_index_that_is_a_manifest_too(hostile: Hostile, refused: Any) -> None:
    """CVE-2021-41190 the other way round."""
    described = hostile.image(layer(), tag="y")
    both = {"schemaVersion": 2, "manifests": [described], "layers": []}
    other_bytes(hostile, "latest", json.dumps(both).encode(), media.INDEX)
    assert "could be taken for something else" in refused().message


def test_indexes_in_indexes(hostile: Hostile, refused: Any) -> None:
    """Not without end."""
    described = hostile.image(layer(), tag="y")
    for _ in range(5):
        described = hostile.manifest({"schemaVersion": 2, "manifests": [described]}, "latest", kind=media.INDEX)
    assert "indexes in indexes" in refused().message


def test_schema_1(hostile: Hostile, refused: Any) -> None:
    """Docker's first schema is refused, whatever type it comes as."""
    for kind in ("application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"):
        other_bytes(hostile, "latest", b'{"schemaVersion": 1, "fsLayers": []}', kind)
        assert "docker's schema 1" in refused().message


@pytest.mark.parametrize("kind", [*sorted(media.FOREIGN), "application/vnd.example.layer"])
def test_foreign_and_unknown_layers(hostile: Hostile, refused: Any, kind: str) -> None:
    """Nobody is led to another address by a manifest, and nothing is unpacked that is not known."""
    elsewhere = {"mediaType": kind, "digest": digest_of(b"x"), "size": 1, "urls": ["http://127.0.0.1:1/secret"]}
    hostile.image(layer(), change=lambda manifest: manifest["layers"].append(elsewhere))
    assert "layer" in refused().message


def test_artifacts_are_no_images(hostile: Hostile, refused: Any) -> None:
    """A chart, a signature: what it is, is said."""
    hostile.image(layer(), change=lambda manifest: manifest["config"].update(mediaType="application/vnd.cncf.helm"))
    assert "is not an image but 'application/vnd.cncf.helm'" in refused().message


def test_a_layer_with_other_bytes(hostile: Hostile, refused: Any) -> None:
    """Its digest is wrong: nothing is kept, even of the right length."""
    plain, packed = layer(data=os.urandom(1 << 20))
    hostile.image((plain, packed))
    hostile.blobs[digest_of(packed)] = packed[:-1] + bytes((packed[-1] ^ 1,))
    assert refused().reference in ("digest-mismatch", "invalid-archive")


@pytest.mark.slow
def test_who_waits_hears_of_other_bytes(hostile: Hostile, pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the file is being thrown away: it is not taken for one that somebody else has removed."""
    discard = Spool.discard

    def slow(self: Spool, *arguments: Any) -> None:
        time.sleep(2)  # the layer before it is unpacked meanwhile, and then this one is waited for
        discard(self, *arguments)

    monkeypatch.setattr(Spool, "discard", slow)
    plain, packed = layer("b")
    hostile.image(layer("a"), (plain, packed))
    hostile.blobs[digest_of(packed)] = packed[:-1] + bytes((packed[-1] ^ 1,))
    with pytest.raises(SandboxError) as caught:
        pulls(f"{hostile.address}/x")
    assert caught.value.reference == "digest-mismatch"


def test_a_layer_that_is_not_the_configurations(hostile: Hostile, refused: Any) -> None:
    """The blob is what the manifest says, and unpacks to something else than the configuration says."""
    hostile.image((layer("a")[0], layer("b")[1]))
    assert refused().reference == "digest-mismatch"


@pytest.mark.parametrize("more", [-7, 7])
def test_a_size_that_is_a_lie(hostile: Hostile, refused: Any, more: int) -> None:
    """Too long or too short for the manifest: seen before anything is read."""

    def lie(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["size"] += more

    hostile.image(layer(), change=lie)
    assert refused().reference == "size-mismatch"


def test_more_bytes_than_said(hostile: Hostile, refused: Any) -> None:
    """Without a length beforehand: it ends with the first byte too many, and that is not tried again."""
    plain, packed = layer()
    hostile.image((plain, packed))
    chunked = b"%x\r\n%s\r\n5\r\nmore!\r\n0\r\n\r\n" % (len(packed), packed)
    path = f"/v2/x/blobs/{digest_of(packed)}"
    hostile.answers[path] = lambda _: Reply(body=chunked, headers={"Transfer-Encoding": "chunked"})
    assert "sends more than" in refused().message
    assert len([request for request in hostile.requests if request.path == path]) == 1


def test_a_bomb(hostile: Hostile, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small layer that would be large ends at two hundred times its size (from a gigabyte on, here a megabyte)."""
    monkeypatch.setattr(layers, "_ALWAYS", 1 << 20)
    plain = archive(member("bomb", data=bytes(64 << 20)))
    packed = gzip.compress(plain, 9, mtime=0)
    hostile.image((plain, packed))
    error = refused()
    assert error.reference == "limit-exceeded"
    assert f"more than {200 * len(packed)} bytes" in error.message


def test_a_layer_that_leads_out(hostile: Hostile, pulls: Pulls, tmp_path: Path) -> None:
    """What `load` refuses, `pull` refuses: a link out of the root, and a file through it, stay inside."""
    plain = archive(member("out", "symlink", target=str(tmp_path)), member("out/canary", data=b"x"))
    hostile.image((plain, gzip.compress(plain)))
    with suppress(SandboxError):
        pulls(f"{hostile.address}/x")
    assert not (tmp_path / "canary").exists()


def test_another_host_gets_no_credentials(hostile: Hostile, pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that lies elsewhere is fetched there without our login (CVE-2020-15157)."""
    config = {"auths": {hostile.address: {"auth": "dXNlcjpwYXNz"}}}
    folder = Path(os.environ["DOCKER_CONFIG"])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    plain, packed = layer()
    hostile.image((plain, packed))
    elsewhere = Hostile()
    try:
        elsewhere.blobs = dict(hostile.blobs)
        asked = Reply(401, headers={"WWW-Authenticate": "Basic realm=x"})

        def guard(request: Request) -> Reply | None:
            if "authorization" not in request.headers:
                return asked
            if "/blobs/" in request.path:
                return Reply(307, headers={"Location": f"http://{elsewhere.address}{request.path}"})
            return None

        hostile.answers["*"] = guard
        assert pulls(f"{hostile.address}/x").new
        assert hostile.requests[-1].headers["authorization"] == "Basic dXNlcjpwYXNz"
        assert len(elsewhere.requests) == 2
        assert all("authorization" not in request.headers for request in elsewhere.requests)
    finally:
        elsewhere.close()


@pytest.mark.parametrize("location", ["/v2/x/manifests/latest", "file:///etc/passwd", "gopher://127.0.0.1/"])
def test_leading_nowhere(hostile: Hostile, refused: Any, location: str) -> None:
    """In a circle, or to what is no web address."""
    hostile.answers["/v2/x/manifests/latest"] = lambda _: Reply(302, headers={"Location": location})
    assert "leads" in refused().message
    assert len(hostile.requests) <= 7


def test_from_https_to_http(hostile: Hostile, store: ImageStore, pulls: Pulls, tmp_path: Path) -> None:
    """Nobody is led there, not even to the token server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    crt, key = certificate(tmp_path / "tls")
    context.load_cert_chain(crt, key)
    secure = Hostile(context)
    certs = store.home / "certs.d" / secure.address
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_bytes(crt.read_bytes())
    try:
        secure.answers["*"] = lambda _: Reply(307, headers={"Location": f"http://{hostile.address}/v2/"})
        with pytest.raises(RegistryError, match="from https to http"):
            pulls(f"{secure.address}/x")
        challenge = f'Bearer realm="http://{hostile.address}/token"'
        secure.answers["*"] = lambda _: Reply(401, headers={"WWW-Authenticate": challenge})
        with pytest.raises(RegistryError, match="without TLS"):
            pulls(f"{secure.address}/x")
        assert hostile.requests == []
    finally:
        secure.close()


@pytest.mark.parametrize(
    ("status", "reference", "says"),
    [
        (401, "registry-unauthorized", "wants a login for"),
        (403, "registry-denied", "denies access to"),
        (404, "registry-not-found", "has no"),
        (500, "registry-failed", "failed with status 500"),
        (418, "registry-failed", "failed with status 418"),
    ],
)
def test_refusals_are_one_line(hostile: Hostile, refused: Any, status: int, reference: str, says: str) -> None:
    """With what the registry says, and no control characters of its."""
    body = json.dumps({"errors": [{"code": "X", "message": "no\n\x1b[31mway"}]}).encode()
    hostile.answers["*"] = lambda _: Reply(status, body)
    error = refused()
    assert (error.reference, says in error.message, "no  [31mway" in error.message) == (reference, True, True)


def test_a_connection_that_always_breaks(hostile: Hostile, refused: Any) -> None:
    """It is tried again a few times, no more."""
    plain, packed = layer(data=os.urandom(1 << 20))
    hostile.image((plain, packed))
    path = f"/v2/x/blobs/{digest_of(packed)}"
    hostile.answers[path] = lambda _: Reply(body=packed, cut=0)
    assert "broke" in refused().message
    assert len([request for request in hostile.requests if request.path == path]) == QUICK.times + 1
