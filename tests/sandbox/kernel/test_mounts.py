"""Mounts by path and by descriptor, in a mount namespace of each test's own; as root or as an ordinary user's root."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sandbox.kernel import idmap, mounts
from sandbox.kernel.idmap import IdMap, IdRange
from sandbox.kernel.idranges import FIRST_HOST_ID, RANGE_SIZE
from sandbox.kernel.mounts import Attr, Mount
from tests.sandbox.kernel.children import in_mount_namespace, user_namespace

CONTAINER = (IdRange(0, FIRST_HOST_ID, RANGE_SIZE),)


def _mounted(path: Path) -> str:
    """The line of /proc/self/mountinfo for the topmost mount at `path`."""
    lines = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if line.split()[4] == str(path)]
    return lines[-1]


def _userxattr() -> bool:
    return not idmap.in_initial_namespace()


def _tmpfs(target: Path) -> None:
    """A file system of our own below an overlay: what a temporary directory lies on may not serve as upper."""
    target.mkdir(exist_ok=True)
    mounts.mount("tmpfs", target, "tmpfs", 0, "mode=755")


STRANGE = [
    pytest.param("plain", id="plain"),
    pytest.param("com,ma", id="comma"),
    pytest.param("co:lon", id="colon"),
    pytest.param("back\\slash", id="backslash"),
    pytest.param("all,of:them\\,\\:x", id="all"),
    pytest.param("\udcff\udcfe", id="no-utf8"),
    pytest.param("with space=é", id="space"),
]


@pytest.mark.parametrize("name", STRANGE)
def test_overlay_takes_any_path(tmp_path: Path, name: str) -> None:
    """Lower, upper and work directories with the characters that separate options are found by the kernel."""

    def child() -> tuple[list[str], list[str]]:
        _tmpfs(tmp_path / "fs")
        os.chdir(tmp_path / "fs")
        for folder in (f"1{name}", f"2{name}", f"upper{name}", f"work{name}", "merged"):
            os.mkdir(folder)  # noqa: PTH102  (undecodable names)
        for lower in ("1", "2"):
            Path(f"{lower}{name}", f"from{lower}").touch()
        options = mounts.overlay_options(
            [f"1{name}", f"2{name}"], f"upper{name}", f"work{name}", userxattr=_userxattr()
        )
        mounts.mount("overlay", "merged", "overlay", 0, options)
        Path("merged/new").touch()
        return sorted(os.listdir("merged")), os.listdir(f"upper{name}")  # noqa: PTH208

    assert in_mount_namespace(child) == (["from1", "from2", "new"], ["new"])


def test_overlay_of_many_layers_fits_with_relative_paths(tmp_path: Path) -> None:
    """More than a hundred layers are mounted; the topmost wins."""

    def child() -> str:
        _tmpfs(tmp_path / "fs")
        os.chdir(tmp_path / "fs")
        names = [f"layers/{number:03}" for number in range(120)]
        for name in [*names, "upper", "work", "merged"]:
            Path(name).mkdir(parents=True)
        for name in names:
            Path(name, "who").write_text(name)
        options = mounts.overlay_options(names, "upper", "work", userxattr=_userxattr())
        mounts.mount("overlay", "merged", "overlay", 0, options)
        return Path("merged/who").read_text()

    assert in_mount_namespace(child) == "layers/000"


def test_overlay_without_upper_is_read_only(tmp_path: Path) -> None:
    """Lowers alone make a view that cannot be written."""

    def child() -> int | None:
        _tmpfs(tmp_path / "fs")
        os.chdir(tmp_path / "fs")
        for name in ("a", "b", "merged"):
            Path(name).mkdir()
        options = mounts.overlay_options(["a", "b"], None, None, userxattr=_userxattr())
        mounts.mount("overlay", "merged", "overlay", 0, options)
        with pytest.raises(OSError, match="Read-only") as caught:
            Path("merged/new").touch()
        return caught.value.errno

    assert in_mount_namespace(child) == errno.EROFS


def test_a_volatile_overlay_is_one(tmp_path: Path) -> None:
    """The option reaches the kernel, which marks the work directory."""

    def child() -> tuple[bool, bool]:
        _tmpfs(tmp_path / "fs")
        os.chdir(tmp_path / "fs")
        for name in ("lower", "upper", "scratch", "merged"):
            Path(name).mkdir()
        options = mounts.overlay_options(["lower"], "upper", "scratch", userxattr=_userxattr(), volatile=True)
        mounts.mount("overlay", "merged", "overlay", 0, options)
        marks = list(Path("scratch").rglob("volatile"))
        return "volatile" in _mounted(tmp_path / "fs/merged"), len(marks) == 1

    assert in_mount_namespace(child) == (True, True)


def test_a_renamed_directory_leaves_no_redirect(tmp_path: Path) -> None:
    """A directory of a lower layer is not renamed by reference (EXDEV, tools copy then): the upper holds whole
    files.
    """

    def child() -> int | None:
        _tmpfs(tmp_path / "fs")
        os.chdir(tmp_path / "fs")
        for name in ("lower/directory", "upper", "work", "merged"):
            Path(name).mkdir(parents=True)
        options = mounts.overlay_options(["lower"], "upper", "work", userxattr=_userxattr())
        mounts.mount("overlay", "merged", "overlay", 0, options)
        with pytest.raises(OSError, match="cross-device") as caught:
            Path("merged/directory").rename("merged/other")
        return caught.value.errno

    assert in_mount_namespace(child) == errno.EXDEV


def test_options_that_would_be_cut_are_refused(tmp_path: Path) -> None:
    """The kernel reads one page of options and ignores the rest, so what is longer is an error."""
    with pytest.raises(OSError, match="4095") as caught:
        mounts.mount("overlay", tmp_path, "overlay", 0, "lowerdir=" + "x" * 4090)
    assert caught.value.errno == errno.E2BIG
    assert caught.value.filename == tmp_path


def test_a_failed_mount_names_the_target(tmp_path: Path) -> None:
    """The error's path is the place that was to be mounted on."""

    def child() -> object:
        with pytest.raises(OSError, match="missing") as caught:
            mounts.mount("tmpfs", tmp_path / "missing", "tmpfs")
        return caught.value.filename

    assert in_mount_namespace(child) == tmp_path / "missing"


