"""Builds of somebody who is not root: from git, with an agent, a cache and a list of packages; to a registry."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.builder.remote_server import repository, serving
from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges
from tests.sandbox.registry.server.running import served
from tests.sandbox.runtime.person import Person, person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
TEXT = """\
FROM busybox AS filled
RUN mkdir /d && echo filled > /d/f
FROM busybox
COPY . /src/
RUN --mount=type=cache,target=/c,from=filled,source=/d --mount=type=ssh --mount=type=secret,id=s \
    cat /c/f /run/secrets/s && test -S $SSH_AUTH_SOCK && id -u
"""


@pytest.fixture(params=[account_with_ranges, account_without_ranges], ids=["range", "single"])
def somebody(request: pytest.FixtureRequest) -> Iterator[Person]:
    """An ordinary user."""
    with person(request.param()) as found:
        yield found


def test_a_build(somebody: Person, tmp_path: Path) -> None:
    """The same as root's: the context is a repository, the agent of a key of theirs, the layout is written; the image
    and what the build remembers go to a registry.
    """
    assert somebody.sandbox("bootstrap", "busybox").returncode == 0
    key = somebody.home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (somebody.home / "secret").write_text("hidden\n")
    for path in (key, somebody.home / "secret"):
        os.chown(path, *somebody.account)
    repository(tmp_path / "root" / "r", {"Dockerfile": TEXT})
    with serving(tmp_path / "root") as server:
        made = somebody.sandbox(
            "build", "--ssh", f"default={key}", "--secret", f"id=s,src={somebody.home / 'secret'}", "--sbom=true",
            "-o", f"type=oci,tar=false,dest={somebody.home / 'layout'}", f"{server.address}/r.git",
        )  # fmt: skip
    assert made.returncode == 0, made.stderr
    printed = re.findall(r"^#\d+ \d+\.\d{3} (.*)$", made.stderr, re.MULTILINE)
    assert printed == ["filled", "hidden", "0"]
    (top,) = json.loads((somebody.home / "layout" / "index.json").read_text())["manifests"]
    assert top["mediaType"] == "application/vnd.oci.image.index.v1+json"
    with served(tmp_path / "registry") as registry:
        name = f"{registry.address}/theirs"
        (somebody.home / "Dockerfile").write_text("FROM busybox\nRUN id -u > /id\n")
        os.chown(somebody.home / "Dockerfile", *somebody.account)
        words = ("--push", "-t", f"{name}:1", "--cache-to", f"type=registry,ref={name}:cache", str(somebody.home))
        pushed = somebody.sandbox("build", *words)
        assert pushed.returncode == 0, pushed.stderr
        assert somebody.sandbox("rmi", "-f", f"{name}:1").returncode == 0
        assert somebody.sandbox("builder", "prune").returncode == 0
        again = somebody.sandbox("build", "--cache-from", f"{name}:cache", str(somebody.home))
        assert again.stderr.count("CACHED") == 1, again.stderr
        shown = somebody.sandbox("run", "--rm", "--network", "none", f"{name}:1", "cat", "/id")
        assert shown.stdout == "0\n", shown.stderr
    assert somebody.sandbox("system", "reset", "--force").returncode == 0
