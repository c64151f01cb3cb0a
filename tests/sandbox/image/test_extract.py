"""Layers on disk: what an archive says is what the directory has, and what overlay will show of it."""

from __future__ import annotations

import io
import os
import random
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import InvalidError, LimitError
from sandbox.image import whiteout
from sandbox.image.limits import Limits
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.kernel.mounts import mount, overlay_options, umount
from sandbox.kernel.paths import Root
from tests.sandbox.image.archives import archive, diff_id, member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.image.digest import ChainID
    from sandbox.image.store import ImageStore

    Unpack = Callable[..., Path]

OPAQUE = whiteout.opaque_attribute(user_namespace=os.geteuid() != 0 or not in_initial_namespace())
SECONDS = 10**9


@pytest.fixture
def unpack(store: ImageStore) -> Unpack:
    """Unpack an archive (on top of the ChainID `parent`) and give the directory; its parent's name is the chain."""

    def unpacked(data: bytes, parent: ChainID | None = None, limits: Limits | None = None) -> Path:
        with store.lease() as lease:
            record = store.snapshots.unpack(io.BytesIO(data), parent, lease=lease, limits=limits)
        assert record.layer.diff_id == diff_id(data)
        unpacked.record = record  # type: ignore[attr-defined]
        return store.snapshots.path(record.layer.chain_id)

    return unpacked


def chain(unpack: Unpack) -> ChainID:
    """The ChainID of what was unpacked last."""
    return unpack.record.layer.chain_id  # type: ignore[attr-defined,no-any-return]


def names(path: Path) -> list[str]:
    """What a directory has."""
    return sorted(entry.name for entry in path.iterdir())


def is_whiteout(path: Path) -> bool:
    """Whether overlay takes this for a deleted name."""
    return whiteout.is_whiteout(path.lstat())


def is_opaque(path: Path) -> bool:
    """Whether overlay hides lower layers' files of this directory."""
    try:
        return os.getxattr(path, OPAQUE) == b"y"
    except OSError:
        return False


def test_modes_times_contents_and_links(unpack: Unpack) -> None:
    """Also of directories, whose times are those of the archive although files were put in later."""
    root = unpack(
        archive(
            member("./", "dir", mode=0o711, mtime=1),
            member("./d", "dir", mode=0o1777, mtime=2.5),
            member("./d/f", data=b"hello" * 1000, mode=0o4755, mtime=3.000000001, pax={"mtime": "3.000000001"}),
            member("./d/h", "link", target="./d/f"),
            member("./d/s", "symlink", target="/etc/passwd", mtime=4),
            member("./d/p", "fifo", mode=0o600),
            member("./none", "dir", mode=0),
        )
    )
    assert (stat.S_IMODE(root.stat().st_mode), root.stat().st_mtime) == (0o711, 1)
    assert (stat.S_IMODE((root / "d").stat().st_mode), (root / "d").stat().st_mtime) == (0o1777, 2.5)
    file = root / "d/f"
    assert file.read_bytes() == b"hello" * 1000
    assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_mtime_ns) == (0o4755, 3 * SECONDS + 1)
    assert file.stat().st_nlink == 2 and (root / "d/h").samefile(file)
    assert str((root / "d/s").readlink()) == "/etc/passwd" and (root / "d/s").lstat().st_mtime == 4
    assert stat.S_ISFIFO((root / "d/p").lstat().st_mode)
    assert stat.S_IMODE((root / "none").stat().st_mode) == 0


@pytest.mark.root
def test_owners_devices_and_capabilities(unpack: Unpack) -> None:
    """set-uid and file capabilities survive the chown that comes before them."""
    capability = (
        "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"  # cap_net_bind_service
    )
    root = unpack(
        archive(
            member("f", uid=1000, gid=1001, mode=0o6755, pax={"SCHILY.xattr.security.capability": capability}),
            member("c", "char", device=(1, 3), mode=0o666, uid=5),
            member("b", "block", device=(7, 300), mode=0o660),
            member("s", "symlink", target="x", uid=7, gid=8),
            member("d", "dir", uid=9, gid=9, mode=0o2775, pax={"SCHILY.xattr.user.k": "v"}),
        )
    )
    status = (root / "f").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1001, 0o6755)
    assert os.getxattr(root / "f", "security.capability") == capability.encode()
    device = (root / "c").lstat()
    assert stat.S_ISCHR(device.st_mode) and device.st_rdev == os.makedev(1, 3) and device.st_uid == 5
    assert stat.S_IMODE(device.st_mode) == 0o666
    assert stat.S_ISBLK((root / "b").lstat().st_mode) and (root / "b").lstat().st_rdev == os.makedev(7, 300)
    assert ((root / "s").lstat().st_uid, (root / "s").lstat().st_gid) == (7, 8)
    assert os.getxattr(root / "d", "user.k") == b"v"
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o2775


