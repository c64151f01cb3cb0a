"""Hostile contexts and stages of a build, and the host's canary."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hardening.conftest import Canary
    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root


def build(sandbox: Sandbox, tag: str, context: Path, text: str) -> str:
    """Build; all that was printed."""
    (context / "Dockerfile").write_text(text)
    done = sandbox("build", "--no-cache", "--progress", "plain", "-t", tag, str(context))
    return done.stdout + done.stderr


@pytest.mark.parametrize("way", ["absolute", "beneath"])
def test_a_bind_from_a_stage_by_a_link(sandbox: Sandbox, tag: str, tmp_path: Path, canary: Canary, way: str) -> None:
    """The source of `RUN --mount=type=bind,from=…` is a link to the host's files: they are neither read nor written
    (CVE-2024-1753).
    """
    target = str(canary.path) if way == "absolute" else canary.beneath
    context = tmp_path / "context"
    context.mkdir()
    text = f"""FROM busybox AS evil
RUN ln -s {target} /link && ln -s / /root-link && ln -s /link /again
FROM busybox
RUN --mount=type=bind,from=evil,source=/link,target=/mnt,rw cat /mnt/secret; echo evil > /mnt/secret; true
RUN --mount=type=bind,from=evil,source=/again,target=/mnt,rw cat /mnt/secret; echo evil > /mnt/new; true
"""
    assert "canary" not in build(sandbox, tag, context, text).replace(str(canary.path), "")


def test_a_bind_from_the_context_by_a_link(sandbox: Sandbox, tag: str, tmp_path: Path, canary: Canary) -> None:
    """The same with a link of the context (CVE-2024-1753, CVE-2024-9675 for caches)."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "link").symlink_to(canary.path)
    for mount in ("type=bind,source=link,target=/mnt,rw", "type=cache,id=../../../../..,target=/mnt"):
        text = f"FROM busybox\nRUN --mount={mount} cat /mnt/secret; echo evil > /mnt/new; true\n"
        assert "canary" not in build(sandbox, tag, context, text).replace(str(canary.path), "")


def test_an_archive_that_is_added(sandbox: Sandbox, tag: str, tmp_path: Path, canary: Canary) -> None:
    """`ADD` of an archive with links and `..`, over a stage with links: all stays in the image (CVE-2020-10696)."""
    context = tmp_path / "context"
    context.mkdir()
    with tarfile.open(context / "evil.tar", "w") as archive:
        for name, target in (("a", str(canary.path)), ("b", canary.beneath)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
            for path in (f"{name}/new", f"{name}/secret"):
                file = tarfile.TarInfo(path)
                file.size = 4
                archive.addfile(file, io.BytesIO(b"evil"))
    build(sandbox, tag, context, "FROM busybox\nADD evil.tar /\n")
    text = f"FROM busybox\nRUN ln -s {canary.path} /out\nADD evil.tar /out/\nCOPY evil.tar /out/secret\n"
    build(sandbox, tag, context, text)
