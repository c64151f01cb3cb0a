"""Clones of real git servers, by the settings of pipelines."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from ci.mirror.transport import GitError
from ci.pipeline.spec import Clone
from runners.cloning import Project, clone
from tests.ci.origin import Origin
from tests.runners.gitserver import daemon, http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAIN = Clone(submodules=False, lfs=False, retries=0)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A repository of three commits, a tag at the second."""
    made = Origin(tmp_path / "app")
    made.git("config", "uploadpack.allowFilter", "true")
    for text in ("one", "two", "three"):
        (made.folder / "file").write_text(text)
        made.git("add", "-A")
        made.git("commit", "-q", "-m", text)
        if text == "two":
            made.git("tag", "v2")
    return made


@pytest.fixture
def url(origin: Origin) -> Iterator[str]:
    """The folder of the repository, served by git's daemon."""
    with daemon(origin.folder.parent) as base:
        yield base


def cloned(project: Project, how: Clone, tmp_path: Path) -> Origin:
    """The clone."""
    target = tmp_path / "clone"
    target.mkdir()
    clone(project, how, target, tell=lambda _: None)
    return Origin(target)


def test_a_branch(origin: Origin, url: str, tmp_path: Path) -> None:
    """Checked out as itself, with all of its history and the tags."""
    head = origin.git("rev-parse", "HEAD")
    made = cloned(Project(url=f"{url}/app", ref="refs/heads/main", commit=head, branch="main"), PLAIN, tmp_path)
    assert (made.folder / "file").read_text() == "three"
    assert made.git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert made.git("rev-parse", "origin/main") == head
    assert made.git("describe", "--tags").startswith("v2-1-g")
    assert made.git("log", "--format=%s").split() == ["three", "two", "one"]
    assert made.git("status", "--short") == ""


def test_as_little_as_possible(origin: Origin, url: str, tmp_path: Path) -> None:
    """One commit, no tags, no contents of the past."""
    head = origin.git("rev-parse", "HEAD")
    how = Clone(submodules=False, lfs=False, retries=0, depth=1, tags=False, partial=True)
    made = cloned(Project(url=f"{url}/app", ref="refs/heads/main", commit=head, branch="main"), how, tmp_path)
    assert made.git("log", "--format=%s").split() == ["three"]
    assert made.git("tag") == ""
    assert made.git("config", "remote.origin.partialclonefilter") == "blob:none"
    assert (made.folder / "file").read_text() == "three"


@pytest.mark.parametrize("depth", [0, 1])
def test_a_branch_that_has_gone_on(origin: Origin, url: str, tmp_path: Path, depth: int) -> None:
    """What is built is the event's commit."""
    first = origin.git("rev-parse", "HEAD~2")
    how = Clone(submodules=False, lfs=False, retries=0, depth=depth)
    made = cloned(Project(url=f"{url}/app", ref="refs/heads/main", commit=first, branch="main"), how, tmp_path)
    assert (made.folder / "file").read_text() == "one"


def test_tags_and_pull_requests(origin: Origin, url: str, tmp_path: Path) -> None:
    """By their references, on no branch."""
    second = origin.git("rev-parse", "v2")
    origin.git("update-ref", "refs/pull/7/head", second)
    for number, ref in enumerate(("refs/tags/v2", "refs/pull/7/head")):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = cloned(Project(url=f"{url}/app", ref=ref, commit=second), PLAIN, folder)
        assert (made.folder / "file").read_text() == "two"
        assert made.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD"


def test_what_is_not_there(url: str, tmp_path: Path) -> None:
    """One line that says what."""
    with pytest.raises(GitError, match=f"no commit {'1' * 12} at refs/heads/main"):
        cloned(Project(url=f"{url}/app", ref="refs/heads/main", commit="1" * 40), PLAIN, tmp_path)
    (tmp_path / "clone").rename(tmp_path / "before")
    with pytest.raises(GitError, match=r"git fetch failed: .*nonesuch"):
        cloned(Project(url=f"{url}/nonesuch", ref="refs/heads/main", commit="1" * 40), PLAIN, tmp_path)