def test_umount_takes_a_mount_in_use_out_of_sight(tmp_path: Path) -> None:
    """Detached by default, though a file on it is open; without, it is busy."""

    def child() -> tuple[int | None, list[str], bytes]:
        _tmpfs(tmp_path / "fs")
        (tmp_path / "fs/file").write_bytes(b"x")
        descriptor = os.open(tmp_path / "fs/file", os.O_RDONLY)
        with pytest.raises(OSError, match="busy") as caught:
            mounts.umount(tmp_path / "fs", detach=False)
        mounts.umount(tmp_path / "fs")
        return caught.value.errno, os.listdir(tmp_path / "fs"), os.read(descriptor, 1)  # noqa: PTH208

    assert in_mount_namespace(child) == (errno.EBUSY, [], b"x")


def test_umount_does_not_follow_a_link(tmp_path: Path) -> None:
    """A symbolic link to a mount point is not one."""

    def child() -> str:
        _tmpfs(tmp_path / "fs")
        (tmp_path / "link").symlink_to("fs")
        with pytest.raises(OSError, match="link"):
            mounts.umount(tmp_path / "link")
        return _mounted(tmp_path / "fs")

    assert in_mount_namespace(child)


def test_pivot_root_swaps_the_root(tmp_path: Path) -> None:
    """With "." twice the old root lies over the new one until it is unmounted; then it is gone."""

    def child() -> tuple[list[str], int]:
        _tmpfs(tmp_path / "fs")
        (tmp_path / "fs/only").touch()
        os.chdir(tmp_path / "fs")
        mounts.pivot_root(".", ".")
        mounts.umount(".")
        os.chdir("/")
        return os.listdir("/"), len(os.listdir(".."))  # noqa: PTH208

    assert in_mount_namespace(child) == (["only"], 1)


