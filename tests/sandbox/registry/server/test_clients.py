"""Other people's clients: podman, skopeo and oras log in, push, pull, copy, list and delete, as their users do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.registry.server.application import Registry
from sandbox.registry.server.htpasswd import entry
from tests.sandbox.podman import HAS_PODMAN, podman_storage
from tests.sandbox.registry.server.pushes import Peer, digest_of
from tests.sandbox.registry.server.running import Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKERFILE = b"FROM scratch\nADD layer /layer\nCMD /layer\n"
SKOPEO = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
PODMAN = pytest.mark.skipif(not HAS_PODMAN, reason="podman is not installed, or this is no root")
pytestmark = pytest.mark.slow


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path, where the clients keep their logins instead of in the home directory."""
    with tempfile.TemporaryDirectory(prefix="hako-clients-", dir="/tmp") as folder:
        for name, value in (
            ("XDG_RUNTIME_DIR", folder),
            ("HOME", folder),
            ("REGISTRY_AUTH_FILE", f"{folder}/auth.json"),
        ):
            monkeypatch.setenv(name, value)
        (Path(folder) / "auth.json").write_text("{}")
        yield Path(folder)


@pytest.fixture
def server(place: Path) -> Iterator[Served]:
    """A registry with tokens: alice may do everything, anybody may pull."""
    (place / "accounts").write_text(entry("alice", "secret") + "\n")
    with served(place / "registry", "--htpasswd", str(place / "accounts"), "--anonymous-pull") as running:
        yield running


def skopeo(*words: str) -> str:
    """What it printed; the test fails with its complaint where it does."""
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *words], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@PODMAN
@pytest.mark.root
def test_podman(server: Served, place: Path) -> None:
    """Login with a wrong and the right password, push, push to another repository (a mount), pull without a login."""
    image, tls = f"{server.address}/team/app:v1", "--tls-verify=false"
    (place / "Dockerfile").write_bytes(DOCKERFILE)
    (place / "layer").write_bytes(os.urandom(2_000_000))
    with podman_storage() as podman:
        podman("build", "-q", "-t", image, "-f", str(place / "Dockerfile"), str(place))
        with pytest.raises(AssertionError, match=r"unauthorized|authentication required"):
            podman("push", tls, image)
        with pytest.raises(AssertionError, match="invalid username/password"):
            podman("login", tls, "-u", "alice", "-p", "wrong", server.address)
        podman("login", tls, "-u", "alice", "-p", "secret", server.address)
        podman("push", tls, image)
        podman("push", tls, image, f"{server.address}/other/app:v1")
        podman("logout", server.address)
        podman("rmi", "-f", image)
        podman("pull", "-q", tls, image)
        assert podman("image", "inspect", "--format", "{{.Config.Cmd}}", image).strip() == b"[/bin/sh -c /layer]"
    layers = [path for path in (place / "registry" / "blobs").rglob("*") if path.is_file()]
    assert len(layers) == 2  # a layer and a configuration, for both repositories


@SKOPEO
def test_skopeo(server: Served, place: Path) -> None:
    """Copies into the registry, inside of it and out of it, in docker's format and the OCI's; lists and deletes."""
    peer = Peer(Registry(place / "source"))
    peer.image("team/app", "v1", os.urandom(100_000))
    away, creds = f"docker://{server.address}", ("--dest-creds", "alice:secret")
    insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
    with served(place / "source") as source:
        skopeo("copy", *insecure, *creds, f"docker://{source.address}/team/app:v1", f"{away}/team/app:v1")
    skopeo("copy", *insecure, *creds, "--src-creds", "alice:secret", f"{away}/team/app:v1", f"{away}/copy:v2")
    skopeo("copy", *insecure, *creds, "--format", "v2s2", f"{away}/team/app:v1", f"{away}/docker:v1")
    skopeo("copy", *insecure, f"{away}/copy:v2", f"dir:{place / 'out'}")
    assert '"v1"' in skopeo("list-tags", "--tls-verify=false", f"{away}/team/app")
    skopeo("delete", "--tls-verify=false", "--creds", "alice:secret", f"{away}/copy:v2")
    with pytest.raises(AssertionError, match=r"manifest unknown|no manifest v2"):
        skopeo("inspect", "--tls-verify=false", f"{away}/copy:v2")


def test_oras(server: Served, place: Path) -> None:
    """An artefact of files goes in and comes out again."""
    client = pytest.importorskip("oras.client").OrasClient(hostname=server.address, insecure=True)
    data = os.urandom(300_000)
    (place / "artefact").write_bytes(data)
    client.auth.set_basic_auth("alice", "secret")
    target = f"{server.address}/art/thing:v1"
    pushed = client.push(target=target, files=[str(place / "artefact")], disable_path_validation=True)
    assert pushed.status_code == 201
    assert client.get_tags(f"{server.address}/art/thing") == ["v1"]
    fetched = client.pull(target=target, outdir=str(place / "out"))
    assert [digest_of(Path(path).read_bytes()) for path in fetched] == [digest_of(data)]
