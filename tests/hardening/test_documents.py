"""Documents of images that somebody has written to stop or to mislead whoever reads them.

A manifest or a configuration that is not what it should be is one clear error, and leaves nothing in the store
(CVE-2021-21285, CVE-2021-20291: a daemon that crashed, one that stood still).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.image import loading
from sandbox.image.store import ImageStore
from tests.sandbox.command import Sandbox
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from pathlib import Path

LAYER = archive(member("file", data=b"x"))
LAYER_DIGEST = hashlib.sha256(LAYER).hexdigest()
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2025-01-01T00:00:00Z",
    "author": "somebody",
    "config": {
        "Cmd": ["true"],
        "Entrypoint": ["/x"],
        "Env": ["A=b"],
        "User": "0",
        "WorkingDir": "/",
        "Labels": {"a": "b"},
        "Volumes": {"/v": {}},
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "TERM",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Retries": 3},
        "OnBuild": ["RUN true"],
        "Shell": ["sh", "-c"],
    },
    "history": [{"created": "2025-01-01T00:00:00Z", "created_by": "x", "empty_layer": False}],
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{LAYER_DIGEST}"]},
}
MANIFEST: list[dict[str, Any]] = [{"Config": "config.json", "RepoTags": ["hostile:1"], "Layers": ["layer.tar"]}]

# What has brought down readers of JSON, of Go and of Python.
EVIL: tuple[Any, ...] = (
    *(None, True, 0, -1, 1 << 70, 1e308, "", "x" * 70_000, "\0", "\ud800", "../../etc/passwd", "sha256:" + "0" * 64),
    *([], {}, [[]], [None], [{}], {"a": {}}, {"": None}, ["sha256:../../x"], {"/../../v": {}}, ["A"], ["=b"]),
)


def _places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in _places(value, (*path, key)))]


def _changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copy


def _archive(manifest: bytes, config: bytes) -> bytes:
    members = (("config.json", config), ("layer.tar", LAYER), ("manifest.json", manifest))
    return archive(*(member(name, data=data) for name, data in members))


def _load(store: ImageStore, data: bytes) -> None:
    """Nothing, or one of our errors in one line."""
    descriptor = os.memfd_create("archive")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        loading.load(store, descriptor)
    except SandboxError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 2000
    finally:
        os.close(descriptor)


def _bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(_places(CONFIG)), value=st.sampled_from(EVIL))
def test_a_configuration(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    """Any of its values is something else; what is loaded all the same can be listed and shown."""
    store = ImageStore(tmp_path / "home")
    _load(store, _archive(_bytes(MANIFEST), _bytes(_changed(CONFIG, place, value))))
    for image in store.list():
        store.remove(str(image.id))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(_places(MANIFEST)), value=st.sampled_from(EVIL))
def test_a_manifest(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    """The same for what says which file is which."""
    store = ImageStore(tmp_path / "home")
    _load(store, _archive(_bytes(_changed(MANIFEST, place, value)), _bytes(CONFIG)))
    for image in store.list():
        store.remove(str(image.id))


BYTES = {
    "nothing": b"",
    "not JSON": b"{",
    "not text": b'[{"Config": "\xff\xfe"}]',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a long number": b"[" + b"9" * 100_000 + b"]",
    "no number": b"[NaN, Infinity, -Infinity]",
    "twice the same key": b'[{"Config": "config.json", "Config": "layer.tar", "Layers": [], "Layers": ["layer.tar"]}]',
    "huge": b'[{"Config": "' + b"a" * (9 << 20) + b'"}]',
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_document(repository: Path, tmp_path: Path, name: str) -> None:
    """As the manifest and as the configuration: one line for a person, and soon."""
    sandbox = Sandbox(tmp_path / "home", repository)
    for number, data in enumerate((_archive(BYTES[name], _bytes(CONFIG)), _archive(_bytes(MANIFEST), BYTES[name]))):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(data)
        begin = time.monotonic()
        done = sandbox("load", "-i", str(path))
        assert done.returncode != 0
        assert done.stderr.startswith("sandbox: ")
        assert done.stderr.count("\n") == 1
        assert len(done.stderr) < 2000
        assert time.monotonic() - begin < 60
    assert sandbox("images", "-q", "-a").stdout == ""