def test_a_file_system_is_made_detached_and_moved(tmp_path: Path) -> None:
    """fs_mount gives a descriptor, usable before it is attached; attributes and options are in force."""

    def child() -> tuple[str, str, int]:
        tree = mounts.fs_mount("tmpfs", {"size": "64k", "mode": "750"}, attributes=Attr.NOSUID | Attr.NOEXEC)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=tree))
        assert not os.get_inheritable(tree)
        (tmp_path / "target").mkdir()
        mounts.move_mount(tree, tmp_path / "target")
        assert (tmp_path / "target/file").exists()
        line = _mounted(tmp_path / "target")
        return line.split()[5], line.split(" - ")[1], mounts.filesystem_type(tree)

    per_mount, per_system, magic = in_mount_namespace(child)
    assert {"rw", "nosuid", "noexec"} <= set(per_mount.split(","))
    assert "size=64k" in per_system
    assert "mode=750" in per_system
    assert magic == mounts.TMPFS_MAGIC


def test_an_option_without_value_is_a_flag(tmp_path: Path) -> None:
    """`None` sets a flag; `ro` makes the file system read-only."""

    def child() -> None:
        tree = mounts.fs_mount("tmpfs", {"ro": None})
        with pytest.raises(OSError, match="Read-only"):
            os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=tree)

    in_mount_namespace(child)


def test_a_refused_option_is_explained() -> None:
    """The error carries the line that the kernel logged in the context, the file system's name and the option."""

    def child() -> str:
        with pytest.raises(OSError, match="size") as caught:
            mounts.fs_mount("tmpfs", {"size": "many"})
        return str(caught.value)

    text = in_mount_namespace(child)
    assert "Bad value for 'size'" in text
    assert "tmpfs size=many" in text


def test_an_unknown_file_system_is_enodev() -> None:
    """A file system that the kernel lacks is named."""
    with pytest.raises(OSError, match="nosuchfs") as caught:
        in_mount_namespace(lambda: mounts.fs_mount("nosuchfs", {}))
    assert caught.value.errno == errno.ENODEV


def test_open_tree_copies_a_mount(tmp_path: Path) -> None:
    """The copy shows the same files, from a path or a descriptor, and can be attached at a descriptor."""

    def child() -> tuple[str, str]:
        source, by_path, by_fd = (tmp_path / name for name in ("source", "path", "fd"))
        for folder in (source, by_path, by_fd):
            folder.mkdir()
        (source / "file").write_text("same")
        mounts.move_mount(mounts.open_tree(source), by_path)
        descriptor, place = (os.open(folder, os.O_PATH) for folder in (source, by_fd))
        mounts.move_mount(mounts.open_tree("", dirfd=descriptor), place)
        return (by_path / "file").read_text(), (by_fd / "file").read_text()

    assert in_mount_namespace(child) == ("same", "same")


@pytest.mark.parametrize("recursive", [False, True])
def test_open_tree_takes_what_is_mounted_below_or_not(tmp_path: Path, recursive: bool) -> None:
    """Only a recursive copy shows the mounts below."""

    def child() -> bool:
        (tmp_path / "source/below").mkdir(parents=True)
        (tmp_path / "target").mkdir()
        _tmpfs(tmp_path / "source/below")
        (tmp_path / "source/below/file").touch()
        mounts.move_mount(mounts.open_tree(tmp_path / "source", recursive=recursive), tmp_path / "target")
        return (tmp_path / "target/below/file").exists()

    assert in_mount_namespace(child) == recursive


