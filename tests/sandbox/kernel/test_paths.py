"""Paths below a root that somebody else may be changing: nothing outside is ever read, made, changed or removed."""

from __future__ import annotations

import errno
import os
import signal
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import InvalidError, LimitError
from sandbox.kernel import namespaces, openat, paths, process
from sandbox.kernel.paths import Root
from sandbox.kernel.syscalls import syscall
from tests.sandbox.kernel.children import in_child, in_mount_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RENAME_EXCHANGE = 2
AT_FDCWD = -100


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What an attacker wants to reach: a folder beside the root, with files in it."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "canary").write_text("secret")
    (folder / "sub/canary").write_text("secret")
    return folder


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Iterator[Root]:
    """A root with links of every kind that lead, or would, to `outside`."""
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/file").write_text("inside")
    (folder / "absolute").symlink_to(outside)
    (folder / "relative").symlink_to("../outside")
    (folder / "etc/up").symlink_to("../../../../../../../.." + str(outside))
    (folder / "inner").symlink_to("/etc")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("/made/later")
    with Root(folder) as made:
        yield made


def _text(descriptor: int) -> str:
    with os.fdopen(descriptor) as file:
        return file.read()


def _place(descriptor: int) -> str:
    """Where `descriptor`, which is closed, leads."""
    try:
        with openat.own_descriptors() as directory:
            return os.readlink(str(descriptor), dir_fd=directory)
    finally:
        os.close(descriptor)


def _is_intact(outside: Path) -> bool:
    listed = sorted(str(path.relative_to(outside)) for path in outside.rglob("*"))
    texts = {path.read_text() for path in outside.rglob("canary")}
    return listed == ["canary", "sub", "sub/canary"] and texts == {"secret"}


# Resolving


@pytest.mark.parametrize(
    "path", ["etc/file", "/etc/file", "//etc/./file", "../../etc/file", "inner/file", "etc/../inner/file"]
)
def test_paths_stay_in_the_root(root: Root, path: str) -> None:
    """Absolute, relative, with `..` and with links: all of them name the file inside."""
    assert _text(root.open(path, os.O_RDONLY)) == "inside"


@pytest.mark.parametrize("path", ["absolute/canary", "relative/canary", "etc/up/canary", "../outside/canary"])
def test_links_that_lead_out_lead_nowhere(root: Root, path: str) -> None:
    """Their targets are looked for inside, where there is nothing."""
    with pytest.raises(FileNotFoundError) as caught:
        root.open(path, os.O_RDONLY)
    assert caught.value.filename == path


def test_magic_links_are_not_followed() -> None:
    """/proc/self/root and /proc/self/fd/N jump anywhere; below a root they are refused (CVE-2024-21626)."""
    with Root("/proc/self") as proc:
        for path in ("root/etc/passwd", "cwd", "exe", "fd/0"):
            with pytest.raises(OSError, match="symbolic") as caught:
                proc.open(path, os.O_RDONLY)
            assert caught.value.errno == errno.ELOOP


def test_a_final_link_is_opened_itself_where_asked(root: Root) -> None:
    """Without `follow_final` a link is ELOOP, with O_PATH the link."""
    with pytest.raises(OSError, match="symbolic"):
        root.open("inner", os.O_RDONLY, follow_final=False)
    descriptor = root.open("inner", os.O_PATH, follow_final=False)
    assert os.readlink("", dir_fd=descriptor) == "/etc"
    os.close(descriptor)


def test_a_root_is_made_from_a_descriptor_too(root: Root) -> None:
    """The descriptor is duplicated: the root outlives it, and it the root."""
    directory = root.open("etc", os.O_PATH)
    with Root(directory) as inner:
        os.close(directory)
        assert inner.read_regular("file", 10) == b"inside"
        assert inner.read_regular("../../file", 10) == b"inside"
        assert not os.get_inheritable(inner.fd)
    inner.close()
    assert inner.fd == -1
    with pytest.raises(NotADirectoryError):
        Root(root.open("etc/file", os.O_PATH))


