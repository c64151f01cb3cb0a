"""Images are as `podman build` (buildah) makes them of the same files: the tree with modes and owners, and the
configuration.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.builder.comparing import CORPUS, SETTINGS, fill, saved_busybox, tree
from tests.sandbox.command import Sandbox
from tests.sandbox.podman import HAS_PODMAN, Podman, podman_storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Podman 4.3 shows neither health checks nor triggers here, and takes no SHELL for CMD.
pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_PODMAN, reason="needs podman"),
]


@pytest.fixture(scope="module")
def podman(engine_home: Path) -> Iterator[Podman]:
    """Podman with our busybox in its storage."""
    with podman_storage() as command:
        command("load", stdin=saved_busybox(engine_home))
        command("tag", "docker.io/library/busybox", "localhost/busybox")
        yield command


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Files of all kinds."""
    folder = tmp_path / "context"
    fill(folder)
    return folder


@pytest.fixture
def tag(engine_home: Path, repository: Path) -> Iterator[str]:
    """A name for an image that is removed at the end."""
    name = f"compared-{uuid.uuid4().hex[:12]}"
    yield name
    Sandbox(engine_home, repository)("rmi", "-f", name)


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.Dockerfile")))
def test_images_are_podmans(
    name: str, podman: Podman, context: Path, engine_home: Path, repository: Path, tag: str
) -> None:
    """The same files, and the same settings."""
    sandbox = Sandbox(engine_home, repository)
    made = sandbox("build", "-t", tag, "-f", str(context / name), str(context))
    assert made.returncode == 0, made.stderr
    podman("build", "--isolation=chroot", "--format=docker", "-t", tag, "-f", str(context / name), str(context))
    theirs = podman("create", tag, "true").decode().strip()
    ours = sandbox("create", tag, "true").stdout.strip()
    try:
        assert tree(sandbox.printed("export", ours)) == tree(podman("export", theirs))
    finally:
        sandbox("rm", ours)
    their_config = json.loads(podman("image", "inspect", tag))[0]["Config"]
    our_config = json.loads(sandbox("image", "inspect", tag).stdout)[0]["Config"]
    assert {key: our_config.get(key) for key in SETTINGS} == {key: their_config.get(key) for key in SETTINGS}
    labels = {key: value for key, value in (their_config.get("Labels") or {}).items() if key != "io.buildah.version"}
    assert (our_config.get("Labels") or {}) == labels


def test_images_go_both_ways(podman: Podman, tmp_path: Path, engine_home: Path, repository: Path, tag: str) -> None:
    """What is built here is the same image in podman, by its id; what podman builds runs here as it says."""
    sandbox = Sandbox(engine_home, repository)
    (tmp_path / "Dockerfile").write_text(
        "FROM localhost/busybox\nRUN echo someone:x:7:7::/:/bin/sh >> /etc/passwd\n"
        "RUN echo text > /file && chown someone /file\n"
        'ENV A=b\nWORKDIR /place\nUSER someone\nENTRYPOINT ["sh", "-c"]\nCMD ["id -un; pwd; cat /file; echo $A"]\n'
    )
    sandbox("tag", "busybox", "localhost/busybox")
    made = sandbox("build", "-t", tag, str(tmp_path))
    assert made.returncode == 0, made.stderr
    expected = sandbox("run", "--rm", "--network", "none", tag).stdout
    assert expected == "someone\n/place\ntext\nb\n"
    podman("load", stdin=sandbox.printed("save", tag))
    (inspected,) = json.loads(podman("image", "inspect", tag))
    assert f"sha256:{inspected['Id']}" == sandbox("image", "inspect", "--format", "{{.Id}}", tag).stdout.strip()
    ours, theirs = sandbox("create", tag).stdout.strip(), podman("create", tag).decode().strip()
    try:
        assert tree(podman("export", theirs)) == tree(sandbox.printed("export", ours))
    finally:
        sandbox("rm", ours)
    podman("rmi", "-f", tag)
    sandbox("rmi", "-f", tag)
    podman("build", "--isolation=chroot", "-t", tag, str(tmp_path))
    loaded = sandbox("load", stdin=podman("save", "--format=oci-archive", tag))
    assert loaded.returncode == 0, loaded.stderr
    name = loaded.stdout.split()[-1]
    try:
        assert sandbox("run", "--rm", "--network", "none", name).stdout == expected
    finally:
        sandbox("rmi", "-f", name, "localhost/busybox")