def test_attributes_that_are_not_kept(unpack: Unpack) -> None:
    """Overlay's own could redirect into other layers, the security modules' are the host's; one warning says so."""
    root = unpack(
        archive(
            member(
                "d",
                "dir",
                pax={
                    "SCHILY.xattr.trusted.overlay.redirect": "/etc",
                    "SCHILY.xattr.user.overlay.opaque": "y",
                    "SCHILY.xattr.security.selinux": "x",
                    "SCHILY.xattr.user.mine": "1",
                },
            )
        )
    )
    assert [name for name in os.listxattr(root / "d") if not name.startswith("security.")] == ["user.mine"]
    assert len(unpack.record.warnings) == 1  # type: ignore[attr-defined]


def test_sparse_files_stay_sparse(unpack: Unpack) -> None:
    """A terabyte of nothing takes no disk."""
    data = tarfile.TarInfo("s")
    data.size = 4096
    data.pax_headers = {"GNU.sparse.map": "1000000,4096", "GNU.sparse.size": str(1 << 38)}
    root = unpack(archive((data, b"x" * 4096)))
    status = (root / "s").stat()
    assert status.st_size == 1 << 38 and status.st_blocks * 512 < 1 << 20
    with (root / "s").open("rb") as stream:
        stream.seek(1_000_000 - 1)
        assert stream.read(4098) == b"\0" + b"x" * 4096 + b"\0"
    assert unpack.record.layer.size == 4096  # type: ignore[attr-defined]


def test_names_that_are_not_text(unpack: Unpack) -> None:
    """Bytes in, bytes out; a part of a name may have 255 of them."""
    names = ["\udcff\udcfe", "new\nline", "x" * 255, "-rf", "ü", "a" * 120 + "/" + "b" * 120 + "/c"]
    root = unpack(archive(*(member(name) for name in names)))
    for name in names:
        assert (root / name).is_file()


def test_missing_parents_are_made(unpack: Unpack) -> None:
    """Directories that the archive does not list are root's, 0755, however deep; they come with a fixed time."""
    deep = "/".join(["d"] * 1500)
    root = unpack(archive(member("a/b/f"), member(deep + "/f")))
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o755
    assert (root / "a/b").stat().st_mtime == 0
    descriptor = os.open(root, os.O_PATH)
    for _ in range(1500):
        inner = os.open("d", os.O_PATH, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    assert os.stat("f", dir_fd=descriptor)
    os.close(descriptor)
    with Root(root) as opened:
        opened.remove_tree("d")  # too deep for shutil.rmtree, by which pytest would clean up


def test_a_later_entry_counts(unpack: Unpack) -> None:
    """Files, links and directories under one name replace each other; two directories are one."""
    root = unpack(
        archive(
            member("f", data=b"1"),
            member("f", data=b"22"),
            member("d", "dir", mode=0o700),
            member("d/kept"),
            member("d", "dir", mode=0o755),
            member("x", "dir"),
            member("x/gone/deep"),
            member("x", "symlink", target="d"),
            member("y", "symlink", target="d"),
            member("y", "dir"),
            member("y/here"),
            member("z"),
            member("z", "dir"),
            member("h", "link", target="f"),
            member("h", "link", target="f"),
            member("h", "link", target="h"),
            member("p", "fifo"),
            member("p", "fifo"),
        )
    )
    assert (root / "f").read_bytes() == b"22"
    assert (root / "d/kept").exists() and stat.S_IMODE((root / "d").stat().st_mode) == 0o755
    assert (root / "x").is_symlink()
    assert (root / "y/here").exists() and not (root / "y").is_symlink() and not (root / "d/here").exists()
    assert (root / "z").is_dir()
    assert (root / "h").samefile(root / "f") and (root / "f").stat().st_nlink == 2


def test_replaced_directories_do_not_leave_their_descriptors_in_use(unpack: Unpack) -> None:
    """A directory that was used as a parent, replaced and used again is the new one."""
    root = unpack(
        archive(
            member("a/one"),
            member("b/two"),
            member("l", "symlink", target="a"),
            member("l/through-a"),
            member("l", "symlink", target="b"),
            member("l/through-b"),
            member("a"),
            member("a", "dir"),
            member("a/three"),
        )
    )
    assert names(root / "a") == ["three"]
    assert names(root / "b") == ["through-b", "two"]


def test_whiteouts_take_overlays_form(unpack: Unpack) -> None:
    """A deleted name is the device 0:0, an emptied directory has the attribute; what a layer itself has stays."""
    unpack(archive(member("a"), member("d/x"), member("e/x"), member("g/x")))
    base = chain(unpack)
    root = unpack(
        archive(
            member(".wh.a"),
            member("d/new"),
            member("d/.wh..wh..opq"),
            member("e", "dir"),
            member(".wh.e"),
            member("own"),
            member(".wh.own"),
            member("deep/er/.wh.x"),
            member(".wh.g"),
            member("g", "dir"),
            member("g/y"),
            member(".wh..wh.plnk/x"),
            member(".wh..wh.aufs"),
        ),
        base,
    )
    assert is_whiteout(root / "a")
    assert is_opaque(root / "d") and (root / "d/new").is_file()
    assert (root / "e").is_dir() and is_opaque(root / "e")
    assert (root / "own").is_file()
    assert is_whiteout(root / "deep/er/x")
    assert is_opaque(root / "g") and (root / "g/y").is_file()
    assert not any(name.startswith(".wh.") for _, directories, files in os.walk(root) for name in directories + files)


def test_the_lowest_layer_needs_no_whiteouts(unpack: Unpack) -> None:
    """There is nothing to hide."""
    root = unpack(archive(member(".wh.a"), member("d/.wh..wh..opq"), member("d/f")))
    assert names(root) == ["d"] and not is_opaque(root / "d")


def test_what_lower_layers_say_of_unlisted_directories(unpack: Unpack) -> None:
    """Putting a file into /tmp must not make it 0755; a directory hidden on the way there says nothing."""
    unpack(
        archive(
            member("tmp", "dir", mode=0o1777, mtime=7, pax={"SCHILY.xattr.user.a": "1"}), member("o", "dir", mode=0o700)
        )
    )
    first = chain(unpack)
    unpack(archive(member(".wh.o")), first)
    root = unpack(archive(member("tmp/f"), member("o/f")), chain(unpack))
    status = (root / "tmp").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o1777, 7)
    assert os.getxattr(root / "tmp", "user.a") == b"1"
    assert stat.S_IMODE((root / "o").stat().st_mode) == 0o755


