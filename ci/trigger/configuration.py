"""The pipeline of a commit: its files, read from a mirror without a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.mirror.transport import GitError
from ci.pipeline.filenames import ENDINGS, FOLDER, NAMES
from ci.pipeline.folder import load_folder
from ci.pipeline.includes import LibraryError
from ci.pipeline.loading import load
from ci.pipeline.source import SIZE_LIMIT

if TYPE_CHECKING:
    from ci.mirror.mirror import Mirror
    from ci.pipeline.loading import Loaded

_MOST_FILES = 100  # of a folder


class CommitLibrary:
    """Templates as a commit has them, or a branch, tag or commit of the same repository. A Library."""

    def __init__(self, mirror: Mirror, commit: str) -> None:
        self._mirror = mirror
        self._commit = commit

    def read(self, path: str, ref: str) -> bytes:
        """As in Library."""
        try:
            commit = self._find(ref) if ref else self._commit
            found = self._mirror.read(commit, path, SIZE_LIMIT + 1)
        except GitError as error:
            raise LibraryError(error.message, error.hint) from None
        if found is None:
            raise LibraryError(f'there is no file "{path}" at {ref or "the commit"}')
        return found

    def _find(self, ref: str) -> str:
        for namespace in ("refs/tags/", "refs/heads/"):
            try:
                return self._mirror.commit_of(namespace + ref)
            except GitError:
                continue
        if self._mirror.has(ref):
            return ref
        raise LibraryError(f'the repository has no tag, branch or commit "{ref}"')


def read(mirror: Mirror, commit: str, name: str = "") -> Loaded | None:
    """The pipeline called `name`, or by the first of the usual names that is there; None where there is none.

    Raises CiError for what is there and cannot be a pipeline.
    """
    for candidate in (name,) if name else NAMES:
        members = mirror.names(commit, candidate) if candidate == FOLDER or name else None
        if members is not None:
            return _folder(mirror, commit, candidate, members)
        text = mirror.read(commit, candidate, SIZE_LIMIT + 1)
        if text is not None:
            return load(text, candidate, CommitLibrary(mirror, commit))
    return None


def _folder(mirror: Mirror, commit: str, folder: str, members: tuple[str, ...]) -> Loaded:
    names = sorted(member for member in members if member.endswith(ENDINGS))
    if len(names) > _MOST_FILES:
        raise CiError(f"{folder} has {len(names)} pipeline files, more than {_MOST_FILES}", reference="bad-pipeline")
    texts = ((f"{folder}/{member}", mirror.read(commit, f"{folder}/{member}", SIZE_LIMIT + 1)) for member in names)
    return load_folder([(path, text) for path, text in texts if text is not None], folder)
