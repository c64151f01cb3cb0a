"""A repository of some commits, made by the real git."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Origin:
    """A repository with a work tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.exists():  # else it is one that somebody else has made
            folder.mkdir()
            self.git("init", "-q", "-b", "main")

    @property
    def url(self) -> str:
        """Where it is fetched from."""
        return f"file://{self.folder}"

    def git(self, *words: str) -> str:
        """What git prints there."""
        environment = os.environ | {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ann",
            "GIT_AUTHOR_EMAIL": "ann@example.org",
            "GIT_COMMITTER_NAME": "Ann",
            "GIT_COMMITTER_EMAIL": "ann@example.org",
        }
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, message: str = "Change", **files: str) -> str:
        """Commit these files (`__` stands for a slash, `_` at the end for nothing); the commit."""
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("DOT", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")