def with_submodule(origin: Origin, address: str) -> str:
    """A commit with a submodule `lib`, which has one of its own."""
    for name, inner in (("inner", ""), ("lib", "inner")):
        part = Origin(origin.folder.parent / name)
        (part.folder / "file").write_text(name)
        if inner:
            submodule(part, inner, address)
        part.git("add", "-A")
        part.git("commit", "-q", "-m", name)
    submodule(origin, "lib", address)
    origin.git("commit", "-q", "-a", "-m", "with lib")
    return origin.git("rev-parse", "HEAD")


def submodule(outer: Origin, name: str, address: str) -> None:
    """Add one, without a checkout that anybody looks at."""
    there = f"file://{outer.folder.parent / name}"
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--", there, name)
    outer.git("config", "--file", ".gitmodules", f"submodule.{name}.url", f"{address}/{name}")
    outer.git("add", ".gitmodules")


@pytest.mark.parametrize("partial", [False, True])
def test_submodules(origin: Origin, url: str, tmp_path: Path, partial: bool) -> None:
    """With theirs, also where only little is fetched; without, the folder is empty."""
    head = with_submodule(origin, url)
    project = Project(url=f"{url}/app", ref="refs/heads/main", commit=head, branch="main")
    made = cloned(project, Clone(partial=partial, depth=int(partial), retries=0), tmp_path)
    assert (made.folder / "lib/file").read_text() == "lib"
    assert (made.folder / "lib/inner/file").read_text() == "inner"
    assert made.git("status", "--short") == ""
    shutil.rmtree(made.folder)
    assert not any((cloned(project, PLAIN, tmp_path).folder / "lib").iterdir())


def test_addresses_of_submodules(origin: Origin, url: str, tmp_path: Path) -> None:
    """Those of the pipeline count more than those of the project."""
    head = with_submodule(origin, "git://127.0.0.1:1")
    project = Project(url=f"{url}/app", ref="refs/heads/main", commit=head, branch="main")
    how = Clone(submodule_urls=(("lib", f"{url}/lib"),), retries=0)
    with pytest.raises(GitError, match="git submodule failed"):  # of that one's own, nothing was said
        cloned(project, how, tmp_path)
    assert (tmp_path / "clone/lib/file").read_text() == "lib"


def test_no_submodule_is_of_this_host(origin: Origin, url: str, tmp_path: Path) -> None:
    """A project that names a folder of the host gets nothing of it (CVE-2022-39253)."""
    head = with_submodule(origin, f"file://{origin.folder.parent}")
    with pytest.raises(GitError, match="transport 'file' not allowed"):
        cloned(Project(url=f"{url}/app", ref="refs/heads/main", commit=head), Clone(retries=0), tmp_path)


def test_it_is_tried_again(origin: Origin, tmp_path: Path) -> None:
    """As often as said, with pauses; each is told."""
    head = origin.git("rev-parse", "HEAD")
    (tmp_path / "clone").mkdir()
    told: list[str] = []
    pauses: list[float] = []
    with http(origin.folder.parent, failures=2) as base:
        project = Project(url=f"{base}/app/.git", ref="refs/heads/main", commit=head, branch="main")
        how = Clone(submodules=False, lfs=False, retries=3, backoff=7)
        clone(project, how, tmp_path / "clone", tell=told.append, sleep=pauses.append)
    assert pauses == [7, 7]
    assert told[0].endswith("trying again in 7 s (3 left)")
    assert "503" in told[0]
    assert (tmp_path / "clone/file").read_text() == "three"


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_large_files(origin: Origin, tmp_path: Path) -> None:
    """Of Git LFS: the files, or, if not wanted, the pointers."""
    origin.git("lfs", "install", "--local")
    origin.git("lfs", "track", "*.bin")
    (origin.folder / "large.bin").write_text("large")
    origin.git("add", "-A")
    origin.git("commit", "-q", "-m", "large")
    head = origin.git("rev-parse", "HEAD")
    project = Project(url=origin.url, ref="refs/heads/main", commit=head, branch="main", is_here=True)
    made = cloned(project, Clone(retries=0), tmp_path)
    assert (made.folder / "large.bin").read_text() == "large"
    shutil.rmtree(made.folder)
    assert (cloned(project, PLAIN, tmp_path).folder / "large.bin").read_text().startswith("version https://git-lfs")
