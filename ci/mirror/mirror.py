"""One mirror, as it is read: files at a commit, what a commit says, what changed between two. No checkout, no hook.

libgit2 reads (pygit2). Everything that comes out was written by strangers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pygit2
from pygit2.enums import DeltaStatus, FileMode, ObjectType

from ci.mirror.transport import GitError

if TYPE_CHECKING:
    from pathlib import Path

_MOST_CHANGED = 10_000  # files; a condition on paths that meets more holds, as when they are not known


class Mirror:
    """A bare repository. Raises GitError where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._repository = pygit2.Repository(str(path))
        except pygit2.GitError as error:
            raise GitError(f"{path} is not a git repository: {error}") from None

    def has(self, commit: str) -> bool:
        """Whether a commit is there."""
        return self._find(commit) is not None

    def read(self, commit: str, path: str, limit: int) -> bytes | None:
        """A file's first `limit` bytes; None where there is none. Raises GitError for a link, or something else."""
        entry = self._entry(commit, path)
        if entry is None or entry.type == ObjectType.TREE:
            return None
        if entry.filemode not in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
            kind = "a link" if entry.filemode == FileMode.LINK else "a submodule"
            raise GitError(f"{path} at {commit[:12]} is {kind}", hint="put the file itself there")
        return bytes(memoryview(cast("pygit2.Blob", entry))[:limit])

    def names(self, commit: str, folder: str) -> tuple[str, ...] | None:
        """What is in a folder, in git's order; None where there is none."""
        entry = self._entry(commit, folder)
        if entry is None or entry.type != ObjectType.TREE:
            return None
        return tuple(one.name or "" for one in cast("pygit2.Tree", entry))

    def message(self, commit: str) -> str:
        """A commit's message."""
        return str(self._commit(commit).message)

    def author(self, commit: str) -> tuple[str, str]:
        """A commit's author: name and address."""
        signature = self._commit(commit).author
        return str(signature.name), str(signature.email)

    def committed(self, commit: str) -> int:
        """When a commit was made, in seconds since 1970."""
        return int(self._commit(commit).commit_time)

    def commit_of(self, ref: str) -> str:
        """The commit that a reference leads to, through a tag's object. Raises GitError."""
        try:
            target: Any = self._repository.lookup_reference(ref).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            raise GitError(f"there is no {ref} in the repository") from None
        return str(target.id)

    def changed_files(self, before: str, after: str) -> tuple[str, ...] | None:
        """Paths that differ between two commits; None where one is not there, or there are too many."""
        old, new = self._find(before), self._find(after)
        if old is None or new is None:
            return None
        found: set[str] = set()
        for delta in self._repository.diff(old, new).deltas:
            if delta.status != DeltaStatus.UNMODIFIED:
                found |= {delta.old_file.path, delta.new_file.path}
            if len(found) > _MOST_CHANGED:
                return None
        return tuple(sorted(found))

    def fork_point(self, branch: str, commit: str) -> str:
        """The commit at which `commit` has left a branch; empty where they have none in common."""
        base = self._repository.merge_base(self.commit_of(f"refs/heads/{branch}"), commit)
        return str(base) if base is not None else ""

    def _entry(self, commit: str, path: str) -> pygit2.Object | None:
        try:
            return cast("pygit2.Object", self._commit(commit).tree[path])
        except (KeyError, ValueError):
            return None

    def _commit(self, commit: str) -> pygit2.Commit:
        found = self._find(commit)
        if found is None:
            raise GitError(f"commit {commit[:12]} is not in the repository")
        return found

    def _find(self, commit: str) -> pygit2.Commit | None:
        try:
            found = self._repository.get(commit)
        except ValueError:
            return None
        return found if isinstance(found, pygit2.Commit) else None
