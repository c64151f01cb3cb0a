"""Removing trees: whatever is in them goes, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import InvalidError
from sandbox.kernel import idmap, mounts, namespaces
from sandbox.kernel.paths import remove_path, remove_tree
from tests.sandbox.kernel.children import alone, in_child, in_mount_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """A descriptor of the temporary directory."""
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_every_kind_of_file_goes(tmp_path: Path, folder: int) -> None:
    """Files, links, fifos, sockets, directories, read-only and non-UTF-8 names; their neighbours stay."""
    tree = tmp_path / "tree"
    (tree / "directory/deeper").mkdir(parents=True)
    (tree / "file").write_text("x")
    (tree / "read-only").write_text("x")
    (tree / "read-only").chmod(0)
    (tree / "link").symlink_to("file")
    (tree / "dangling").symlink_to("nowhere")
    (tree / "loop").symlink_to("..")
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "socket", 0o600 | stat.S_IFSOCK)
    for name in (b"\xff\xfe", b"new\nline", b"-rf", "日本".encode()):
        os.mkdir(os.fsencode(tree) + b"/" + name)  # noqa: PTH102
        os.close(os.open(os.fsencode(tree) + b"/" + name + b"/" + name, os.O_CREAT | os.O_WRONLY))
    (tmp_path / "neighbour").write_text("stays")
    remove_tree(folder, "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["neighbour"]


@pytest.mark.parametrize("kind", ["file", "link", "link to directory", "fifo"])
def test_a_single_file_goes_too(tmp_path: Path, folder: int, kind: str) -> None:
    """What is no directory is unlinked; a link's target stays."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target/file").touch()
    thing = tmp_path / "thing"
    if kind == "file":
        thing.touch()
    elif kind == "fifo":
        os.mkfifo(thing)
    else:
        thing.symlink_to("target" if "directory" in kind else "target/file")
    remove_tree(folder, "thing")
    assert not os.path.lexists(thing)
    assert (tmp_path / "target/file").exists()


def test_what_is_not_there_is_removed_already(folder: int) -> None:
    """No error, so that removing can be repeated after a crash."""
    remove_tree(folder, "nothing")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc"])
def test_only_a_name_is_taken(folder: int, name: str) -> None:
    """A path could lead elsewhere."""
    with pytest.raises(InvalidError):
        remove_tree(folder, name)


