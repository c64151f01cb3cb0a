"""The mirrors of one host, a folder each. Any number of processes may use them; each is fetched by one at a time.

Called by the trigger, which reads configuration from them, and by runners, whose workspaces share their objects. A
commit that is there already costs no connection: of many Stages of a build the first fetches. A mirror that was damaged
(by a loss of power, say) is made anew.
"""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ci.mirror import transport
from ci.mirror.mirror import Mirror
from ci.mirror.transport import GitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci.mirror.transport import Remote

_DAMAGED = ("not a git repository", "bad object", "corrupt", "unable to read", "missing blob", "broken", "object file")
_TIMEOUT = 900.0  # seconds that a fetch may take
_REFERENCES = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


class Mirrors:
    """The mirrors below `root`. `files` allows repositories of this host (file://), which a server's users must not
    name.
    """

    def __init__(self, root: Path, *, timeout: float = _TIMEOUT, files: bool = False) -> None:
        self._root = root
        self._timeout = timeout
        self._files = files

    def fetch(self, key: str, remote: Remote, commit: str, ref: str = "") -> Mirror:
        """The mirror called `key` (the server's id of the repository), with `commit` in it; fetched where it is not.

        `ref` is where the commit is to be found, for one that no branch or tag has (a pull request's). An empty commit:
        the newest of everything. Raises GitError, also where the commit is not there afterwards.
        """
        transport.check_url(remote.url, files=self._files)
        folder = self._folder(key)
        with self._locked(key):
            mirror = _present(folder)
            if mirror is None or not commit or not mirror.has(commit):
                mirror = self._updated(folder, remote, ref)
        if commit and not mirror.has(commit):
            where = f" (looked for in {ref})" if ref else ""
            raise GitError(f"commit {commit[:12]} is not in {remote.url}{where}", hint="was the branch overwritten?")
        return mirror

    def remove(self, key: str) -> None:
        """Of a repository that is not built any more; workspaces that share its objects are broken by it."""
        with self._locked(key), suppress(FileNotFoundError):
            shutil.rmtree(self._folder(key))

    def _updated(self, folder: Path, remote: Remote, ref: str) -> Mirror:
        try:
            return self._update(folder, remote, ref)
        except GitError as error:
            if not any(word in error.message for word in _DAMAGED):
                raise
        shutil.rmtree(folder)
        return self._update(folder, remote, ref)

    def _update(self, folder: Path, remote: Remote, ref: str) -> Mirror:
        if not (folder / "HEAD").exists():
            folder.mkdir(parents=True, exist_ok=True)
            transport.run(["init", "--bare", "--quiet"], folder, timeout=60)
        _remove_locks(folder)
        wanted = list(_REFERENCES)
        if ref and not ref.startswith(("refs/heads/", "refs/tags/")):
            wanted.append(f"+{ref}:{ref}")
        options = ["--quiet", "--no-write-fetch-head", "--prune", "--no-tags", "--force"]
        command = ["fetch", *options, "--", remote.url, *wanted]
        transport.run(command, folder, timeout=self._timeout, header=remote.header, files=self._files)
        return Mirror(folder)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / f"{key}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _folder(self, key: str) -> Path:
        if not key.isalnum():
            raise GitError(f"{key!r} is no name of a mirror")
        return self._root / f"{key}.git"


def _present(folder: Path) -> Mirror | None:
    try:
        return Mirror(folder)
    except GitError:
        return None


def _remove_locks(folder: Path) -> None:
    """Of a git that was killed: nobody else works here now, and the next one would refuse to."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*"):
        for path in folder.glob(pattern):
            with suppress(FileNotFoundError):
                path.unlink()