def test_hard_links_to_lower_layers(unpack: Unpack) -> None:
    """The file is copied up, as overlay does it: both names are then one file in this layer."""
    unpack(archive(member("bin/tool", data=b"tool", mode=0o755, mtime=9)))
    root = unpack(archive(member("bin/alias", "link", target="bin/tool")), chain(unpack))
    assert (root / "bin/alias").samefile(root / "bin/tool")
    assert (root / "bin/alias").read_bytes() == b"tool"
    status = (root / "bin/tool").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o755, 9)


def test_links_into_directories_stay_inside(unpack: Unpack) -> None:
    """An entry below a link lands where the link leads inside the layer, absolute ones included."""
    root = unpack(
        archive(
            member("real/dir", "dir"),
            member("abs", "symlink", target="/real"),
            member("up", "symlink", target="../../../real"),
            member("abs/dir/one"),
            member("up/dir/two"),
        )
    )
    assert names(root / "real/dir") == ["one", "two"]


REFUSED = {
    "dot dot": [member("../x")],
    "dot dot inside": [member("a/../x")],
    "dot dot at the end": [member("a/..", "dir")],
    "root is a file": [member("./")],
    "root is a link": [member(".", "symlink", target="/etc")],
    "root is a link, slash": [member("/", "symlink", target="/etc")],
    "name too long": [member("x" * 256)],
    "file as directory": [member("f"), member("f/x")],
    "dangling link as directory": [member("l", "symlink", target="nowhere"), member("l/x")],
    "link loop as directory": [member("l", "symlink", target="l"), member("l/x")],
    "hard link to nothing": [member("h", "link", target="nothing")],
    "hard link to itself missing, elsewhere": [member("h", "link", target="d/h")],
    "hard link to a directory": [member("d", "dir"), member("h", "link", target="d")],
    "hard link to the root": [member("h", "link", target=".")],
    "hard link out": [member("h", "link", target="../../etc/passwd")],
    "hard link to a whiteout's name": [member("h", "link", target="d/.wh.x")],
    "whiteout of nothing": [member(".wh.")],
    "whiteout of dot": [member(".wh..")],
    "whiteout of dot dot": [member("d/.wh...")],
    "below a whiteout": [member(".wh.d/x")],
    "overlay's own device": [member("c", "char", device=(0, 0))],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(store: ImageStore, unpack: Unpack, name: str) -> None:
    """One clear line, and nothing is left of the layer."""
    with pytest.raises(InvalidError) as caught:
        unpack(archive(*REFUSED[name]))
    assert caught.value.message.startswith("archive entry") and caught.value.message.isprintable()
    assert store.snapshots.list() == ()
    assert names(store.home / "tmp") == []


def test_a_hard_link_to_something_deleted_in_this_layer_is_refused(unpack: Unpack) -> None:
    """A link to a whiteout would be a second whiteout."""
    unpack(archive(member("a")))
    with pytest.raises(InvalidError, match="hard link"):
        unpack(archive(member(".wh.a"), member("h", "link", target="a")), chain(unpack))


def test_a_wrong_digest_is_refused(store: ImageStore) -> None:
    """A layer that is not what was promised never gets a name."""
    with store.lease() as lease, pytest.raises(InvalidError, match="digest"):
        store.snapshots.unpack(io.BytesIO(archive(member("a"))), lease=lease, expected=diff_id(b""))  # type: ignore[arg-type]
    assert store.snapshots.list() == ()


def test_implied_directories_count(unpack: Unpack) -> None:
    """A small archive must not make millions of directories."""
    with pytest.raises(LimitError, match="directories"):
        unpack(archive(*(member(f"{index}/" + "d/" * 90 + "f") for index in range(12))), limits=Limits(entries=1000))


@pytest.mark.root
def test_overlay_shows_what_the_layers_say(unpack: Unpack, store: ImageStore, tmp_path: Path) -> None:
    """Three layers mounted: deletions, replacements and merges are what another engine would show."""
    unpack(
        archive(
            member("etc/a", data=b"1"), member("etc/b", data=b"1"), member("opt/x/y"), member("f"), member("gone/z")
        )
    )
    first = chain(unpack)
    unpack(
        archive(
            member("etc/.wh.a"),
            member("opt/.wh..wh..opq"),
            member("opt/n"),
            member("f", "dir"),
            member("f/x"),
            member(".wh.gone"),
        ),
        first,
    )
    second = chain(unpack)
    unpack(archive(member("etc/a", data=b"3"), member("gone", "dir"), member("gone/new")), second)
    lowers = [store.snapshots.path(one) for one in store.snapshots.ancestry(chain(unpack))]
    upper, work, target = (tmp_path / name for name in ("upper", "work", "target"))
    for folder in (upper, work, target):
        folder.mkdir()
    mount(
        "overlay",
        str(target),
        "overlay",
        0,
        overlay_options(list(map(str, lowers)), str(upper), str(work), userxattr=False),
    )
    try:
        found = sorted(str(path.relative_to(target)) for path in target.rglob("*"))
        assert found == ["etc", "etc/a", "etc/b", "f", "f/x", "gone", "gone/new", "opt", "opt/n"]
        assert (target / "etc/a").read_bytes() == b"3"
    finally:
        umount(str(target))


@pytest.mark.root
@pytest.mark.parametrize("seed", range(3))
def test_a_tree_is_the_same_as_gnu_tars(unpack: Unpack, tmp_path: Path, seed: int) -> None:
    """A random tree, packed by GNU tar, unpacked by both."""
    random.seed(seed)
    source = tmp_path / "source"
    source.mkdir()
    folders = [source]
    for index in range(150):
        path = random.choice(folders) / f"{index}-{'n' * random.randint(0, 120)}"  # noqa: S311
        kind = random.random()  # noqa: S311
        if kind < 0.25:
            path.mkdir()
            folders.append(path)
        elif kind < 0.4:
            path.symlink_to("../" * random.randint(0, 5) + "x")  # noqa: S311
        # No link is looked through: in a sticky directory the kernel may refuse that (fs.protected_symlinks).
        elif kind < 0.5 and (files := [one for one in source.rglob("*") if not one.is_symlink() and one.is_file()]):
            path.hardlink_to(random.choice(files))  # noqa: S311
        else:
            path.write_bytes(random.randbytes(random.randint(0, 3000)))  # noqa: S311
            os.setxattr(path, "user.n", b"%d" % index)
        os.chown(path, random.randint(0, 70000), 5, follow_symlinks=False)  # noqa: S311
        if not path.is_symlink():
            path.chmod(random.choice((0o644, 0o4755, 0o1777, 0o600)))  # noqa: S311
    data = subprocess.run(
        ["tar", "--xattrs", "--format=pax", "-C", source, "-c", "."], capture_output=True, check=True
    ).stdout
    expected = tmp_path / "expected"
    expected.mkdir()
    subprocess.run(["tar", "--xattrs", "-C", expected, "-xp"], input=data, check=True)
    assert listing(unpack(data)) == listing(expected)


def listing(root: Path) -> str:
    """All of a tree that a person could see, and more."""
    form = r"%P|%y|%m|%U:%G|%n|%T@|%l\n"
    text = subprocess.run(["find", root, "-printf", form], capture_output=True, text=True, check=True).stdout
    contents = subprocess.run(
        ["sh", "-c", "find . -type f -exec sha256sum {} + ; getfattr -R -d -m - . 2>/dev/null || true"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return "\n".join([*sorted(text.splitlines()), *sorted(contents.splitlines())])