@pytest.mark.slow
def test_any_depth_with_few_descriptors(tmp_path: Path, folder: int) -> None:
    """5000 levels, past what a path may hold, with 200 descriptors and Python's usual recursion limit."""
    here = os.dup(folder)
    here = os.open(".", os.O_RDONLY, dir_fd=here)
    for number in range(5000):
        os.mkdir("level", dir_fd=here)
        if number % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
            os.mkdir("zz", dir_fd=here)
        below = os.open("level", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (tmp_path / "file").unlink()
    (tmp_path / "zz").rmdir()

    def child() -> None:
        # Beside those of the tests' own process.
        limit = max(int(one.name) for one in Path("/proc/self/fd").iterdir()) + 150
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        remove_tree(folder, "level")

    try:
        in_child(child)
        assert not list(tmp_path.iterdir())
    finally:  # left to pytest, it would end every later run's clean-up with RecursionError
        with contextlib.suppress(FileNotFoundError):
            remove_tree(folder, "level")


def test_directories_without_permissions(tmp_path: Path) -> None:
    """Their owner, who is not root, gets rid of them all the same: closed, unlistable, read-only."""

    def child() -> list[str]:
        place = tmp_path
        if os.geteuid() == 0:
            place = tmp_path / "own"
            place.mkdir()
            os.chown(place, 54_321, 54_321)
            os.chdir(place)
            os.setgroups([])
            os.setresgid(54_321, 54_321, 54_321)
            os.setresuid(54_321, 54_321, 54_321)
        else:
            os.chdir(place)
        for mode in (0o000, 0o100, 0o300, 0o400, 0o500, 0o555):
            os.makedirs(f"tree/{mode:o}/inner")  # noqa: PTH103
            os.close(os.open(f"tree/{mode:o}/file", os.O_CREAT | os.O_WRONLY))
            os.chmod(f"tree/{mode:o}/inner", mode)  # noqa: PTH101
            os.chmod(f"tree/{mode:o}", mode)  # noqa: PTH101
        os.chmod("tree", 0o500)  # noqa: PTH101
        here = os.open(".", os.O_PATH)
        remove_tree(here, "tree")
        return os.listdir(".")  # noqa: PTH208

    assert in_child(child) == []


def test_the_callers_directory_is_not_opened_up(tmp_path: Path) -> None:
    """Only what is removed may be changed: a read-only directory that holds the tree stays so, and the error says
    it.
    """
    (tmp_path / "closed/tree").mkdir(parents=True)

    def child() -> int:
        if os.geteuid() == 0:
            for path in (tmp_path / "closed", tmp_path / "closed/tree"):
                os.chown(path, 54_321, 54_321)
            os.chdir(tmp_path / "closed")
            (tmp_path / "closed").chmod(0o555)
            os.setresuid(54_321, 54_321, 54_321)
        else:
            os.chdir(tmp_path / "closed")
            (tmp_path / "closed").chmod(0o555)
        here = os.open(".", os.O_PATH)
        with pytest.raises(PermissionError, match="tree"):
            remove_tree(here, "tree")
        return stat.S_IMODE(os.fstat(here).st_mode)

    assert in_child(child) == 0o555
    (tmp_path / "closed").chmod(0o755)


@pytest.mark.parametrize("where", ["tree", "tree/below"])
def test_a_mount_is_not_entered(tmp_path: Path, folder: int, where: str) -> None:
    """A bind mount that was forgotten in a tree costs nobody's files: EBUSY names it."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    (tmp_path / "tree/below").mkdir(parents=True)

    def child() -> int | None:
        mounts.mount(tmp_path / "precious", tmp_path / where, None, mounts.Mount.BIND)
        here = os.open(tmp_path, os.O_PATH)  # the one of before is in the other mount namespace
        with pytest.raises(OSError, match=where.rpartition("/")[2]) as caught:
            remove_tree(here, "tree")
        return caught.value.errno

    assert in_mount_namespace(child) == errno.EBUSY
    assert (tmp_path / "precious/file").exists()


@alone
def test_entries_that_keep_coming_are_removed_too(tmp_path: Path, folder: int) -> None:
    """Somebody fills the tree meanwhile for a time; it is gone in the end, and no error comes of entries that
    vanish.
    """
    (tmp_path / "tree").mkdir()

    def child() -> None:
        for number in range(300):
            try:
                (tmp_path / f"tree/{number}").mkdir()
                (tmp_path / f"tree/{number}/file").touch()
            except FileNotFoundError:
                continue

    pid, pidfd = namespaces.clone()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(0)
    for _ in range(100):
        try:
            remove_tree(folder, "tree")
        except OSError as error:
            assert error.errno == errno.ENOTEMPTY
    os.waitpid(pid, 0)
    os.close(pidfd)
    remove_tree(folder, "tree")
    assert not (tmp_path / "tree").exists()


def test_two_removers_do_not_disturb_each_other(tmp_path: Path, folder: int) -> None:
    """Both come to an end without an error, and the tree is gone."""
    for number in range(200):
        (tmp_path / f"tree/{number}/x").mkdir(parents=True)
        (tmp_path / f"tree/{number}/file").touch()

    def child() -> list[int]:
        running = []
        for _ in range(4):
            pid, pidfd = namespaces.clone()
            if pid == 0:
                try:
                    remove_tree(folder, "tree")
                    os._exit(0)
                finally:
                    os._exit(1)
            os.close(pidfd)
            running.append(pid)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running]

    assert in_child(child) == [0, 0, 0, 0]
    assert not (tmp_path / "tree").exists()


def test_no_descriptor_stays_open(tmp_path: Path, folder: int) -> None:
    """Neither after success nor after an error in the middle."""

    def child() -> tuple[int, int]:
        for path in ("good/a/b/c", "bad/a/b/mounted"):
            (tmp_path / path).mkdir(parents=True)
        if os.geteuid() != 0:
            idmap.become_root()
        else:
            namespaces.unshare(namespaces.Flags.NEWNS)
            mounts.mount(None, "/", None, mounts.Mount.REC | mounts.Mount.PRIVATE)
        mounts.mount("tmpfs", tmp_path / "bad/a/b/mounted", "tmpfs")
        here = os.open(tmp_path, os.O_PATH)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        remove_tree(here, "good")
        middle = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(OSError, match="mounted"):
            remove_tree(here, "bad")
        return middle - before, len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208

    assert in_child(child) == (0, 0)


def test_five_thousand_files_are_quick(tmp_path: Path, folder: int) -> None:
    """A container's root of that size goes in well under a few seconds."""
    for number in range(100):
        (tmp_path / f"tree/{number}").mkdir(parents=True)
        here = os.open(tmp_path / f"tree/{number}", os.O_RDONLY)
        for file in range(50):
            os.close(os.open(str(file), os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
    started = time.monotonic()
    remove_tree(folder, "tree")
    assert time.monotonic() - started < 3


def test_by_a_path(tmp_path: Path) -> None:
    """What is there goes, a link itself; what is not there is no error, unless its folder is not."""
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("tree")
    for name in ("link", "tree", "nothing"):
        remove_path(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        remove_path(tmp_path / "missing/name")
