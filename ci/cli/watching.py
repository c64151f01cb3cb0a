"""`ci-run local --watch`: build, and again whenever the project's files have changed, until Ctrl-C.

Every build is a process of its own, so that nothing of one reaches the next. What changes while a build runs starts
another one after it. Files that git ignores, and `.git` itself, start nothing.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from ci.cli.inotify import Inotify
from ci.errors import CiError
from runners import gitrepo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import FrameType

_QUIET = 0.2  # seconds without a change, after one: an editor or `git checkout` has finished
_LONGEST = 2.0  # seconds; something writes all the time
_INTERRUPTED = 130


def watch(project: Path, words: Sequence[str]) -> int:
    """Run `ci-run` with `words` again and again; returns when it is interrupted."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    watched = Watched(project)
    try:
        while True:
            _build(words)
            sys.stderr.write("ci-run: waiting for a change (Ctrl-C ends)\n")
            changed = watched.wait()
            sys.stderr.write(f"ci-run: {changed} changed\n")
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        watched.close()
        signal.signal(signal.SIGTERM, before)


class Watched:
    """The folders of a project that are not ignored."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._top = os.fsencode(project)
        self._in_git = gitrepo.enclosing(project) is not None
        self._inotify = Inotify()
        self._add(self._top)

    def wait(self) -> str:
        """Wait until something has changed, and then until it is quiet; the name of what changed first."""
        while True:
            self._has_news(None)
            found, started = self._collect(), time.monotonic()
            while time.monotonic() - started < _LONGEST and self._has_news(_QUIET):
                found += self._collect()
            if relevant := self._relevant(tuple(dict.fromkeys(found))):
                return os.fsdecode(relevant)

    def close(self) -> None:
        """Watch no more."""
        self._inotify.close()

    def _has_news(self, timeout: float | None) -> bool:
        readable, _, _ = select.select([self._inotify], [], [], timeout)
        return bool(readable)

    def _collect(self) -> list[bytes]:
        """The paths of what has happened, relative; new folders are watched from now on."""
        found = []
        for one in self._inotify.read():
            path = one.folder + b"/" + one.name
            if one.name == b".git":
                continue
            if one.is_folder:
                self._add(path)
            found.append(os.path.relpath(path, self._top) if one.name else b".")
        return found

    def _relevant(self, paths: Sequence[bytes]) -> bytes:
        """The first of them that git does not ignore; empty if there is none."""
        asked = [path for path in paths if path != b"."]
        ignored = gitrepo.ignored(self._project, asked) if self._in_git and asked else frozenset()
        return next((path for path in paths if path not in ignored), b"")

    def _add(self, folder: bytes) -> None:
        waiting = [folder]
        try:
            while waiting:
                path = waiting.pop()
                self._inotify.add(path)
                waiting += self._below(path)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise CiError(
                f"{os.fsdecode(self._top)} has more folders than may be watched",
                hint="raise /proc/sys/fs/inotify/max_user_watches",
                reference="too-many-folders",
            ) from None

    def _below(self, folder: bytes) -> list[bytes]:
        """The folders in a folder that are worth watching. What is ignored is asked for all of them at once."""
        try:
            with os.scandir(folder) as entries:
                found = [
                    entry.path for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name != b".git"
                ]
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []
        if not found or not self._in_git:
            return found
        ignored = gitrepo.ignored(self._project, found)
        return [path for path in found if path not in ignored]


def _build(words: Sequence[str]) -> None:
    process = subprocess.Popen([sys.executable, "-m", "ci.cli.main", *words])
    try:
        process.wait()
    except KeyboardInterrupt:  # of Ctrl-C it has heard itself; it tidies up
        if not _is_told_by_the_terminal():
            process.terminate()
        process.wait()
        raise


def _is_told_by_the_terminal() -> bool:
    """Whether a Ctrl-C has reached the build, too: it is of the terminal's foreground group, as we are."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
