"""Facts from real git repositories, made with git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from ci.errors import CiError
from ci.git import event, parse_remote
from ci.pipeline.event import NULL_COMMIT, EventKind

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git to make repositories")


def git(directory: Path, *arguments: str) -> str:
    """Run git without anybody's configuration."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada Äöü",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Robot",
        "GIT_COMMITTER_EMAIL": "robot@example.org",
    }
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    result = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def commit(directory: Path, message: str, **files: str) -> str:
    """Write files (`__` is a `/`, `_` a `.`), commit all, and return the commit."""
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "--allow-empty", "-m", message)
    return git(directory, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits on `main`."""
    directory = tmp_path / "work"
    directory.mkdir()
    git(directory, "init", "-q")
    commit(directory, "first", a_txt="1", src__b_c="2")
    commit(directory, "second\n\nwith a body", a_txt="3", gitignore="")
    return directory


def test_facts_of_a_commit(repository: Path) -> None:
    """Commit, branch, message, author and the files that the last commit changed."""
    found = event(repository, created=7, platform="linux/arm64")
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert (found.kind, found.branch, found.full_ref) == (EventKind.PUSH, "main", "refs/heads/main")
    assert found.message == "second\n\nwith a body"
    assert (found.author, found.author_email) == ("Ada Äöü", "ada@example.org")
    assert found.changed_files == ("a.txt", "gitignore")
    assert found.before == git(repository, "rev-parse", "HEAD~1")
    assert (found.dirty, found.created, found.platform) == (False, 7, "linux/arm64")
    assert (found.repository, found.remote_url) == ("local/work", "")


def test_uncommitted_changes(repository: Path) -> None:
    """Changed, staged, removed and untracked files count; ignored ones do not."""
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "build.log").write_text("ignored")
    (repository / "src" / "b.c").unlink()
    (repository / "new").mkdir()
    (repository / "new" / "é.txt").write_text("untracked")
    found = event(repository)
    assert found.dirty
    assert found.changed_files == (".gitignore", "a.txt", "gitignore", "new/é.txt", "src/b.c")


def test_subdirectory_and_linked_work_tree(repository: Path, tmp_path: Path) -> None:
    """A subdirectory belongs to its repository; a linked work tree has a branch of its own."""
    assert event(repository / "src").commit == git(repository, "rev-parse", "HEAD")
    git(repository, "worktree", "add", "-q", "-b", "feature/x", str(tmp_path / "linked"))
    assert event(tmp_path / "linked").branch == "feature/x"


def test_detached_head(repository: Path) -> None:
    """A detached HEAD is on no branch."""
    git(repository, "checkout", "-q", "--detach")
    found = event(repository)
    assert (found.branch, found.full_ref) == ("", "")
    assert found.commit != NULL_COMMIT


def test_tag_at_head(repository: Path) -> None:
    """The event `tag` takes the highest tag at HEAD, annotated or not, and is refused without one."""
    with pytest.raises(CiError, match="no tag"):
        event(repository, kind=EventKind.TAG)
    git(repository, "tag", "v1.9")
    git(repository, "tag", "-a", "-m", "ten", "v1.10")
    git(repository, "tag", "v9", "HEAD~1")
    git(repository, "tag", "tree", "HEAD^{tree}")
    found = event(repository, kind=EventKind.TAG)
    assert (found.tag, found.full_ref) == ("v1.10", "refs/tags/v1.10")
    assert event(repository).tag == ""


def test_root_commit(tmp_path: Path) -> None:
    """The first commit of all changed every file it has."""
    git(tmp_path, "init", "-q")
    commit(tmp_path, "first", a_txt="1", src__b_c="2")
    assert event(tmp_path).changed_files == ("a.txt", "src/b.c")
    assert event(tmp_path).before == ""


def test_merge_commit(repository: Path) -> None:
    """A merge is compared with its first parent."""
    git(repository, "checkout", "-q", "-b", "side", "HEAD~1")
    commit(repository, "side", side_txt="1")
    git(repository, "checkout", "-q", "main")
    git(repository, "merge", "-q", "--no-ff", "-m", "merge", "side")
    assert event(repository).changed_files == ("side.txt",)


def test_no_commits(tmp_path: Path) -> None:
    """Before the first commit there is a branch already, and no commit."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    git(tmp_path, "config", "user.name", "Ada")
    (tmp_path / "a.txt").write_text("1")
    found = event(tmp_path, user="somebody")
    assert (found.commit, found.branch, found.author) == (NULL_COMMIT, "trunk", "Ada")
    assert (found.changed_files, found.dirty, found.message) == (("a.txt",), True, "")


def test_outside_of_git(tmp_path: Path) -> None:
    """Outside of any repository the directory gives the name, and changed files are not known."""
    directory = tmp_path / "my project"
    directory.mkdir()
    found = event(directory, user="dev")
    assert (found.repository, found.commit, found.author) == ("local/my project", NULL_COMMIT, "dev")
    assert found.changed_files is None


def test_bare_and_shallow(repository: Path, tmp_path: Path) -> None:
    """A bare repository has no uncommitted files; the end of a shallow clone does not know what changed."""
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    bare = event(tmp_path / "bare.git")
    assert (bare.dirty, bare.branch) == (False, "main")
    assert bare.changed_files == ("a.txt", "gitignore")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    shallow = event(tmp_path / "shallow")
    assert shallow.commit == bare.commit
    assert shallow.default_branch == "main"
    assert shallow.repository == f"{repository.parent.name}/work"


def test_pull_request(repository: Path, tmp_path: Path) -> None:
    """For a pull request, the branch is the source and the remote's default branch the target."""
    git(tmp_path, "clone", "-q", str(repository), "clone")
    git(tmp_path / "clone", "checkout", "-q", "-b", "topic")
    found = event(tmp_path / "clone", kind=EventKind.PULL_REQUEST)
    assert (found.branch, found.source_branch) == ("main", "topic")


def test_remote_without_credentials(repository: Path) -> None:
    """A password or token in the remote's URL is in no fact."""
    git(repository, "remote", "add", "origin", "https://ada:s3cret@git.example.org/team/tools/app.git")
    found = event(repository)
    assert found.remote_url == "https://git.example.org/team/tools/app.git"
    assert found.repository == "team/tools/app"
    assert "s3cret" not in repr(found)


def test_odd_bytes(repository: Path) -> None:
    """A message, an author or a file name that is no UTF-8 is read, with replacements."""
    (repository / "message").write_bytes(b"caf\xe9")
    git(repository, "-c", "i18n.commitEncoding=x-nobody-knows", "commit", "-q", "--allow-empty", "-F", "message")
    with open(os.fsencode(repository) + b"/caf\xe9.txt", "wb"):  # noqa: PTH123  bytes
        pass
    found = event(repository)
    assert found.message == "caf\ufffd"
    assert found.changed_files is not None
    assert "caf\ufffd.txt" in found.changed_files


def test_damaged_repository(tmp_path: Path) -> None:
    """A repository that cannot be read is one clear error."""
    git(tmp_path, "init", "-q")
    commit(tmp_path, "first", a_txt="1")
    (tmp_path / ".git" / "refs" / "heads" / "main").write_text("1" * 40 + "\n")
    with pytest.raises(CiError, match="cannot read the git repository"):
        event(tmp_path)


@pytest.mark.root
def test_repository_of_another_user(repository: Path) -> None:
    """Root reads the work tree of a user: nothing in it is run."""
    for path in [repository, *repository.rglob("*")]:
        os.chown(path, 12345, 12345)
    assert event(repository).branch == "main"


@pytest.mark.parametrize(
    ("url", "clean", "repository"),
    [
        ("git@github.com:owner/name.git", "git@github.com:owner/name.git", "owner/name"),
        ("github.com:owner/name", "github.com:owner/name", "owner/name"),
        ("https://github.com/owner/name.git", "https://github.com/owner/name.git", "owner/name"),
        ("https://token@github.com/owner/name", "https://github.com/owner/name", "owner/name"),
        ("https://github.com/owner/name?access_token=x", "https://github.com/owner/name", "owner/name"),
        ("ssh://git@host.example:2222/owner/name.git", "ssh://git@host.example:2222/owner/name.git", "owner/name"),
        ("ssh://git:pw@host.example/owner/name.git", "ssh://host.example/owner/name.git", "owner/name"),
        ("https://host.example/group/sub/name/", "https://host.example/group/sub/name/", "group/sub/name"),
        ("file:///srv/git/name.git", "file:///srv/git/name.git", "git/name"),
        ("/srv/git/name.git", "/srv/git/name.git", "git/name"),
        ("../name", "../name", "local/name"),
        ("https://host.example", "https://host.example", "local/repository"),
        ("", "", "local/repository"),
    ],
)
def test_parse_remote(url: str, clean: str, repository: str) -> None:
    """Every form of a remote's address gives an owner and a name, and loses its credentials."""
    remote = parse_remote(url)
    assert (remote.url, remote.repository) == (clean, repository)
