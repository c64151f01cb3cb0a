"""Trees of files as archives, and back: what a container changed, packed as a layer, unpacked and packed again."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.image import whiteout
from sandbox.image.tarwriter import TarWriter
from sandbox.image.tree import Tree
from sandbox.image.unpack import in_user_namespace
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from sandbox.image.store import ImageStore

OPAQUE = whiteout.opaque_attribute(user_namespace=in_user_namespace())
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, revision 2
TIME = 1_700_000_000_123_456_789
LONG = "n" * 255


def packed(tree: Tree) -> bytes:
    """The archive of a tree."""
    stream = io.BytesIO()
    writer = TarWriter(stream.write)
    for entry, data in tree:
        writer.add(entry, data())
    writer.close()
    return stream.getvalue()


def names(data: bytes) -> list[str]:
    """What is in an archive, by the standard library."""
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        return tar.getnames()


def make_upper(upper: Path, *, devices: bool) -> None:
    """A directory with everything that a layer can have."""
    deep = upper / "deep" / LONG / LONG
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"deep")
    folder = os.fsencode(upper)
    Path(os.fsdecode(folder + b"/\xff\xfe")).write_bytes(b"not UTF-8")
    (upper / "größe").write_text("UTF-8")
    (upper / "one").write_bytes(b"x" * 100_000)
    (upper / "other").hardlink_to(upper / "one")
    (upper / "deep" / "third").hardlink_to(upper / "one")
    (upper / "link").symlink_to("/etc/../nowhere")
    (upper / "empty").touch()
    os.mkfifo(upper / "fifo", 0o640)
    with (upper / "sparse").open("wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"in the middle")
    with (upper / "hole").open("wb") as file:  # and nothing else
        file.truncate(50 << 20)
    (upper / "set-uid").touch()
    (upper / "set-uid").chmod(0o4711)
    (upper / "sticky").mkdir()
    (upper / "sticky").chmod(0o1777)
    os.setxattr(upper / "one", "user.note", b"\0\xff\n")
    os.setxattr(upper / "sticky", "user.folder", b"yes")
    if devices:
        os.mknod(upper / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(upper / "loop", stat.S_IFBLK | 0o660, os.makedev(7, 0))
        (upper / "owned").touch()
        os.chown(upper / "owned", 123_456, 54_321)
        os.setxattr(upper / "set-uid", "security.capability", CAPABILITY)
    (upper / "old").touch()
    os.utime(upper / "old", ns=(-1_500_000_000, -1_500_000_000))
    for path in (upper / "one", upper / "sticky", upper / "empty"):
        os.utime(path, ns=(TIME, TIME))
    os.utime(upper / "link", ns=(TIME, TIME), follow_symlinks=False)


def described(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything about each file below a directory."""
    found: dict[bytes, tuple[object, ...]] = {}
    inodes: dict[int, bytes] = {}
    for folder, folders, files in sorted(os.walk(os.fsencode(root))):
        for name in sorted([*folders, *files]):
            path = folder + b"/" + name
            status = os.lstat(path)
            contents: object = b""
            if stat.S_ISREG(status.st_mode):
                contents = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                contents = Path(os.fsdecode(path)).readlink()
            xattrs = {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            }
            first = inodes.setdefault(status.st_ino, path)
            found[os.path.relpath(path, os.fsencode(root))] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns, contents),
                sorted(xattrs.items()),
                os.path.relpath(first, os.fsencode(root)),
            )
    return found


def test_everything_survives_both_ways(store: ImageStore, tmp_path: Path) -> None:
    """Upper directory, layer, files, and the layer's archive again: names of any kind, links, devices, owners, modes,
    attributes, holes and nanoseconds stay; packing what was unpacked gives the same digest.
    """
    upper = tmp_path / "upper"
    upper.mkdir()
    make_upper(upper, devices=os.geteuid() == 0)
    with store.lease() as lease:
        record = store.snapshots.pack(Tree([upper], OPAQUE, whiteouts=True), lease=lease)
        assert record.warnings == ()
        layer = store.snapshots.path(record.layer.chain_id)
        assert described(layer) == described(upper)
        assert (layer / "sparse").stat().st_blocks < 1000
        assert (layer / "hole").stat().st_blocks == 0
        data = b"".join(store.snapshots.archive(record.layer.chain_id))
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == record.layer.diff_id
        assert len(data) == record.layer.tar_size < 2 << 20
        assert packed(Tree([layer], OPAQUE, whiteouts=True)) == data
    store.reclaim()
    with store.lease() as lease:
        again = store.snapshots.unpack(io.BytesIO(data), lease=lease, expected=record.layer.diff_id)
        assert described(store.snapshots.path(again.layer.chain_id)) == described(upper)


def test_a_directory_that_becomes_a_layer(store: ImageStore, tmp_path: Path) -> None:
    """Moved, not copied: the same digest and files as a copy, its archive can be written, what was to go is gone."""
    upper = tmp_path / "upper"
    upper.mkdir()
    make_upper(upper, devices=os.geteuid() == 0)
    with store.lease() as lease:
        copied = store.snapshots.pack(Tree([upper], OPAQUE, whiteouts=True), lease=lease)
        expected = described(upper)
    store.reclaim()
    (upper / "proc").mkdir()
    (upper / "etc").mkdir()
    (upper / "etc" / "hosts").touch()
    with store.lease() as lease:
        adopted = store.snapshots.adopt(upper, lease=lease, leave_out=(b"proc", b"etc", b"dev", b"etc/hosts"))
        assert adopted == copied and not upper.exists()
        assert described(store.snapshots.path(adopted.layer.chain_id)) == expected
        data = b"".join(store.snapshots.archive(adopted.layer.chain_id))
        assert len(data) == adopted.layer.tar_size
    assert list((store.home / "tmp").iterdir()) == []


