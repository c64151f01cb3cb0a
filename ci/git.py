"""The facts of an event from a git work tree: the adapter of pygit2 for `ci-run local`.

Reads only, and runs nothing: libgit2 starts no hook, filter or monitor, whatever the repository's configuration names.
pygit2 is imported when the first event is asked for; that alone takes 60 ms.

Works in a work tree, a subdirectory of one, a linked work tree, a bare repository, one without commits, a shallow
clone, and in a directory that is in no repository at all; what is not known then has the value that serves best
(NULL_COMMIT, `local/<directory>`).
"""

from __future__ import annotations

import posixpath
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci.errors import CiError
from ci.pipeline.event import NULL_COMMIT, Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCAL_OWNER = "local"  # of a repository that has no remote

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(?:([^/@]*)@)?([^/]*)(/.*)?", re.IGNORECASE | re.DOTALL)
_SCP = re.compile(r"(?:([^/@:]+)@)?([^/:]{2,}):(?!//)(.+)", re.DOTALL)  # one letter is a drive, not a host


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where a repository comes from: `url` without credentials, `repository` as owner/name."""

    url: str
    repository: str


def event(
    directory: Path,
    *,
    kind: EventKind = EventKind.PUSH,
    tag: str = "",
    user: str = "",
    created: int = 0,
    platform: str = "linux/amd64",
) -> Event:
    """The event that a build of `directory`, as it is now, answers to.

    `user` is the author where git knows none. For a pull request, HEAD's branch is the source and the remote's default
    branch the target. `tag` is that of a tag or release, by default one at HEAD. Raises CiError for a repository that
    libgit2 cannot read, and where a tag is wanted and none is at HEAD.
    """
    with reading() as pygit2:
        found = pygit2.discover_repository(str(directory))
        if not found:
            return Event(
                kind=kind,
                tag=tag,
                author=user,
                repository=f"{LOCAL_OWNER}/{directory.resolve().name or 'root'}",
                created=created,
                platform=platform,
            )
        try:
            return _Facts(pygit2, pygit2.Repository(found)).event(kind, tag, user, created, platform)
        except (pygit2.GitError, KeyError, OSError, ValueError) as error:
            hint = "is it damaged, or of a format that libgit2 does not know?"
            raise CiError(
                f"cannot read the git repository {found!r}: {error}", hint=hint, reference="bad-git"
            ) from error


def parse_remote(url: str) -> Remote:
    """A remote's URL, without credentials, and the owner/name in it.

    Understands URLs, `user@host:path` and paths. Of a local path the last two parts count; a name without an owner gets
    LOCAL_OWNER.
    """
    local = False
    if match := _URL.fullmatch(url):
        scheme, userinfo, host, path = match[1], match[2], match[3], match[4] or ""
        user = f"{userinfo}@" if userinfo and scheme in {"ssh", "git+ssh"} and ":" not in userinfo else ""
        clean = f"{scheme}://{user}{host}{path.partition('?')[0]}"
        local = scheme == "file"
    elif match := _SCP.fullmatch(url):
        clean, path = url, match[3]
    else:
        clean, path, local = url, url, True
    path = posixpath.normpath(path.partition("?")[0]).strip("/").removesuffix(".git").removesuffix("/")
    parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
    if local:
        parts = parts[-2:]
    if len(parts) < 2:
        parts = [LOCAL_OWNER, *(parts or ["repository"])]
    return Remote(url=clean, repository="/".join(parts))


class _Facts:
    """One repository, being read."""

    def __init__(self, pygit2: Any, repository: Any) -> None:
        self.pygit2 = pygit2
        self.repository = repository
        self.commit = None if repository.head_is_unborn else repository.head.peel(pygit2.Commit)

    def event(self, kind: EventKind, tag: str, user: str, created: int, platform: str) -> Event:
        branch, default_branch = self._branch(), self._default_branch()
        of_a_tag = kind in {EventKind.TAG, EventKind.RELEASE}
        tag = (tag or self._tag()) if of_a_tag else ""
        if of_a_tag and not tag:
            raise CiError("no tag is at HEAD", hint="name one (--tag), or choose another event", reference="no-tag")
        pull_request = kind is EventKind.PULL_REQUEST
        uncommitted = self._uncommitted()
        author, email = self._author(user)
        remote = self._remote()
        return Event(
            kind=kind,
            branch=(default_branch or branch) if pull_request else branch,
            source_branch=branch if pull_request else "",
            tag=tag,
            commit=str(self.commit.id) if self.commit else NULL_COMMIT,
            message=self._message(),
            committed=self.commit.commit_time if self.commit else 0,
            before=self._parent() if kind is EventKind.PUSH else "",
            author=author,
            author_email=email,
            repository=remote.repository,
            remote_url=remote.url,
            default_branch=default_branch,
            changed_files=self._changed(uncommitted),
            dirty=bool(uncommitted),
            created=created,
            platform=platform,
        )

    def _parent(self) -> str:
        """The commit before, as if the last one alone had been pushed: its files are those that have changed."""
        parents = self.commit.parent_ids if self.commit else ()
        return str(parents[0]) if parents else ""

    def _branch(self) -> str:
        """The branch that HEAD is on, made or not; empty for a detached HEAD."""
        target = self.repository.lookup_reference("HEAD").target
        return target.removeprefix("refs/heads/") if isinstance(target, str) else ""

    def _default_branch(self) -> str:
        try:
            target = self.repository.lookup_reference("refs/remotes/origin/HEAD").target
        except (KeyError, ValueError):
            return ""
        return target.removeprefix("refs/remotes/origin/") if isinstance(target, str) else ""

    def _tag(self) -> str:
        """The tag at HEAD; of several the highest, numbers taken as numbers."""
        names: list[str] = []
        for name in self.repository.listall_references():
            if name.startswith("refs/tags/"):
                try:
                    at = self.repository.lookup_reference(name).peel(self.pygit2.Commit).id
                except (self.pygit2.GitError, KeyError, ValueError):  # a tag of a tree, or of what is not here
                    continue
                if self.commit and at == self.commit.id:
                    names.append(name.removeprefix("refs/tags/"))
        return max(names, key=_version, default="")

    def _message(self) -> str:
        if not self.commit:
            return ""
        return _decode(self.commit.raw_message, self.commit.message_encoding).rstrip("\n")

    def _author(self, user: str) -> tuple[str, str]:
        if self.commit:
            author = self.commit.author
            return _decode(author.raw_name), _decode(author.raw_email)
        return self._configured("user.name") or user, self._configured("user.email")

    def _configured(self, key: str) -> str:
        try:
            return str(self.repository.config[key])
        except KeyError:
            return ""

    def _remote(self) -> Remote:
        urls = {remote.name: remote.url for remote in self.repository.remotes if remote.name and remote.url}
        url = urls.get("origin") or next(iter(urls.values()), "")
        if url:
            return parse_remote(url)
        top = self.repository.workdir or self.repository.path
        name = posixpath.basename(posixpath.normpath(top)).removesuffix(".git") or "repository"
        return Remote(url="", repository=f"{LOCAL_OWNER}/{name}")

    def _uncommitted(self) -> tuple[str, ...]:
        """Files of the work tree that differ from HEAD; untracked ones too, ignored ones not."""
        if self.repository.is_bare:
            return ()
        ignored = self.pygit2.GIT_STATUS_IGNORED
        status = self.repository.status(untracked_files="all", ignored=False)
        return tuple(_path(path) for path, flags in status.items() if flags and not flags & ignored)

    def _changed(self, uncommitted: tuple[str, ...]) -> tuple[str, ...] | None:
        """Files that the last commit changed (against its first parent), and those not committed. None: not known."""
        changed = set(uncommitted)
        if self.commit:
            try:
                tree, parents = self.commit.tree, self.commit.parents
                diff = parents[0].tree.diff_to_tree(tree) if parents else tree.diff_to_tree(swap=True)
            except (self.pygit2.GitError, KeyError):  # a shallow or partial clone has not all objects
                return None
            for delta in diff.deltas:
                changed.update(_decode(file.raw_path) for file in (delta.old_file, delta.new_file))
        return tuple(sorted(changed))


@contextmanager
def reading() -> Iterator[Any]:
    """pygit2, reading repositories of other users too:

    as nothing is run, their configuration can do no harm (CVE-2022-24765).
    """
    import pygit2  # noqa: PLC0415

    before = pygit2.settings.owner_validation
    pygit2.settings.owner_validation = False
    try:
        yield pygit2
    finally:
        pygit2.settings.owner_validation = before


def _decode(raw: bytes, encoding: str | None = None) -> str:
    try:
        return raw.decode(encoding or "utf-8", "replace")
    except LookupError:  # an encoding that nobody knows
        return raw.decode("utf-8", "replace")


def _path(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _version(tag: str) -> tuple[tuple[int, int, str], ...]:
    return tuple(
        (1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", tag)
    )
