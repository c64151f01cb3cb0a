"""Hostile layers: whatever an archive tries, nothing outside its own directory changes.

Each attack unpacks one or more layers over each other. It may be refused or it may be harmless; the canary beside the
store, a directory like the host's with a file in it, is the same afterwards: contents, modes, owners, link count and
change time. The attacks are those known of docker, containerd, buildah, umoci and of Python's tarfile.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sandbox.errors import InvalidError, LimitError, SandboxError
from sandbox.image.limits import Limits
from sandbox.image.store import ImageStore
from sandbox.kernel.idmap import become_root
from sandbox.kernel.process import set_dumpable
from tests.sandbox.image.archives import archive, member

if TYPE_CHECKING:
    from collections.abc import Callable
    from tarfile import TarInfo

    from sandbox.image.digest import ChainID

    Members = list[tuple[TarInfo, bytes]]

UP = "../" * 20


class Host(NamedTuple):
    """The canary's directory; attacks aim at it by absolute path and by `..`."""

    path: Path

    @property
    def canary(self) -> str:
        """The file's absolute path."""
        return str(self.path / "canary")

    @property
    def beneath(self) -> str:
        """The directory by `..`, from wherever one starts."""
        return UP + str(self.path).lstrip("/")

    def state(self) -> list[object]:
        """All that an attack could change."""
        found: list[object] = []
        for path in [self.path, *sorted(self.path.rglob("*"))]:
            status = path.lstat()
            contents = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            numbers = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_ino)
            times = (status.st_mtime_ns, status.st_ctime_ns)
            found.append((str(path), numbers, times, contents, tuple(os.listxattr(path))))
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A directory with a file, a set-uid program and a directory in it."""
    path = tmp_path / "host"
    path.mkdir()
    (path / "canary").write_text("canary")
    (path / "program").write_text("#!/bin/sh\n")
    (path / "program").chmod(0o755)
    (path / "folder").mkdir()
    (path / "folder/inner").write_text("inner")
    return Host(path)


def unpack(home: Path, *layers: bytes, limits: Limits | None = None) -> Path:
    """Unpack layers over each other; the topmost one's directory."""
    store = ImageStore(home)
    parent: ChainID | None = None
    with store.lease() as lease:
        for layer in layers:
            parent = store.snapshots.unpack(io.BytesIO(layer), parent, lease=lease, limits=limits).layer.chain_id
    assert parent is not None
    return store.snapshots.path(parent)


def deep_realpath(host: Host) -> Members:
    """CVE-2025-4517: a path short by its links and longer than PATH_MAX without them, so that realpath gives up."""
    members: Members = []
    component = "d" * 240
    path = ""
    for letter in "abcdefghijklmnop":
        members.append(member(path + component, "dir"))
        members.append(member(path + letter, "symlink", target=component))
        path += component + "/"
    link = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    members.append(member(link, "symlink", target="../" * 16))
    members.append(member("escape", "symlink", target=link + "/" + host.beneath))
    members.append(member("h", "link", target="escape/canary"))
    members.append(member("h", data=b"evil"))
    members.append(member("escape/new", data=b"evil"))
    return members


