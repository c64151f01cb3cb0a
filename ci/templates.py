"""Templates for `include`: files of a project, as they lie there or as a git reference has them.

The Library of `ci-run`. A path never leads out of the project, not by a symbolic link either; at a reference nothing is
checked out and nothing is run, and only names of tags and branches and whole commits are looked up, no expressions.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from ci.git import reading
from ci.pipeline.includes import LibraryError
from ci.pipeline.source import SIZE_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

_NAMESPACES = ("refs/tags/", "refs/heads/", "refs/remotes/origin/")
_COMMIT_LENGTHS = {40, 64}


class ProjectLibrary:
    """Reads below one folder."""

    def __init__(self, project: Path) -> None:
        self._project = project

    def read(self, path: str, ref: str) -> bytes:
        """As in Library."""
        return self._at(path, ref) if ref else self._here(path)

    def _here(self, path: str) -> bytes:
        try:
            top = self._project.resolve()
            found = (top / path).resolve(strict=True)
            if not found.is_relative_to(top):
                raise LibraryError(f'"{path}" leads out of the project', "a template is a file of the project")
            with found.open("rb") as file:
                return file.read(SIZE_LIMIT + 1)
        except FileNotFoundError:
            raise LibraryError(f'there is no file "{path}"', f"it is looked for in {self._project}") from None
        except (OSError, RuntimeError) as error:  # RuntimeError: links that go in a circle
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise LibraryError(f'"{path}" cannot be read: {reason.lower()}') from None

    def _at(self, path: str, ref: str) -> bytes:
        with reading() as pygit2:
            found = pygit2.discover_repository(str(self._project))
            if not found:
                raise LibraryError(f'there is no git repository to take "{ref}" from', "leave out ref")
            try:
                repository = pygit2.Repository(found)
                tree = _commit(pygit2, repository, ref).tree
                return _blob(pygit2, tree, self._prefix(repository) + path, ref)
            except (pygit2.GitError, OSError, ValueError) as error:
                raise LibraryError(f"{ref}: the git repository cannot be read: {error}") from None

    def _prefix(self, repository: Any) -> str:
        """The project's path in the repository, which may be larger; empty for a bare one."""
        if not repository.workdir:
            return ""
        from pathlib import Path  # noqa: PLC0415

        inside = self._project.resolve().relative_to(Path(repository.workdir).resolve()).as_posix()
        return "" if inside == "." else f"{inside}/"


def _commit(pygit2: Any, repository: Any, ref: str) -> Any:
    for namespace in _NAMESPACES:
        try:
            return repository.lookup_reference(namespace + ref).peel(pygit2.Commit)
        except (KeyError, ValueError):  # ValueError: it is no name that a reference can have
            continue
    if len(ref) in _COMMIT_LENGTHS and not set(ref) - set("0123456789abcdef"):
        commit = repository.get(ref)
        if isinstance(commit, pygit2.Commit):
            return commit
    raise LibraryError(f'the repository has no tag, branch or commit "{ref}"', "was it fetched?")


def _blob(pygit2: Any, tree: Any, path: str, ref: str) -> bytes:
    try:
        entry = tree[path]
    except KeyError:
        raise LibraryError(f'there is no file "{path}" at {ref}') from None
    if not isinstance(entry, pygit2.Blob) or not stat.S_ISREG(entry.filemode):
        raise LibraryError(f'"{path}" at {ref} is no file')
    if entry.size > SIZE_LIMIT:
        raise LibraryError(f'"{path}" at {ref} has more than {SIZE_LIMIT >> 20} MiB')
    return bytes(entry.data)
