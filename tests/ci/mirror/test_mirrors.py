"""Mirrors are fetched by the real git and read without a checkout."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ci.mirror.mirrors import Mirrors
from ci.mirror.transport import GitError, Remote, check_url, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ci.origin import Origin


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    """Mirrors that may be of this host's repositories."""
    return Mirrors(tmp_path / "mirrors", files=True)


def test_a_commit_is_fetched_and_read(mirrors: Mirrors, origin: Origin) -> None:
    """With what it says; files, folders and what is neither."""
    commit = origin.commit("First\n\nWhy.", DOTciDOTyml="steps: []\n", DOTwoodpecker__aDOTyml="x")
    mirror = mirrors.fetch("1", Remote(url=origin.url), commit)
    assert mirror.read(commit, ".ci.yml", 100) == b"steps: []\n"
    assert mirror.read(commit, ".ci.yml", 5) == b"steps"
    assert mirror.names(commit, ".woodpecker") == ("a.yml",)
    assert mirror.read(commit, ".woodpecker", 100) is None
    assert mirror.names(commit, ".ci.yml") is None
    assert mirror.read(commit, "nonesuch/../.ci.yml", 100) is None
    assert (mirror.message(commit), mirror.author(commit)) == ("First\n\nWhy.\n", ("Ann", "ann@example.org"))
    assert abs(mirror.committed(commit) - time.time()) < 600
    assert not (mirror.path / ".ci.yml").exists()


def test_what_is_there_costs_no_connection(mirrors: Mirrors, origin: Origin) -> None:
    """The forge may be away; a new commit is fetched."""
    first = origin.commit()
    mirrors.fetch("1", Remote(url=origin.url), first)
    away = Remote(url="https://127.0.0.1:1/x.git")
    assert mirrors.fetch("1", away, first).has(first)
    second = origin.commit()
    with pytest.raises(GitError, match="git fetch failed"):
        mirrors.fetch("1", away, second)
    assert mirrors.fetch("1", Remote(url=origin.url), second).has(second)


def test_branches_and_tags_follow(mirrors: Mirrors, origin: Origin) -> None:
    """Overwritten ones are overwritten, removed ones go; an annotated tag leads to its commit."""
    first = origin.commit()
    origin.git("branch", "gone")
    mirrors.fetch("1", Remote(url=origin.url), first)
    origin.git("branch", "-D", "gone")
    origin.git("commit", "-q", "--amend", "--allow-empty", "-m", "Other")
    origin.git("tag", "-a", "v1", "-m", "One")
    second = origin.git("rev-parse", "HEAD")
    mirror = mirrors.fetch("1", Remote(url=origin.url), second)
    assert mirror.commit_of("refs/heads/main") == second
    assert mirror.commit_of("refs/tags/v1") == second
    with pytest.raises(GitError, match="there is no refs/heads/gone"):
        mirror.commit_of("refs/heads/gone")


def test_a_pull_requests_commit_is_found_by_its_reference(mirrors: Mirrors, origin: Origin) -> None:
    """No branch has it."""
    base = origin.commit()
    commit = origin.commit("Proposed")
    origin.git("update-ref", "refs/pull/3/head", commit)
    origin.git("reset", "-q", "--hard", base)
    remote = Remote(url=origin.url)
    with pytest.raises(GitError, match="is not in file://") as caught:
        mirrors.fetch("1", remote, commit)
    assert "was the branch overwritten?" in str(caught.value)
    assert mirrors.fetch("1", remote, commit, "refs/pull/3/head").has(commit)


def test_what_changed(mirrors: Mirrors, origin: Origin) -> None:
    """Both names of what was moved; nothing is known where a commit is not there."""
    first = origin.commit(a="1\n" * 50, b="1")
    (origin.folder / "a").rename(origin.folder / "moved")
    second = origin.commit(b="2", c="3")
    mirror = mirrors.fetch("1", Remote(url=origin.url), second)
    assert mirror.changed_files(first, second) == ("a", "b", "c", "moved")
    assert mirror.changed_files(first, first) == ()
    assert mirror.changed_files("0" * 40, second) is None