def test_links_are_followed_only_where_asked(tmp_path: Path) -> None:
    """A source may be a link (a person's choice) unless `follow=False`; a target's last name is never followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    def child() -> None:
        os.close(mounts.open_tree(tmp_path / "link"))
        tree = mounts.open_tree(tmp_path / "link", clone=False, follow=False)
        assert os.readlink("", dir_fd=tree) == "real"
        with pytest.raises(OSError, match="link"):
            mounts.move_mount(mounts.open_tree(tmp_path / "real"), tmp_path / "link")

    in_mount_namespace(child)


def test_attributes_are_set_and_cleared(tmp_path: Path) -> None:
    """Each attribute appears and goes; one of the times replaces another."""

    def options(target: Path) -> set[str]:
        return set(_mounted(target).split()[5].split(","))

    def child() -> list[set[str]]:
        target = tmp_path / "fs"
        _tmpfs(target)
        found = [options(target)]
        mounts.set_attributes(target, set=Attr.RDONLY | Attr.NOSUID | Attr.NODEV | Attr.NOEXEC | Attr.NOATIME)
        found.append(options(target))
        mounts.set_attributes(target, set=Attr.STRICTATIME, clear=Attr.RDONLY | Attr.NOEXEC)
        found.append(options(target))
        mounts.set_attributes(target, set=Attr.NOSYMFOLLOW, clear=Attr.STRICTATIME)
        found.append(options(target))
        return found

    assert in_mount_namespace(child) == [
        {"rw", "relatime"},
        {"ro", "nosuid", "nodev", "noexec", "noatime"},
        {"rw", "nosuid", "nodev"},
        {"rw", "nosuid", "nodev", "relatime", "nosymfollow"},
    ]


@pytest.mark.parametrize("recursive", [False, True])
def test_attributes_of_a_tree(tmp_path: Path, recursive: bool) -> None:
    """With `recursive` the mounts below become read-only as well."""

    def child() -> bool:
        _tmpfs(tmp_path / "fs")
        _tmpfs(tmp_path / "fs/below")
        tree = os.open(tmp_path / "fs", os.O_PATH)
        mounts.set_attributes(tree, set=Attr.RDONLY, recursive=recursive)
        return _mounted(tmp_path / "fs/below").split()[5].startswith("ro")

    assert in_mount_namespace(child) == recursive


def test_propagation_is_set(tmp_path: Path) -> None:
    """A mount becomes shared, and private again."""

    def child() -> tuple[bool, bool]:
        _tmpfs(tmp_path / "fs")
        mounts.set_attributes(tmp_path / "fs", propagation=Mount.SHARED)
        shared = "shared:" in _mounted(tmp_path / "fs")
        mounts.set_attributes(tmp_path / "fs", propagation=Mount.PRIVATE)
        return shared, "shared:" in _mounted(tmp_path / "fs")

    assert in_mount_namespace(child) == (True, False)


def test_filesystem_type_tells_a_real_proc_from_a_false_one(tmp_path: Path) -> None:
    """What looks like /proc but is a directory has another type; an O_PATH descriptor suffices."""
    (tmp_path / "self").mkdir()
    for path, expected in (("/proc", True), ("/proc/self/attr", True), (str(tmp_path), False)):
        descriptor = os.open(path, os.O_PATH)
        assert (mounts.filesystem_type(descriptor) == mounts.PROC_SUPER_MAGIC) == expected
        os.close(descriptor)


@pytest.mark.root
def test_supports_idmap_tells_which_file_systems_can(tmp_path: Path) -> None:
    """tmpfs can since 6.3; proc cannot and need not; the mount that was tried is unchanged."""

    def child() -> tuple[bool, str, str]:
        namespace = user_namespace(IdMap(CONTAINER, CONTAINER))
        before = _mounted(Path("/proc"))
        return mounts.supports_idmap("/proc", namespace), before, _mounted(Path("/proc"))

    supported, before, after = in_mount_namespace(child)
    assert not supported
    assert before == after


@pytest.mark.root
def test_an_id_mapped_mount_writes_back_the_images_ids(tmp_path: Path) -> None:
    """What the container's root makes on an id-mapped mount belongs to root on the disk."""
    (tmp_path / "source").mkdir()

    def child() -> tuple[int, int]:
        namespace = user_namespace(IdMap(CONTAINER, CONTAINER))
        tree = mounts.open_tree(tmp_path / "source")
        mounts.set_attributes(tree, idmap_namespace=namespace)
        (tmp_path / "target").mkdir()
        mounts.move_mount(tree, tmp_path / "target")
        tmp_path.chmod(0o711)
        os.setresgid(FIRST_HOST_ID, FIRST_HOST_ID, FIRST_HOST_ID)
        os.setresuid(-1, FIRST_HOST_ID, -1)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=tree))
        os.setresuid(-1, 0, -1)
        found = (tmp_path / "source/file").stat()
        return found.st_uid, found.st_gid

    probe = in_mount_namespace(lambda: mounts.supports_idmap(tmp_path, user_namespace(IdMap(CONTAINER, CONTAINER))))
    if not probe:
        pytest.skip("the file system of the temporary directory cannot be id-mapped")
    assert in_mount_namespace(child) == (0, 0)