def test_files_are_made_with_their_mode(root: Root, tmp_path: Path) -> None:
    """O_CREAT makes inside, also through a link whose target does not exist yet."""
    (tmp_path / "root/made").mkdir()
    os.close(root.open("dangling", os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "root/made/later").exists()
    assert stat.S_IMODE((tmp_path / "root/made/later").stat().st_mode) == 0o600


def test_a_nul_byte_is_an_error(root: Root) -> None:
    """The kernel would stop reading there."""
    with pytest.raises(OSError, match="null"):
        root.open("etc\0/x", os.O_RDONLY)


# Directories


def test_directories_are_made_with_mode_and_owner(root: Root, tmp_path: Path) -> None:
    """All that were missing have the mode, whatever the umask; those that were there stay as they were."""

    def child() -> None:
        os.umask(0o077)
        os.close(root.mkdirs("/etc/a/b/c", 0o751))

    in_child(child)
    modes = [stat.S_IMODE((tmp_path / "root" / path).stat().st_mode) for path in ("etc/a", "etc/a/b", "etc/a/b/c")]
    assert modes == [0o751] * 3
    os.close(root.mkdirs("/etc/a", 0o700))
    assert stat.S_IMODE((tmp_path / "root/etc/a").stat().st_mode) == 0o751


@pytest.mark.root
def test_made_directories_get_an_owner(root: Root, tmp_path: Path) -> None:
    """The owner and the group are those that were asked for, with the special bits kept."""
    os.close(root.mkdirs("x/y", 0o2755, 12, 34))
    for path in ("x", "x/y"):
        found = (tmp_path / "root" / path).stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o2755)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("/", ""),
        (".", ""),
        ("../..", ""),
        ("etc", "/etc"),
        ("new/one", "/new/one"),
        ("inner/new", "/etc/new"),
        ("dangling", "/made/later"),
        ("dangling/../x", "/made/x"),
        ("etc/nope/../../y", "/y"),
        ("absolute/z", "{outside}/z"),
        ("relative/z", "/outside/z"),
        ("etc/up/z", "{outside}/z"),
    ],
)
def test_directories_are_made_inside(root: Root, tmp_path: Path, outside: Path, path: str, expected: str) -> None:
    """Links, dangling ones too, are followed as in a chroot; `..` never leads above the root."""
    assert _place(root.mkdirs(path)) == f"{tmp_path}/root" + expected.format(outside=outside)
    assert _is_intact(outside)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("etc/file", errno.ENOTDIR),
        ("etc/file/x", errno.ENOTDIR),
        ("loop/x", errno.ELOOP),
        ("x" * 300, errno.ENAMETOOLONG),
    ],
)
def test_what_cannot_be_a_directory_is_an_error(root: Root, path: str, code: int) -> None:
    """A file in the way, a loop of links, a name that is too long; the error names the path."""
    with pytest.raises(OSError, match=path[:8]) as caught:
        root.mkdirs(path)
    assert caught.value.errno == code


def test_many_makers_at_once_agree(root: Root) -> None:
    """Twenty processes that make the same deep path all get it."""

    def child() -> list[int]:
        running = []
        for _ in range(20):
            pid, pidfd = namespaces.clone()
            if pid == 0:
                try:
                    for number in range(20):
                        os.close(root.mkdirs(f"shared/{number}/x/y"))
                        os.close(root.create(f"shared/{number}/x/file"))
                    os._exit(0)
                finally:
                    os._exit(1)
            os.close(pidfd)
            running.append(pid)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running]

    assert set(in_child(child)) == {0}


# Files


def test_a_file_is_made_with_its_parents(root: Root, tmp_path: Path) -> None:
    """Missing parents are made; the mode is exact; by default the descriptor is a place only."""
    descriptor = root.create("new/folder/file", 0o604)
    with pytest.raises(OSError, match="descriptor"):
        os.write(descriptor, b"x")
    os.close(descriptor)
    assert stat.S_IMODE((tmp_path / "root/new/folder/file").stat().st_mode) == 0o604


