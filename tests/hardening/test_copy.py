"""Attacks on `cp` by the container that is copied from or to: CVE-2018-15664, CVE-2019-14271 and their kin."""

from __future__ import annotations

import functools
import io
import os
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.kernel.paths import Root
from sandbox.runtime import packing, unpacking
from sandbox.runtime.spec import ContainerSpec

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine

pytestmark = pytest.mark.root
# Exchanges a directory and a link to the root as fast as it can.
SWAP = (
    "mkdir -p /stash /safe/x; echo mine > /safe/x/file; cd /;"
    "while :; do mv /safe /stash/d; ln -s / /safe; rm /safe; mv /stash/d /safe; done"
)


def start(engine: Engine, script: str) -> str:
    """A container that runs a script."""
    identifier = engine.create(ContainerSpec(image="busybox", network="none", command=("sh", "-c", script)))
    engine.start(identifier)
    return identifier


@pytest.mark.slow
def test_a_path_that_is_swapped_meanwhile(engine: Engine, tmp_path: Path) -> None:
    """CVE-2018-15664: a directory that becomes a link to / during the copy leads to the container's root, at worst."""
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    identifier = start(engine, SWAP)
    inner = str(canary).lstrip("/")
    deadline = time.monotonic() + 4
    attempts = 0
    with engine.files(identifier) as files:
        while time.monotonic() < deadline:
            attempts += 1
            archive = bytearray()
            try:
                files.pack(f"/safe/{inner}", "x", follow=True, take=functools.partial(_drain, archive))
            except SandboxError:
                archive.clear()
            assert b"untouched" not in archive
            try:
                files.unpack(
                    f"/safe/{Path(inner).parent}", owners=True, give=lambda fd: os.write(fd, _archive("canary"))
                )
            except SandboxError:
                continue
    assert attempts > 20
    assert canary.read_text() == "untouched"


def _drain(out: bytearray, descriptor: int) -> None:
    while data := os.read(descriptor, 65536):
        out += data


def _archive(name: str, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        entry.size = 6 if kind == tarfile.REGTYPE else 0
        archive.addfile(entry, io.BytesIO(b"hacked"))
    return buffer.getvalue()


def test_links_in_the_container_stay_in_it(engine: Engine, tmp_path: Path) -> None:
    """Absolute links and chains of `..`, in the way and at the end, for reading and for writing."""
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    identifier = start(engine, f"ln -s / /root-link; ln -s ../../../../../../.. /up; ln -s {canary} /direct; sleep 100")
    with engine.files(identifier) as files:
        deadline = time.monotonic() + 5
        while files.look("/direct", follow=False).kind == "missing" and time.monotonic() < deadline:
            time.sleep(0.01)
        for path in (
            f"/root-link{canary}",
            f"/up{canary}",
            "/direct",
            f"/proc/1/root{canary}",
            f"/proc/self/root{canary}",
        ):
            found = None
            with pytest.raises((SandboxError, OSError)):
                found = files.look(path, follow=True)
                raise SandboxError(found.kind)
            assert found is None or found.kind == "missing"
            with pytest.raises((SandboxError, OSError)):
                files.unpack(str(Path(path).parent), owners=True, give=lambda fd: os.write(fd, _archive("canary")))
                raise SandboxError("it has a directory of that name itself")
    assert canary.read_text() == "untouched"


def test_no_library_of_the_image_is_loaded(engine: Engine) -> None:
    """CVE-2019-14271: the process that copies has nothing of the container's mapped, and imports nothing any more."""
    identifier = start(
        engine,
        "mkdir -p /lib/x86_64-linux-gnu; echo bad > /lib/x86_64-linux-gnu/libnss_files.so.2; sleep 100",
    )
    with engine.files(identifier) as files:
        files.look("/", follow=False)
        files.unpack("/tmp", owners=True, give=lambda fd: os.write(fd, _archive("x")))
        files.pack("/etc", "etc", follow=False, take=functools.partial(_drain, bytearray()))
        pid = files.pid
        proc = Path(f"/proc/{pid}")
        root = (proc / "root").stat().st_dev
        lines = [line.split() for line in (proc / "maps").read_text().splitlines()]
        assert f"{os.major(root):02x}:{os.minor(root):02x}" not in {line[3] for line in lines if line[4] != "0"}
        user = Path(f"/proc/{engine.state(identifier).pid}/ns/user").readlink()
        assert (proc / "ns/user").readlink() == user
        links = [str(link.readlink()) for link in (proc / "fd").iterdir()]
        assert links
        assert all(link.startswith("socket:") or link in ("/dev/null", "/") for link in links), links


@pytest.mark.parametrize(
    ("entries"),
    [
        [("../out", tarfile.REGTYPE, "")],
        [("a/../../out", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, ".."), ("link/out", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, "/"), ("link/out", tarfile.REGTYPE, "")],
        [("hard", tarfile.LNKTYPE, "../canary")],
        [("link", tarfile.SYMTYPE, ".."), ("hard", tarfile.LNKTYPE, "link/canary")],
        [("there/out", tarfile.REGTYPE, "")],  # a link that was there before
        [("there", tarfile.DIRTYPE, ""), ("there/out", tarfile.REGTYPE, "")],
    ],
)
def test_what_comes_out_of_a_container_stays_in_its_place(
    tmp_path: Path, entries: list[tuple[str, bytes, str]]
) -> None:
    """An archive cannot leave the directory that it is unpacked in, by no name and no link (CVE-2019-3844's kin)."""
    (tmp_path / "canary").write_text("untouched")
    place = tmp_path / "place"
    place.mkdir()
    (place / "there").symlink_to("..")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry, io.BytesIO(b""))
    buffer.seek(0)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises((SandboxError, OSError)):
            unpacking.unpack(buffer, descriptor, owners=False, set_id=False)
    finally:
        os.close(descriptor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["canary", "place"]
    assert (tmp_path / "canary").stat().st_nlink == 1


def test_devices_and_bits_do_not_reach_the_host(tmp_path: Path) -> None:
    """Device nodes are left out, and nothing becomes set-user-id."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("disk", tarfile.BLKTYPE), ("mem", tarfile.CHRTYPE), ("su", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.devmajor, entry.devminor = kind, 0o6755, 8, 1
            archive.addfile(entry, io.BytesIO(b""))
    buffer.seek(0)
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    unpacking.unpack(buffer, descriptor, owners=False, set_id=False)
    os.close(descriptor)
    assert [path.name for path in tmp_path.iterdir()] == ["su"]
    assert (tmp_path / "su").stat().st_mode & 0o7000 == 0


def test_a_fifo_does_not_hold_the_copy_up(tmp_path: Path) -> None:
    """A fifo or a device in place of a file is not opened."""
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    out = bytearray()
    with Root(tmp_path) as root:
        packing.pack(root, "/", "x", out.extend, follow=False)
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        assert [(entry.name, entry.isreg()) for entry in archive] == [
            ("x", False),
            ("x/fifo", False),
            ("x/zero", False),
        ]