def test_links_are_not_read(mirrors: Mirrors, origin: Origin) -> None:
    """Neither to files of the repository nor to those of the host."""
    (origin.folder / ".ci.yml").symlink_to("/etc/passwd")
    commit = origin.commit()
    mirror = mirrors.fetch("1", Remote(url=origin.url), commit)
    with pytest.raises(GitError, match="is a link"):
        mirror.read(commit, ".ci.yml", 100)


def test_many_fetch_at_once(mirrors: Mirrors, origin: Origin) -> None:
    """They wait for one another, and all have the commit."""
    commit = origin.commit()
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(mirrors.fetch("1", Remote(url=origin.url), commit).has(commit)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 6


@pytest.mark.parametrize("damage", ["lock", "head", "objects"])
def test_a_damaged_mirror_is_mended(mirrors: Mirrors, origin: Origin, damage: str) -> None:
    """What a killed git has left locked, and what a loss of power has emptied."""
    remote = Remote(url=origin.url)
    first = origin.commit(a="1")
    path = mirrors.fetch("1", remote, first).path
    if damage == "lock":
        (path / "refs/heads/main.lock").touch()
        (path / "packed-refs.lock").touch()
    elif damage == "head":
        (path / "HEAD").write_bytes(b"")
    else:
        for file in path.glob("objects/**/*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(b"")
    second = origin.commit(a="2")
    assert mirrors.fetch("1", remote, second).has(second)


def test_a_mirror_is_removed(mirrors: Mirrors, origin: Origin) -> None:
    """It may be made again."""
    commit = origin.commit()
    path = mirrors.fetch("1", Remote(url=origin.url), commit).path
    mirrors.remove("1")
    assert not path.exists()
    mirrors.remove("1")
    assert mirrors.fetch("1", Remote(url=origin.url), commit).has(commit)


def test_a_forge_that_hangs_is_given_up(tmp_path: Path) -> None:
    """With all that git has started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.git"
        begun = time.monotonic()
        with pytest.raises(GitError, match="took more than 1 s"):
            Mirrors(tmp_path, timeout=1).fetch("1", Remote(url=url), "1" * 40)
        assert time.monotonic() - begun < 30
    deadline = time.monotonic() + 30
    while url in _processes() and time.monotonic() < deadline:  # a killed process takes a moment to go
        time.sleep(0.05)
    assert url not in _processes()


def _processes() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_what_logs_in_is_hidden(tmp_path: Path) -> None:
    """It is in no argument and no file; the forge gets it."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        remote = Remote(url=f"http://127.0.0.1:{server.getsockname()[1]}/x.git", header="Authorization: Basic c2VjcmV0")
        with pytest.raises(GitError, match="git fetch failed") as caught:
            Mirrors(tmp_path, timeout=20).fetch("1", remote, "1" * 40)
        thread.join()
    assert b"Authorization: Basic c2VjcmV0" in seen[0]
    assert "c2VjcmV0" not in str(caught.value)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"c2VjcmV0" in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/etc",
        "../x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch%20/tmp/x",
        "file:///etc",
        "https://",
        "https://a b/x",
        "-oProxyCommand=x@host:y",
        "ssh://-oProxyCommand=x/y",
        "fd::3",
    ],
)
def test_urls_that_are_none(url: str, tmp_path: Path) -> None:
    """Other protocols, paths of this host, and options: refused by us, or by ssh itself."""
    with pytest.raises(GitError):
        Mirrors(tmp_path, timeout=20).fetch("1", Remote(url=url), "1" * 40)


@pytest.mark.parametrize("url", ["https://forge.example/a/b.git", "git@forge.example:a/b.git", "ssh://git@f:22/x"])
def test_urls_that_are_some(url: str) -> None:
    """Of the protocols that forges speak."""
    check_url(url)


def test_nobodys_configuration_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's nor one in the environment."""
    (tmp_path / ".gitconfig").write_text('[alias]\n\tx = "!echo mine"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'alias.x'='!echo mine'")
    with pytest.raises(GitError) as caught:
        run(["x"], tmp_path, timeout=20)
    assert "mine" not in str(caught.value)
    with pytest.raises(GitError, match="config failed"):
        run(["config", "--get-regexp", "alias"], tmp_path, timeout=20)
    assert run(["version"], tmp_path, timeout=20).startswith("git version")