# One layer each; "over" two layers.
ATTACKS: dict[str, Callable[[Host], list[Members]]] = {
    "dot dot": lambda host: [[member(host.beneath + "/new", data=b"evil")]],
    "dot dot after a directory": lambda host: [
        [member("d", "dir"), member("d/" + host.beneath + "/canary", data=b"evil")]
    ],
    "dot dot as a directory": lambda host: [[member(host.beneath, "dir", mode=0o777)]],
    "absolute": lambda host: [[member(host.canary, data=b"evil"), member("//" + host.canary, mode=0o4777)]],
    "beside its own directory": lambda host: [[member("../layer.json", data=b"{}"), member("../../x/fs/evil")]],  # noqa: ARG005
    "through an absolute link": lambda host: [
        [member("l", "symlink", target=str(host.path)), member("l/new", data=b"evil")]
    ],
    "through a relative link": lambda host: [
        [member("l", "symlink", target=host.beneath), member("l/canary", data=b"evil")]
    ],
    "through links in turns": lambda host: [
        [
            member("a", "symlink", target="."),
            member("a/b", "symlink", target="a/.."),
            member("b/c", "symlink", target=host.beneath),
            member("c/new", data=b"evil"),
            member("a/b/c/canary", data=b"evil"),
        ]
    ],
    "through a link of a lower layer": lambda host: [
        [member("l", "symlink", target=str(host.path)), member("m", "symlink", target=host.beneath)],
        [
            member("l/new", data=b"evil"),
            member("m/canary", data=b"evil"),
            member("l/.wh.canary"),
            member("m/.wh..wh..opq"),
        ],
    ],
    "through proc": lambda host: [
        [member("l", "symlink", target=f"/proc/{os.getpid()}/root{host.path}"), member("l/canary", data=b"evil")],
    ],
    "file over a link": lambda host: [
        [member("f", "symlink", target=host.canary), member("f", data=b"evil", mode=0o4777)],
    ],
    "directory over a link": lambda host: [
        [member("f", "symlink", target=str(host.path)), member("f", "dir", mode=0o4777, uid=1234), member("f/new")],
    ],
    "fifo and device over a link": lambda host: [
        [
            member("f", "symlink", target=host.canary),
            member("f", "fifo"),
            member("g", "symlink", target=host.canary),
            member("g", "char", device=(1, 3), mode=0o666),
        ],
    ],
    "hard link to the host": lambda host: [
        [member("h", "link", target=host.canary), member("h", data=b"evil", mode=0o777)]
    ],
    "hard link by dot dot": lambda host: [
        [member("h", "link", target=host.beneath + "/canary"), member("h", data=b"evil")]
    ],
    "hard link through a link": lambda host: [
        [
            member("l", "symlink", target=str(host.path)),
            member("h", "link", target="l/canary", mode=0o4777, uid=1234),
            member("h", data=b"evil"),
        ]
    ],
    "hard link to a link": lambda host: [
        [
            member("l", "symlink", target=host.canary),
            member("h", "link", target="l", mode=0o4777, uid=1234),
            member("h", data=b"evil", mode=0o4777),
        ]
    ],
    "hard link to a link to a directory": lambda host: [
        [
            member("l", "symlink", target=str(host.path)),
            member("h", "link", target="l"),
            member("h", "dir", mode=0o777),
            member("h/new"),
        ]
    ],
    "hard link through a link of a lower layer": lambda host: [
        [member("l", "symlink", target=str(host.path)), member("f", "symlink", target=host.canary)],
        [member("h", "link", target="f"), member("h", data=b"evil"), member("g", "link", target="l/canary")],
    ],
    # CVE-2021-29136, of umoci: what follows goes where the root leads
    "root is a link": lambda host: [[member(".", "symlink", target=str(host.path)), member("new", data=b"evil")]],
    "root is a link, slash": lambda host: [
        [member("/", "symlink", target=str(host.path)), member("new", data=b"evil")]
    ],
    "root is a link, dot slash dot": lambda host: [[member("./.", "symlink", target=str(host.path)), member("./new")]],
    "root is a hard link": lambda host: [[member("./", "link", target=host.canary)]],
    "root is a file": lambda host: [[member("./", data=b"evil")]],  # noqa: ARG005
    "root's mode": lambda host: [[member("./", "dir", mode=0o7777, uid=1234), member("..", "dir", mode=0o777)]],  # noqa: ARG005
    "whiteout through a link": lambda host: [
        [member("x")],
        [member("l", "symlink", target=str(host.path)), member("l/.wh.canary"), member("l/.wh.folder", "dir")],
    ],
    "whiteout by dot dot": lambda host: [[member("x")], [member(host.beneath + "/.wh.canary")]],
    "opaque through a link": lambda host: [
        [member("x")],
        [member("l", "symlink", target=host.beneath), member("l/.wh..wh..opq")],
    ],
    "whiteout of nothing": lambda host: [[member("x")], [member(".wh.")]],  # noqa: ARG005
    "whiteout of dot": lambda host: [[member("x")], [member("d/.wh..")]],  # noqa: ARG005
    "whiteout of dot dot": lambda host: [[member("x")], [member("d/.wh...")]],  # noqa: ARG005
    "whiteout that is a link": lambda host: [
        [member("x")],
        [member(".wh.x", "symlink", target=host.canary), member(".wh.y", "link", target=host.canary)],
    ],
    "opaque that is a link": lambda host: [
        [member("x")],
        [member("d/.wh..wh..opq", "symlink", target=host.canary), member("d/.wh..wh..opq", data=b"evil")],
    ],
    "realpath beyond PATH_MAX": lambda host: [deep_realpath(host)],
    "link in the place of a used directory": lambda host: [
        [
            member("d", "dir"),
            member("d/first"),
            member("d", "symlink", target=str(host.path)),
            member("d/canary", data=b"evil"),
        ]
    ],
    "times and modes of directories through links": lambda host: [
        [
            member("d", "dir", mode=0o4777, mtime=1),
            member("d/e", "dir", mode=0o4777, mtime=1),
            member("d", "symlink", target=str(host.path)),
            member("folder", "dir"),
            member("e", "symlink", target=str(host.path / "folder")),
        ]
    ],
    "names with a NUL": lambda host: [[member("a", pax={"path": host.canary + "\0.txt"}, data=b"evil")]],
    "names that are not text": lambda host: [
        [member("\udcff\udcfe", "symlink", target=str(host.path)), member("\udcff\udcfe/canary", data=b"evil")]
    ],
    "pax names it otherwise": lambda host: [
        [member("harmless", data=b"evil", pax={"path": host.beneath + "/canary"})],
    ],
    "pax links it otherwise": lambda host: [
        [member("h", "link", target="harmless", pax={"linkpath": host.canary}), member("h", data=b"evil")],
    ],
    "overlay's redirect": lambda host: [
        [member("x")],
        [
            member(
                "d",
                "dir",
                pax={
                    "SCHILY.xattr.trusted.overlay.redirect": str(host.path),
                    "SCHILY.xattr.user.overlay.metacopy": "y",
                },
            )
        ],
    ],
    "overlay's whiteout device": lambda host: [[member("x")], [member("x", "char", device=(0, 0))]],  # noqa: ARG005
    "many of one name": lambda host: [
        [member("n", ("symlink", "file", "dir", "fifo")[index % 4], target=str(host.path)) for index in range(400)]
    ],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_host_stays_as_it_was(tmp_path: Path, host: Host, name: str) -> None:
    """Refused with one of our errors or unpacked inside; and whatever was unpacked is not the canary."""
    layers = [archive(*members) for members in ATTACKS[name](host)]
    before = host.state()
    beside = sorted(path.name for path in tmp_path.iterdir())
    try:
        root = unpack(tmp_path / "home", *layers)
    except SandboxError as error:
        assert error.message.isprintable()
        assert list((tmp_path / "home/tmp").iterdir()) == []
    else:
        canary = Path(host.canary).stat()
        for folder, _, files in os.walk(root):
            for file in files:
                assert not os.path.samestat((Path(folder) / file).lstat(), canary)
    assert host.state() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({*beside, "home"})
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["images", "tmp"]


REFUSED = (
    "dot dot",
    "through proc",
    "hard link to the host",
    "root is a link",
    "whiteout of dot dot",
    "names with a NUL",
)


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_only_be_meant_badly_is_refused(tmp_path: Path, host: Host, name: str) -> None:
    """A person learns which entry it was."""
    with pytest.raises(InvalidError, match="archive entry"):
        unpack(tmp_path / "home", *(archive(*members) for members in ATTACKS[name](host)))


def test_bombs(tmp_path: Path) -> None:
    """A limit stops what a small file makes: data, entries, directories, sparse lengths. Nothing of it is kept."""
    limits = Limits(data=4 << 20, entries=1000, file_size=1 << 30)
    home = tmp_path / "home"
    bombs = [
        archive(member("zeros", data=bytes(5 << 20))),
        archive(*(member(str(index)) for index in range(1001))),
        archive(*(member(f"{index}/" + "d/" * 300 + "f") for index in range(5))),
        archive(member("sparse", pax={"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 50)})),
        archive(member("x", pax={"comment": "x" * (2 << 20)})),
    ]
    for bomb in bombs:
        with pytest.raises(LimitError):
            unpack(home, bomb, limits=limits)
        packed = gzip.compress(bomb)
        with pytest.raises(LimitError):
            ImageStore(home).import_tar(io.BytesIO(packed), reference="bomb", limits=limits)
    used = sum(path.lstat().st_blocks * 512 for path in home.rglob("*"))
    assert used < 1 << 20
    assert ImageStore(home).list() == ()


def test_the_disk_is_a_limit_too(tmp_path: Path) -> None:
    """An archive that says it is larger than the disk is stopped before it is full."""
    info, data = member("huge", data=b"x")
    header = bytearray(archive((info, data)))
    header[124:136] = b"%011o\0" % (1 << 32)  # 4 GiB that do not follow
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header[:512])
    with pytest.raises(SandboxError):
        unpack(tmp_path / "home", bytes(header))
    assert list((tmp_path / "home/tmp").iterdir()) == []


@pytest.mark.parametrize(("pack", "tool"), [(gzip.compress, "gzip"), (lzma.compress, "unxz")])
def test_no_program_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], tool: str
) -> None:
    """CVE-2026-41567: a trojan decompressor in the way of an import is never run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (tool, "xz", "gunzip", "tar", "zstd", "unpigz"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    image = ImageStore(tmp_path / "home").import_tar(io.BytesIO(pack(archive(member("f")))), reference="x")
    assert image.layers and not (tmp_path / "ran").exists()


@pytest.mark.root
def test_other_users_do_not_reach_set_uid_programs_in_layers() -> None:
    """CVE-2021-41091: nobody on the host can enter the store, whatever modes are inside."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = unpack(
            Path(folder) / "home", archive(member("./", "dir", mode=0o777), member("sh", mode=0o6755, data=b"#!"))
        )
        assert stat.S_IMODE((root / "sh").stat().st_mode) == 0o6755
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                Path(folder).stat()
                try:
                    (root / "sh").stat()
                except PermissionError:
                    code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.root
