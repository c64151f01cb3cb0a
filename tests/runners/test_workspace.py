"""The copy of a work tree: complete, separate, and the original is never touched."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from runners import gitrepo, workspace
from sandbox.kernel import capabilities

IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


def git(folder: Path, *arguments: str, **environment: str) -> str:
    """Run git in a folder, as a person would."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=os.environ | IDENTITY | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def write(folder: Path, **texts: str) -> None:
    """Files by name, `__` for `/`."""
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(folder, a="1\n", src__b="2\n")
    (folder / ".gitignore").write_text("*.log\nbuild/\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def inside(copied: workspace.Snapshot, *arguments: str) -> str:
    """What git says in the copy, which finds the borrowed objects as it would in a container."""
    sources = ":".join(mount.source for mount in copied.mounts)
    return git(copied.path, *arguments, GIT_ALTERNATE_OBJECT_DIRECTORIES=sources)


def names(folder: Path) -> set[str]:
    """All files and links below a folder, `.git` left out."""
    found = set()
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        found |= {str((Path(base) / name).relative_to(folder)) for name in (*files, *links)}
    return found


def fingerprint(folder: Path) -> str:
    """Everything about a tree: names, content, times, modes and inodes, also in `.git`."""
    digest = hashlib.sha256()
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in (".", *sorted(files)):
            path = Path(base) / name
            status = path.lstat()
            digest.update(f"{path} {status.st_mode} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}".encode())
            if stat.S_ISREG(status.st_mode):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def test_it_is_the_work_tree_as_it_is_now(project: Path, tmp_path: Path) -> None:
    """Changes and new files are in it; deleted, ignored and git's own files are not."""
    write(project, a="changed\n", new="3\n", trace__log="x", build__out="x")
    (project / "x.log").write_text("x")
    (project / "src/b").unlink()
    copied = workspace.snapshot(project, tmp_path / "copy")
    assert names(copied.path) == {".gitignore", "a", "new", "trace/log"}
    assert (copied.path / "a").read_text() == "changed\n"
    assert copied.files == 4


def test_modes_times_and_links_are_kept(project: Path, tmp_path: Path) -> None:
    """Also a link that leads nowhere or out of the tree, which is not followed, and a name that is no UTF-8."""
    (project / "a").chmod(0o755)
    os.utime(project / "a", ns=(10**18, 123_456_789_012_345_678))
    (project / "link").symlink_to("src/b")
    (project / "out").symlink_to("/etc")
    (project / "nowhere").symlink_to("missing")
    odd = os.fsencode(project) + b"/\xff\n odd"
    Path(os.fsdecode(odd)).write_text("odd")
    copied = workspace.snapshot(project, tmp_path / "copy").path
    status = (copied / "a").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert status.st_mtime_ns == 123_456_789_012_345_678
    assert [(copied / name).readlink() for name in ("link", "out", "nowhere")] == [
        Path("src/b"),
        Path("/etc"),
        Path("missing"),
    ]
    assert Path(os.fsdecode(os.fsencode(copied) + b"/\xff\n odd")).read_text() == "odd"


def test_the_umask_does_not_matter(project: Path, tmp_path: Path) -> None:
    """Modes are the original's, and the umask is what it was afterwards."""
    (project / "src/b").chmod(0o666)
    (project / "src").chmod(0o777)
    old = os.umask(0o077)
    try:
        copied = workspace.snapshot(project, tmp_path / "copy").path
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(old)
    assert stat.S_IMODE((copied / "src/b").stat().st_mode) == 0o666
    assert stat.S_IMODE((copied / "src").stat().st_mode) == 0o777
    assert stat.S_IMODE(copied.stat().st_mode) == 0o755
    assert stat.S_IMODE((copied / ".git/objects").stat().st_mode) == 0o755
    assert stat.S_IMODE((copied / ".git/HEAD").stat().st_mode) == 0o644


def test_the_original_is_not_touched(project: Path, tmp_path: Path) -> None:
    """Not one byte, time or inode of the work tree and its repository changes, and no hook or monitor is run."""
    marker = tmp_path / "ran"
    for name in ("post-index-change", "post-checkout", "fsmonitor"):
        hook = project / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
        hook.chmod(0o755)
    git(project, "config", "core.fsmonitor", ".git/hooks/fsmonitor")
    git(project, "config", "core.untrackedCache", "true")
    git(project, "-c", "core.fsmonitor=false", "status")
    os.utime(project / "a")  # makes the index stale: a `git status` would write it anew
    marker.unlink(missing_ok=True)
    before = fingerprint(project)
    copied = workspace.snapshot(project, tmp_path / "copy")
    assert fingerprint(project) == before
    assert not marker.exists()
    assert not (copied.path / ".git/hooks").exists()
    assert "fsmonitor" not in (copied.path / ".git/config").read_text()


def test_git_works_in_the_copy(project: Path, tmp_path: Path) -> None:
    """History, tags, description and status are the original's; a commit stays in the copy."""
    git(project, "tag", "-a", "v1", "-m", "one")
    write(project, a="changed\n", new="3\n")
    git(project, "add", "new")
    copied = workspace.snapshot(project, tmp_path / "copy")
    assert inside(copied, "describe", "--dirty") == "v1-dirty"
    assert inside(copied, "log", "--format=%s") == "first"
    assert inside(copied, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert inside(copied, "status", "--porcelain").split("\n") == ["M a", "A  new"]  # its first blank is stripped
    inside(copied, "commit", "-q", "-am", "second")
    assert inside(copied, "log", "--format=%s") == "second\nfirst"
    assert git(project, "log", "--all", "--format=%s") == "first"


def test_the_copys_index_is_fresh(project: Path, tmp_path: Path) -> None:
    """git need not hash the files of the copy again: its index knows their times."""
    past = time.time_ns() - 10**10
    for path in (project / "a", project / "src/b", project / ".gitignore"):
        os.utime(path, ns=(past, past))
    git(project, "status")
    copied = workspace.snapshot(project, tmp_path / "copy")
    assert inside(copied, "diff-files", "--name-only") == ""  # compares times only


def test_git_variables_of_a_hook_do_not_mislead(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started from a hook, GIT_DIR and GIT_INDEX_FILE name something else."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "none"))
    assert names(workspace.snapshot(project, tmp_path / "copy").path) == {".gitignore", "a", "src/b"}


def test_a_linked_work_tree_becomes_a_repository(project: Path, tmp_path: Path) -> None:
    """Where `.git` is a file, the copy has HEAD and index of that work tree and the references of the repository."""
    git(project, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    write(tmp_path / "side", c="3\n")
    git(tmp_path / "side", "add", "c")
    git(tmp_path / "side", "commit", "-q", "-m", "on the side")
    copied = workspace.snapshot(tmp_path / "side", tmp_path / "copy")
    assert (copied.path / ".git").is_dir()
    assert inside(copied, "log", "--format=%s") == "on the side\nfirst"
    assert inside(copied, "status", "--porcelain") == ""
    assert inside(copied, "rev-parse", "main") == git(project, "rev-parse", "main")


def test_submodules_and_inner_repositories_are_copied(project: Path, tmp_path: Path) -> None:
    """Each with its own repository; what they ignore is left out; one that was never fetched is an empty folder."""
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    write(library, l="1\n")
    (library / ".gitignore").write_text("*.o\n")
    git(library, "add", "-A")
    git(library, "commit", "-q", "-m", "library")
    git(project, "submodule", "add", "-q", str(library), "lib/one")
    git(project, "submodule", "add", "-q", str(library), "lib/two")
    git(project, "commit", "-q", "-m", "submodules")
    git(project, "submodule", "deinit", "-q", "-f", "lib/two")
    write(project, lib__one__x="new\n")
    (project / "lib/one/x.o").write_text("object")
    git(project, "clone", "-q", str(library), "vendor/inner")
    copied = workspace.snapshot(project, tmp_path / "copy")
    assert {name for name in names(copied.path) if name.startswith(("lib", "vendor"))} == {
        "lib/one/.gitignore",
        "lib/one/l",
        "lib/one/x",
        "vendor/inner/.gitignore",
        "vendor/inner/l",
    }
    assert list((copied.path / "lib/two").iterdir()) == []
    workspace.settle(copied, copied.path)
    assert git(copied.path / "lib/one", "log", "--format=%s") == "library"
    assert git(copied.path / "vendor/inner", "log", "--format=%s") == "library"
    assert "lib/one" in git(copied.path, "status", "--porcelain")
    assert len(copied.mounts) == 3
    assert {name.rstrip("/") for name in copied.repositories} == {"", "lib/one", "vendor/inner"}


def test_a_repository_that_borrows_objects_can_be_copied(project: Path, tmp_path: Path) -> None:
    """The folders that the original borrows from are mounted too."""
    git(tmp_path, "clone", "-q", "--shared", str(project), "clone")
    copied = workspace.snapshot(tmp_path / "clone", tmp_path / "copy")
    assert [mount.source for mount in copied.mounts] == [
        str(tmp_path / "clone/.git/objects"),
        str(project / ".git/objects"),
    ]
    assert inside(copied, "log", "--format=%s") == "first"


def test_a_repository_without_commits_can_be_copied(tmp_path: Path) -> None:
    """There is an index or not, but no HEAD commit yet."""
    folder = tmp_path / "young"
    folder.mkdir()
    git(folder, "init", "-q")
    write(folder, a="1\n")
    assert names(workspace.snapshot(folder, tmp_path / "copy").path) == {"a"}


def test_a_folder_of_a_repository_is_copied_alone(project: Path, tmp_path: Path) -> None:
    """Below the top, the folder's own files count, and there is no repository."""
    (project / "src/x.log").write_text("x")
    copied = workspace.snapshot(project / "src", tmp_path / "copy")
    assert names(copied.path) == {"b"}
    assert copied.repositories == ()


def test_an_ignored_folder_of_a_repository_is_copied_whole(project: Path, tmp_path: Path) -> None:
    """A project below something that git ignores has nothing to do with that repository."""
    write(project, build__x="1", build__deep__y="2")
    assert names(workspace.snapshot(project / "build", tmp_path / "copy").path) == {"x", "deep/y"}


def test_outside_of_git_everything_is_copied(tmp_path: Path) -> None:
    """Also empty folders; sockets and pipes are passed over; the state directory is left out."""
    folder = tmp_path / "plain"
    folder.mkdir()
    write(folder, a="1", deep__b="2", state__blob="x")
    (folder / "empty/inner").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        copied = workspace.snapshot(folder, tmp_path / "copy", leave_out=folder / "state").path
    assert names(copied) == {"a", "deep/b"}
    assert (copied / "empty/inner").is_dir()


@pytest.mark.root
def test_a_file_that_cannot_be_read_is_named(project: Path, tmp_path: Path) -> None:
    """The error has the path."""
    (project / "src/b").chmod(0)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            capabilities.apply(frozenset())  # what makes root read everything
            workspace.snapshot(project, tmp_path / "copy")
        except OSError as error:
            code = 0 if error.filename == str(project / "src/b") else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_further_copy_is_the_same(project: Path, tmp_path: Path) -> None:
    """With the repository, and what is written to it is not seen in the first."""
    (project / "link").symlink_to("a")
    first = workspace.snapshot(project, tmp_path / "first")
    workspace.copy(first.path, tmp_path / "second")
    assert names(tmp_path / "second") == names(first.path)
    write(tmp_path / "second", a="other\n")
    assert (first.path / "a").read_text() == "1\n"
    second = workspace.Snapshot(source=project, path=tmp_path / "second", files=0, mounts=first.mounts)
    assert inside(second, "log", "--format=%s") == "first"


def test_a_kept_workspace_borrows_from_the_original(project: Path, tmp_path: Path) -> None:
    """Outside of containers there are no mounts: the places of the host take their place."""
    copied = workspace.snapshot(project, tmp_path / "copy")
    workspace.settle(copied, copied.path)
    assert git(copied.path, "log", "--format=%s") == "first"


def test_settling_follows_no_link_of_a_step(project: Path, tmp_path: Path) -> None:
    """A step may have put a link where git's file was: it is not written through."""
    copied = workspace.snapshot(project, tmp_path / "copy")
    victim = tmp_path / "victim"
    victim.write_text("/run/hako/git/0\n")
    alternates = copied.path / ".git/objects/info/alternates"
    alternates.unlink()
    alternates.symlink_to(victim)
    workspace.settle(copied, copied.path)
    assert victim.read_text() == "/run/hako/git/0\n"


def test_credentials_do_not_reach_the_copy(project: Path, tmp_path: Path) -> None:
    """The remote's address is kept without the token; keys that run programs are not kept."""
    git(project, "remote", "add", "origin", "https://user:token@example.org/x/y.git")
    git(project, "config", "core.sshCommand", "evil")
    git(project, "config", "credential.helper", "evil")
    git(project, "config", "http.https://example.org/.extraheader", "Authorization: basic x")
    copied = workspace.snapshot(project, tmp_path / "copy")
    assert inside(copied, "remote", "get-url", "origin") == "https://example.org/x/y.git"
    text = (copied.path / ".git/config").read_text()
    assert "evil" not in text
    assert "token" not in text
    assert "basic" not in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:token@host/x", "https://host/x"),
        ("https://token@host:8443/x", "https://host:8443/x"),
        ("ssh://git:secret@host/x", "ssh://git@host/x"),
        ("git@host:x/y.git", "git@host:x/y.git"),
        ("https://host/x@y", "https://host/x@y"),
        ("/srv/x.git", "/srv/x.git"),
    ],
)
def test_addresses_lose_their_credentials(url: str, shown: str) -> None:
    """Whatever the form of the address."""
    assert gitrepo.without_credentials(url) == shown


def test_a_broken_repository_is_an_error(project: Path, tmp_path: Path) -> None:
    """git's own words, in one line."""
    (project / ".git/index").write_bytes(b"nonsense")
    with pytest.raises(gitrepo.GitError) as caught:
        workspace.snapshot(project, tmp_path / "copy")
    assert "\n" not in str(caught.value)


def test_a_repository_that_calls_itself_bare(tmp_path: Path) -> None:
    """A bare repository that was copied to `.git`: the folder around it is the work tree."""
    tree = tmp_path / "tree"
    tree.mkdir()
    subprocess.run(["git", "init", "-q", "--bare", str(tree / ".git")], check=True)
    (tree / "file").write_text("x")
    copied = workspace.snapshot(tree, tmp_path / "copy")
    assert (copied.path / "file").read_text() == "x"
