"""Images are as docker's BuildKit makes them of the same files; ours run in docker and docker's here; docker's client
and our registry, and what we push and docker pulls.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.registry.server.htpasswd import entry
from tests.sandbox.builder.comparing import CORPUS, SETTINGS, fill, saved_busybox, tree
from tests.sandbox.command import Sandbox
from tests.sandbox.docker import HAS_DOCKER, Docker, docker_daemon
from tests.sandbox.registry.server.running import request, served

if TYPE_CHECKING:
    from collections.abc import Iterator

# Nor does podman agree with BuildKit on those of the second folder.
FILES = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*.Dockerfile"))
MORE_SETTINGS = (*SETTINGS, "Labels", "Healthcheck", "OnBuild", "Shell")
ANY = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_DOCKER, reason="needs docker and its daemon"),
]


@pytest.fixture(scope="module")
def docker(engine_home: Path) -> Iterator[Docker]:
    """Docker with our busybox in its storage."""
    with docker_daemon() as command:
        command("load", stdin=saved_busybox(engine_home))
        yield command


@pytest.fixture
def sandbox(engine_home: Path, repository: Path) -> Sandbox:
    """The command, on the run's own store."""
    return Sandbox(engine_home, repository)


@pytest.fixture
def tag(sandbox: Sandbox) -> Iterator[str]:
    """A name for an image that is removed at the end."""
    name = f"compared-{uuid.uuid4().hex[:12]}"
    yield name
    sandbox("rmi", "-f", name)


def settings(inspected: bytes | str) -> dict[str, Any]:
    """What two images have to have alike; empty or not there is the same."""
    config = json.loads(inspected)[0]["Config"]
    return {key: config.get(key) or None for key in MORE_SETTINGS}


@pytest.mark.parametrize("name", FILES)
def test_images_are_buildkits(name: str, docker: Docker, sandbox: Sandbox, tmp_path: Path, tag: str) -> None:
    """The same files with modes and owners, and the same settings."""
    context = tmp_path / "context"
    fill(context)
    file = str(context / Path(name).name)
    made = sandbox("build", "-t", tag, "-f", file, str(context))
    assert made.returncode == 0, made.stderr
    docker("build", "--network=host", "-t", tag, "-f", file, str(context))
    theirs, ours = docker("create", tag, "true").decode().strip(), sandbox("create", tag, "true").stdout.strip()
    try:
        assert tree(sandbox.printed("export", ours)) == tree(docker("export", theirs))
    finally:
        sandbox("rm", ours)
        docker("rm", theirs)
    assert settings(sandbox("image", "inspect", tag).stdout) == settings(docker("image", "inspect", tag))


def test_images_go_both_ways(docker: Docker, sandbox: Sandbox, tmp_path: Path, tag: str) -> None:
    """What is built here runs in docker under the same id, and what docker builds runs here."""
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nRUN echo someone:x:7:7::/:/bin/sh >> /etc/passwd && echo text > /file && chown 7 /file\n"
        'ENV A=b\nWORKDIR /place\nUSER someone\nENTRYPOINT ["sh", "-c"]\nCMD ["id -un; pwd; cat /file; echo $A"]\n'
    )
    expected = "someone\n/place\ntext\nb\n"
    made = sandbox("build", "-q", "-t", tag, str(tmp_path))
    assert made.returncode == 0, made.stderr
    docker("load", stdin=sandbox.printed("save", tag))
    assert docker("image", "inspect", "--format", "{{.Id}}", tag).decode() == made.stdout
    assert docker("run", "--rm", "--network", "none", tag).decode() == expected
    docker("rmi", "-f", tag)
    docker("build", "--network=host", "-t", tag, str(tmp_path))
    loaded = sandbox("load", stdin=docker("save", tag))
    assert loaded.returncode == 0, loaded.stderr
    assert sandbox("run", "--rm", "--network", "none", tag).stdout == expected


def test_docker_and_our_registry(docker: Docker, sandbox: Sandbox, tmp_path: Path, tag: str) -> None:
    """Login with a wrong and the right password, push, push elsewhere (a mount), pull; what we have built and pushed,
    docker pulls and runs, and the other way round.
    """
    (tmp_path / "accounts").write_text(entry("alice", "secret") + "\n")
    options = ("--htpasswd", str(tmp_path / "accounts"), "--anonymous-pull")
    with served(tmp_path / "registry", *options) as server:
        name = f"{server.address}/team/{tag}:v1"
        docker("tag", "busybox", name)
        assert b"denied" in docker.run("push", name).stderr
        wrong = docker.run("login", "-u", "alice", "--password-stdin", server.address, stdin=b"wrong")
        assert wrong.returncode != 0
        docker("login", "-u", "alice", "--password-stdin", server.address, stdin=b"secret")
        docker("push", name)
        docker("tag", name, f"{server.address}/other/{tag}:v1")
        assert b"Mounted from" in docker("push", f"{server.address}/other/{tag}:v1")
        docker("logout", server.address)
        docker("rmi", name)
        docker("pull", name)
        assert sandbox("run", "--rm", "--network", "none", name, "echo", "theirs").stdout == "theirs\n"
        ours = f"{server.address}/ours/{tag}:v1"
        (tmp_path / "Dockerfile").write_text("FROM busybox\nARG TARGETARCH\nLABEL a=$TARGETARCH\nCMD echo built here\n")
        login = sandbox(
            *("login", "-u", "alice", "--password-stdin", server.address),
            stdin="secret",
            DOCKER_CONFIG=str(tmp_path / "config"),
        )
        assert login.returncode == 0, login.stderr
        pushed = sandbox(
            *("build", "--push", "-t", ours, "--provenance=true", "--sbom=true", str(tmp_path)),
            DOCKER_CONFIG=str(tmp_path / "config"),
        )
        assert pushed.returncode == 0, pushed.stderr
        kind = request(server, "HEAD", f"/v2/ours/{tag}/manifests/v1", Accept=ANY)[1]["Content-Type"]
        assert kind == "application/vnd.oci.image.index.v1+json"
        assert docker("run", "--rm", "--network", "none", ours) == b"built here\n"
        sandbox("rmi", "-f", name, ours)