def test_set_uid_never_for_another_owner(tmp_path: Path) -> None:
    """The owner comes before the mode: at the end, and never in between, is there a set-uid program of root's."""
    root = unpack(
        tmp_path / "home", archive(member("f", uid=1000, gid=1000, mode=0o6755), member("f2", "link", target="f"))
    )
    status = (root / "f").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1000, 0o6755)


@pytest.mark.root
def test_set_uid_is_lost_where_the_owner_cannot_be_given(tmp_path: Path) -> None:
    """With a single id all is root's: a set-uid program of somebody else must not become one of root's."""
    data = archive(
        member("theirs", uid=1000, mode=0o6755),
        member("ours", uid=0, mode=0o4755),
        member("dir", "dir", gid=5, mode=0o2775),
        member("null", "char", device=(1, 3), mode=0o666),
    )
    unpack(tmp_path / "home", data)  # what is imported on the way may not be readable for nobody
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        home = Path(folder) / "home"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                set_dumpable(True)
                become_root()
                root = unpack(home, data)
                modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("theirs", "ours", "dir")}
                assert modes == {"theirs": 0o755, "ours": 0o4755, "dir": 0o775}, modes
                assert not (root / "null").exists()
                snapshots = ImageStore(home).snapshots
                warnings = snapshots.record(snapshots.list()[0]).warnings
                assert len(warnings) == 2, warnings
                code = 0
            except BaseException as error:
                os.write(2, f"{error!r}\n".encode())
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
