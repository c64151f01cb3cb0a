"""Hostile contexts and stages of a build, and the host's canary."""

from __future__ import annotations

import io
import tarfile
import threading
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


@pytest.mark.parametrize("mount", ["type=tmpfs,target=/stub/etc", "type=cache,target=/stub/etc"])
def test_places_of_mounts_are_cleared_away_inside(
    sandbox: Sandbox, tag: str, tmp_path: Path, canary: Canary, mount: str
) -> None:
    """A command puts a link to the host in the way of what the build has made to mount on, and takes away again: only
    the image's own is removed (CVE-2024-23652).
    """
    context = tmp_path / "context"
    context.mkdir()
    text = f"""FROM busybox
RUN --mount={mount} mv /stub /moved && ln -s {canary.path} /stub
RUN --mount={mount.replace("/stub", "/other")} mv /other /gone; ln -s {canary.beneath} /other; true
"""
    build(sandbox, tag, context, text)
    assert (canary.path / "etc/passwd").exists()


@pytest.mark.slow
def test_a_cache_that_is_swapped_meanwhile(sandbox: Sandbox, tag: str, tmp_path: Path, canary: Canary) -> None:
    """Of two builds with one cache the one makes of a directory in it a link to the host and back, while the other has
    that directory mounted (CVE-2024-23651, CVE-2024-11218).
    """
    context, other = tmp_path / "context", tmp_path / "other"
    context.mkdir()
    other.mkdir()
    turns = f"ln -s {canary.path} /c/l; mv /c/place /c/d; mv /c/l /c/place; rm /c/place; mv /c/d /c/place"
    cache = f"type=cache,id={tag},sharing=shared"
    # Not for ever, should nobody end it.
    going = "[ -e /c/go ] && [ $(date +%s) -lt $end ]"
    swap = f"end=$(($(date +%s) + 60)); while {going}; do {turns}; done"
    build(sandbox, tag, context, f"FROM busybox\nRUN --mount={cache},target=/c mkdir -p /c/place && touch /c/go\n")
    thread = threading.Thread(
        target=build, args=(sandbox, f"{tag}-2", other, f"FROM busybox\nRUN --mount={cache},target=/c {swap}\n")
    )
    thread.start()
    try:
        for number in range(6):
            read = f"RUN --mount={cache},source=place,target=/m cat /m/secret; echo {number} > /m/new; true\n"
            text = build(sandbox, tag, context, f"FROM busybox\n{read}")
            assert "canary" not in text.replace(str(canary.path), "")
    finally:
        build(sandbox, tag, context, f"FROM busybox\nRUN --mount={cache},target=/c rm /c/go\n")
        thread.join()
        sandbox("rmi", "-f", f"{tag}-2")


@pytest.mark.parametrize(
    "option",
    ["bind-propagation=shared", "propagation=rshared", "options=remount", "target=/m,target=/../..", "source=../.."],
)
def test_what_a_mount_is_not_asked(sandbox: Sandbox, tag: str, tmp_path: Path, canary: Canary, option: str) -> None:
    """A word of a mount that we do not know is an error, and no option of mount(2) (CVE-2024-9407)."""
    context = tmp_path / "context"
    context.mkdir()
    mount = f"type=bind,from=busybox,source=/,target=/m,{option}"
    text = build(sandbox, tag, context, f"FROM busybox\nRUN --mount={mount} ls {canary.path} /m/tmp/..{canary.path}\n")
    assert "secret" not in text
    assert "Traceback" not in text


def test_the_environment_of_the_builder(
    sandbox: Sandbox, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command sees what the image and the file say, nothing of the caller, nor of a command before
    (CVE-2021-3602, CVE-2020-14370).
    """
    monkeypatch.setenv("HAKO_CANARY", "canary")
    context = tmp_path / "context"
    context.mkdir()
    text = build(
        sandbox, tag, context, "FROM busybox\nRUN FIRST=leaked env; export FIRST=leaked\nRUN env; cat /proc/*/environ\n"
    )
    assert "PATH=" in text
    assert "canary" not in text
    assert "FIRST=leaked" not in text.partition("RUN env;")[2].partition("\n")[2]