def test_other_programs_read_our_layers(tmp_path: Path) -> None:
    """GNU tar and Python find the same in it."""
    upper, out = tmp_path / "upper", tmp_path / "out"
    upper.mkdir()
    out.mkdir()
    make_upper(upper, devices=os.geteuid() == 0)
    data = packed(Tree([upper], OPAQUE, whiteouts=True))
    line = ["tar", "-xp", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", str(out)]
    subprocess.run(line, input=data, check=True, env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]})
    mine, theirs = described(upper), described(out)
    assert mine == theirs
    assert {os.fsencode(name) for name in names(data)} == set(mine)


def test_whiteouts_and_opaque_directories(store: ImageStore, tmp_path: Path) -> None:
    """Overlay's signs become `.wh.` entries, and those the signs again."""
    with store.lease() as lease:
        base = store.snapshots.unpack(
            io.BytesIO(archive(member("gone"), member("d", "dir"), member("d/below"), member("e", "dir"))), lease=lease
        )
        parent = base.layer.chain_id
        upper = tmp_path / "upper"
        (upper / "d").mkdir(parents=True)
        os.mknod(upper / "gone", stat.S_IFCHR, 0)
        os.mknod(upper / "e", stat.S_IFCHR, 0)
        os.setxattr(upper / "d", OPAQUE, b"y")
        (upper / "d" / "new").touch()
        tree = Tree([upper], OPAQUE, whiteouts=True)
        assert names(packed(tree)) == [".wh.e", ".wh.gone", "d", "d/.wh..wh..opq", "d/new"]
        record = store.snapshots.pack(tree, parent, lease=lease)
        layer = store.snapshots.path(record.layer.chain_id)
        assert os.getxattr(layer / "d", OPAQUE) == b"y"
        assert whiteout.is_whiteout((layer / "gone").lstat()) and whiteout.is_whiteout((layer / "e").lstat())
        merged = Tree([layer, store.snapshots.path(parent)], OPAQUE)
        assert names(packed(merged)) == ["d", "d/new"]


def test_a_file_that_looks_like_a_whiteout(store: ImageStore, tmp_path: Path) -> None:
    """A container cannot delete files of its image in others' eyes by a name; said as a warning."""
    upper = tmp_path / "upper"
    upper.mkdir()
    for name in (".wh.bin", ".wh.", ".wh..wh..opq", "kept"):
        (upper / name).touch()
    (upper / ".wh.folder").mkdir()
    assert names(packed(Tree([upper], OPAQUE))) == [".wh.", ".wh..wh..opq", ".wh.bin", "kept", ".wh.folder"]
    with store.lease() as lease:
        record = store.snapshots.pack(Tree([upper], OPAQUE, whiteouts=True), lease=lease)
    assert record.entries == 1 and "begin with .wh." in record.warnings[0]


def test_several_layers_as_one(tmp_path: Path) -> None:
    """As overlay shows them: the upper one's file, directories of all, nothing below what is no directory."""
    for name in ("1", "2", "3"):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "d" / name).write_text(name)
        (tmp_path / name / "same").write_text(name)
    (tmp_path / "3" / "x").mkdir()
    (tmp_path / "3" / "x" / "hidden").touch()
    (tmp_path / "2" / "x").write_text("a file")
    (tmp_path / "1" / "x").mkdir()
    layers = [tmp_path / name for name in ("1", "2", "3")]
    data = packed(Tree(layers, OPAQUE, leave_out={b"d/2"}))
    assert names(data) == ["same", "d", "d/1", "d/3", "x"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        same = tar.extractfile("same")
        assert same is not None and same.read() == b"1"


def test_sockets_are_left_out(tmp_path: Path) -> None:
    """They are nothing without their process."""
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path, os.O_PATH)
        server.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        assert names(packed(Tree([tmp_path], OPAQUE))) == []


CHANGING = """
import os, sys
while True:
    for number in range(50):
        path = f"{sys.argv[1]}/d{number % 5}/{number}"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            choice = os.urandom(1)[0] % 5
            if choice == 0: open(path, "wb").write(os.urandom(300_000))
            elif choice == 1: os.unlink(path)
            elif choice == 2: os.symlink("/etc/shadow", path)
            elif choice == 3: os.rename(os.path.dirname(path), f"{sys.argv[1]}/r{number % 3}")
            else: os.symlink("/etc", os.path.dirname(path) + "x"); os.rename(os.path.dirname(path) + "x", path)
        except OSError: pass
"""


@pytest.mark.slow
def test_a_tree_that_changes_meanwhile(store: ImageStore, tmp_path: Path) -> None:
    """Whatever a container swaps while it is packed: a sound layer comes out, with nothing of the host in it."""
    upper = tmp_path / "upper"
    upper.mkdir()
    changing = subprocess.Popen([sys.executable, "-c", CHANGING, str(upper)])
    try:
        for _ in range(40):
            with store.lease() as lease:
                record = store.snapshots.pack(Tree([upper], OPAQUE, whiteouts=True), lease=lease)
                data = b"".join(store.snapshots.archive(record.layer.chain_id))
                assert b"root:" not in data
                assert not any(name.endswith("shadow") for name in names(data))
            store.reclaim()
    finally:
        changing.kill()
        changing.wait()
