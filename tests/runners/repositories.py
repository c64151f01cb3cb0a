"""Bare repositories with some history, as a runner's mirrors are."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PLAIN = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *words]
    done = subprocess.run(command, cwd=folder, env=os.environ | _PLAIN, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Project:
    """A repository that somebody works in, and a bare mirror of it."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.mirror = folder / "mirror.git"
        self.work.mkdir(parents=True)
        git(self.work, "init", "--quiet")

    def commit(self, files: dict[str, str | None], message: str = "change", *, tag: str = "") -> str:
        """Write (None: remove) files, commit, bring the mirror up to date; the commit's name."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "-m", message)
        if tag:
            git(self.work, "tag", "-a", tag, "-m", tag)
        if not self.mirror.exists():
            git(self.work, "clone", "--quiet", "--bare", ".", str(self.mirror))
        git(
            self.mirror,
            "fetch",
            "--quiet",
            "--force",
            str(self.work),
            "+refs/heads/*:refs/heads/*",
            "refs/tags/*:refs/tags/*",
        )
        return git(self.work, "rev-parse", "HEAD")