def test_a_file_that_exists_is_left_as_it_is(root: Root, tmp_path: Path) -> None:
    """Neither content nor mode changes; it can be opened for writing where asked."""
    (tmp_path / "root/etc/file").chmod(0o640)
    descriptor = root.create("inner/file", 0o777, flags=os.O_RDWR)
    assert _text(os.dup(descriptor)) == "inside"
    os.close(descriptor)
    assert stat.S_IMODE((tmp_path / "root/etc/file").stat().st_mode) == 0o640


def test_a_dangling_link_gets_its_target(root: Root, tmp_path: Path) -> None:
    """As /etc/resolv.conf often is: the file is made where the link leads, inside."""
    (tmp_path / "root/etc/resolv.conf").symlink_to("../run/resolve/stub")
    descriptor = root.create("/etc/resolv.conf", flags=os.O_WRONLY)
    os.write(descriptor, b"x")
    assert _place(descriptor) == f"{tmp_path}/root/run/resolve/stub"


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket"])
def test_something_else_is_not_a_file(root: Root, tmp_path: Path, kind: str) -> None:
    """Neither made over nor opened: a fifo would hold us up."""
    if kind == "directory":
        (tmp_path / "root/thing").mkdir()
    else:
        os.mknod(tmp_path / "root/thing", 0o600 | {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}[kind])
    with pytest.raises(InvalidError, match="thing"):
        root.create("thing", flags=os.O_RDWR)
    with pytest.raises((InvalidError, OSError)):
        root.read_regular("thing", 10)


def test_reading_stops_at_the_limit(root: Root, tmp_path: Path) -> None:
    """A file of exactly the limit is read, a byte more is an error; so is a sparse giant, at once."""
    assert root.read_regular("etc/file", 6) == b"inside"
    with pytest.raises(LimitError, match="etc/file"):
        root.read_regular("etc/file", 5)
    (tmp_path / "root/giant").touch()
    os.truncate(tmp_path / "root/giant", 1 << 40)
    started = time.monotonic()
    with pytest.raises(LimitError):
        root.read_regular("giant", 1 << 20)
    assert time.monotonic() - started < 1


def test_reading_a_link_to_a_fifo_does_not_wait(root: Root, tmp_path: Path) -> None:
    """CVE-2024-9676: /etc/passwd as a link to a fifo must not hold the engine up."""
    os.mkfifo(tmp_path / "root/fifo")
    (tmp_path / "root/etc/passwd").symlink_to("/fifo")
    with pytest.raises(InvalidError, match="passwd"):
        root.read_regular("/etc/passwd", 100)


def test_parent_gives_directory_and_name(root: Root, tmp_path: Path) -> None:
    """The directory is resolved, the name is not and need not exist; slashes at the end do not matter."""
    for path, place, name in [
        ("etc/file", "/etc", "file"),
        ("inner/nope/", "/etc", "nope"),
        ("loop", "", "loop"),
        ("/etc/../absolute", "", "absolute"),
    ]:
        directory, found = root.parent(path)
        assert (_place(directory), found) == (f"{tmp_path}/root{place}", name)


@pytest.mark.parametrize("path", ["", "/", "..", "etc/..", "etc/.", "///"])
def test_a_path_without_a_name_has_no_parent(root: Root, path: str) -> None:
    """The root itself, and what ends in dots."""
    with pytest.raises(InvalidError):
        root.parent(path)


def test_reopen_gives_the_same_object(root: Root, tmp_path: Path) -> None:
    """By descriptor, though the name has been given to another file since."""
    handle = root.open("etc/file", os.O_PATH)
    (tmp_path / "root/etc/file").rename(tmp_path / "root/etc/moved")
    (tmp_path / "root/etc/file").write_text("another")
    assert _text(paths.reopen(handle, os.O_RDONLY)) == "inside"
    os.close(handle)


