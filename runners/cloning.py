"""A fresh clone of a project as a workspace: what a server's runner builds in, and `ci-run local --clone`.

git itself does it, led by nobody's configuration (`ci.mirror.transport`): only the commit of the event is checked out,
with as much history as the pipeline wants. Submodules come from where `.gitmodules` says, over the network only, so
that one that names a folder of this host gets nothing (CVE-2022-39253). Files of Git LFS are fetched where git-lfs is.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.mirror.transport import GitError, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci.pipeline.spec import Clone

_TIMEOUT = 3600.0  # seconds of one command
_LOCAL = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What to clone: `ref` is the full reference that leads to `commit`; `branch` what is checked out as, or nothing.

    `is_here`: it is a repository of this host, which is allowed.
    """

    url: str
    ref: str
    commit: str
    branch: str = ""
    is_here: bool = False


def clone(
    project: Project,
    how: Clone,
    target: Path,
    *,
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Make `target`, an empty folder, a clone. `tell` is given sentences. Raises GitError (a CiError)."""
    fetching = _Fetching(project, how, target, tell, sleep)
    fetching.git("init", "-q")
    fetching.git("remote", "add", "--", "origin", project.url)
    if how.skip_verify:
        fetching.git("config", "http.sslVerify", "false")
    fetching.commit()
    words = ("-B", project.branch) if project.branch else ("--detach",)
    fetching.git("-c", "advice.detachedHead=false", "checkout", "-q", "-f", *words, project.commit, needs_server=True)
    fetching.rest()


def complete(project: Project, how: Clone, target: Path, *, tell: Callable[[str], None]) -> None:
    """What a work tree of the commit lacks: submodules, files of Git LFS. Raises GitError."""
    _Fetching(project, how, target, tell, time.sleep).rest()


class _Fetching:
    """One clone that is being made."""

    def __init__(
        self, project: Project, how: Clone, target: Path, tell: Callable[[str], None], sleep: Callable[[float], None]
    ) -> None:
        self._project = project
        self._how = how
        self._target = target
        self._tell = tell
        self._sleep = sleep

    def git(self, *words: str, needs_server: bool = False, files: bool | None = None) -> str:
        """Run it; what a server has to do with is tried again."""
        here = self._project.is_here if files is None else files
        if not needs_server:
            return run(words, self._target, timeout=_LOCAL, files=here)
        for left in range(self._how.retries, 0, -1):
            try:
                return run(words, self._target, timeout=_TIMEOUT, files=here)
            except GitError as error:
                self._tell(f"{error.message}; trying again in {self._how.backoff:g} s ({left} left)")
                self._sleep(self._how.backoff)
        return run(words, self._target, timeout=_TIMEOUT, files=here)

    def commit(self) -> None:
        """The commit with its history: by its reference, or, where that has gone on meanwhile, by its name."""
        how, project = self._how, self._project
        words = ["fetch", "-q", "--tags" if how.tags else "--no-tags"]
        words += [f"--depth={how.depth}"] if how.depth else []
        words += ["--filter=blob:none"] if how.partial else []
        kept = f"refs/remotes/origin/{project.branch}" if project.branch else ""
        self.git(*words, "origin", f"+{project.ref}:{kept}", needs_server=True)
        if self._has(project.commit):
            return
        try:
            self.git(*words, "origin", project.commit)
        except GitError:
            if how.depth:  # the server gives no commit by its name, but this one may be further back
                self.git("fetch", "-q", "--unshallow", "origin", f"+{project.ref}:{kept}", needs_server=True)
        if not self._has(project.commit):
            raise GitError(f"{project.url} has no commit {project.commit[:12]} at {project.ref}", hint="is it pushed?")

    def rest(self) -> None:
        """What is not in the repository itself."""
        if self._how.submodules and (self._target / ".gitmodules").is_file():
            self.submodules()
        if self._how.lfs and _uses_lfs(self._target):
            self.lfs()

    def submodules(self) -> None:
        """With theirs; none from this host."""
        for name, url in self._how.submodule_urls:
            self.git("config", f"submodule.{name}.url", url)
        words = ["submodule", "--quiet", "update", "--init", "--recursive"]
        words += ["--depth=1", "--recommend-shallow"] if self._how.partial else []
        self.git(*words, needs_server=True, files=False)

    def lfs(self) -> None:
        """The files in place of the pointers."""
        if shutil.which("git-lfs") is None:
            self._tell("git-lfs is not installed: files of Git LFS are the pointers to them")
            return
        self.git("lfs", "install", "--local", "--skip-repo", "--skip-smudge")
        self.git("lfs", "pull", needs_server=True)
        self.git("config", "--remove-section", "filter.lfs")  # the steps' images need not have git-lfs

    def _has(self, commit: str) -> bool:
        try:
            self.git("cat-file", "-e", f"{commit}^{{commit}}")
        except GitError:
            return False
        return True


def _uses_lfs(target: Path) -> bool:
    """Whether a `.gitattributes` says so, wherever it is."""
    return any(
        path.is_file() and not path.is_symlink() and b"filter=lfs" in path.read_bytes()
        for path in target.rglob(".gitattributes")
    )
