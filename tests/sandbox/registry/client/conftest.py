"""Registries on loopback, and a store to pull into."""

from __future__ import annotations

import gzip
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.image.store import ImageStore
from sandbox.registry.client.pulling import Pulled, pull
from sandbox.registry.client.retrying import Retrying
from tests.sandbox.image.archives import archive, member
from tests.sandbox.registry.client.servers import DEBIANS, Hostile, debians

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUICK = Retrying(times=5, first=0.01, longest=0.05, patience=5.0)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    """A registry that does what it is told."""
    server = Hostile()
    yield server
    server.close()


@pytest.fixture
def store(hako_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    """A store of this test alone; nobody is logged in anywhere."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("REGISTRY_AUTH_FILE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return ImageStore(hako_home)


@pytest.fixture
def pulls(store: ImageStore) -> Callable[..., Pulled]:
    """Pull a name into the store; waits are short."""

    def pulls(name: str, **options: Any) -> Pulled:
        return pull(store, name, **{"retrying": QUICK, **options})

    return pulls


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's registry: `127.0.0.1:port`."""
    if DEBIANS is None:
        pytest.skip("docker-registry is not installed")
    with debians(tmp_path / "registry") as address:
        yield address


def layer(name: str = "a", data: bytes = b"hello") -> tuple[bytes, bytes]:
    """A layer with one file: its archive, and that compressed."""
    plain = archive(member(name, data=data))
    return plain, gzip.compress(plain, 1, mtime=0)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and localhost that is its own authority, and its key."""
    folder.mkdir(exist_ok=True)
    crt, key = folder / "own.crt", folder / "own.key"
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", names, "-keyout", str(key), "-out", str(crt)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return crt, key