def test_reopen_trusts_no_false_proc(tmp_path: Path) -> None:
    """Where /proc is another file system than procfs nothing is opened (CVE-2025-52881)."""
    (tmp_path / "self/fd").mkdir(parents=True)

    def child() -> int | None:
        from sandbox.kernel import mounts  # noqa: PLC0415

        descriptor = os.open("/", os.O_PATH)
        (tmp_path / "self/fd" / str(descriptor)).write_text("false")
        mounts.mount(tmp_path, "/proc", None, mounts.Mount.BIND)
        with pytest.raises(OSError, match="proc") as caught:
            paths.reopen(descriptor, os.O_RDONLY)
        return caught.value.errno

    assert in_mount_namespace(child) == errno.EXDEV


# Races


@contextmanager
def _forever(work: Callable[[], None]) -> Iterator[None]:
    """Another process that does `work` over and over during the `with`."""
    pid, pidfd = namespaces.clone(exit_signal=0)
    if pid == 0:
        try:
            process.set_parent_death_signal(signal.SIGKILL)
            while True:
                work()
        finally:
            os._exit(1)
    try:
        yield
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | 0x4000_0000)
        os.close(pidfd)


def _exchange(first: Path, second: Path) -> None:
    syscall("renameat2", AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE, path=first)


def test_a_race_of_links_never_leads_out(root: Root, tmp_path: Path, outside: Path) -> None:
    """A directory and a link to the outside change places all the time (CVE-2021-30465, CVE-2018-15664): reading,
    making and removing through it reach the inside, or fail, but never touch what is outside."""
    inside = tmp_path / "root/swap"
    (inside / "sub").mkdir(parents=True)
    (inside / "canary").write_text("public")
    link = tmp_path / "root/trap"
    link.symlink_to("../" * 20 + str(outside).lstrip("/"))
    outcomes: dict[str, int] = {}

    def attempt(name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, InvalidError) as error:
            name = f"{name} {type(error).__name__}"
        outcomes[name] = outcomes.get(name, 0) + 1

    def read() -> None:
        assert root.read_regular("etc/../swap/canary", 100) == b"public"

    with _forever(lambda: _exchange(inside, link)):
        for number in range(400):
            attempt("read", read)
            attempt("mkdirs", lambda number=number: os.close(root.mkdirs(f"swap/sub/../new{number}/x")))  # type: ignore[misc]
            attempt("create", lambda number=number: os.close(root.create(f"swap/sub/file{number}")))  # type: ignore[misc]
            attempt("remove", lambda number=number: root.remove_tree(f"swap/new{number}"))  # type: ignore[misc]
            attempt("remove sub", lambda: root.remove_tree("swap/sub"))
    assert _is_intact(outside)
    assert outcomes.get("read", 0) > 20, outcomes
    assert outcomes.get("mkdirs", 0) > 20, outcomes


def test_a_race_inside_a_removed_tree_never_leads_out(tmp_path: Path, outside: Path) -> None:
    """While a tree is removed its directories change places with links to the outside."""
    trees = tmp_path / "trees"
    trees.mkdir()
    directory = os.open(trees, os.O_PATH)

    def work() -> None:
        for number in range(30):
            folder = trees / f"tree{number}"
            try:
                _exchange(folder / "a", folder / "trap")
                _exchange(folder / "a/b", folder / "a/trap")
            except OSError:
                continue

    for number in range(30):
        folder = trees / f"tree{number}"
        for path in ("a/b/c", "a/b/d"):
            (folder / path).mkdir(parents=True)
        for place in (folder, folder / "a", folder / "a/b"):
            (place / "trap").symlink_to(outside)
            (place / "file").touch()
    with _forever(work):
        for number in range(30):
            for _ in range(50):
                try:
                    paths.remove_tree(directory, f"tree{number}")
                except OSError:
                    continue
                break
    for number in range(30):
        paths.remove_tree(directory, f"tree{number}")
    os.close(directory)
    assert _is_intact(outside)
    assert not list(trees.iterdir())
