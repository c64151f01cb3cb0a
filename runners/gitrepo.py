"""What a local run needs from git: which files belong to the work tree, and a repository to go with their copy.

The copy's `.git` is a repository of its own, as a clone would be: HEAD, references, index, a configuration of harmless
keys, no hooks. Only the objects stay where they are: the copy borrows them (gitrepository-layout(5),
`objects/info/alternates`) from a read-only mount, so that a repository of any size costs nothing, and what a step
commits lands in the copy. The original is only read: no lock is taken, no index refreshed, no hook or monitor started.
Called by `runners.workspace`.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# In the order of gitrepository-layout(5). Left out: hooks, config (written anew), logs, worktrees, modules, lfs.
_FILES = (
    "packed-refs",
    "shallow",
    "info/exclude",
    "info/attributes",
    "info/sparse-checkout",
    "info/grafts",
)
_OWN_FILES = ("HEAD", "index", "ORIG_HEAD", "FETCH_HEAD", "MERGE_HEAD", "MERGE_MSG", "CHERRY_PICK_HEAD")
_FOLDERS = ("refs", "reftable")

_SECTIONS = {
    "core": {"repositoryformatversion", "filemode", "symlinks", "ignorecase", "precomposeunicode", "autocrlf", "eol"}
    | {"safecrlf", "sparsecheckout", "sparsecheckoutcone", "quotepath"},
    "extensions": {"objectformat", "compatobjectformat", "refstorage", "partialclone"},
    "remote": {"url", "fetch", "promisor", "partialclonefilter"},
    "branch": {"remote", "merge"},
    "submodule": {"url", "branch", "active"},
    "user": {"name", "email"},
}
_PLAIN = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
_DEEPEST_ALTERNATES = 5  # git's own limit


class GitError(Exception):
    """git is missing or refuses; the text is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where a work tree's repository lies: `own` has HEAD and index, `common` all that linked work trees share."""

    own: Path
    common: Path


def find(tree: Path) -> Repository | None:
    """The repository whose work tree's top is `tree`, or `None`. A `.git` file (work tree, submodule) is followed."""
    dot = tree / ".git"
    try:
        own = dot if dot.is_dir() else (tree / _after(dot.read_text("utf-8", "surrogateescape"), "gitdir:"))
    except (OSError, ValueError):
        return None
    if not (own / "HEAD").exists():
        return None
    try:
        common = own / (own / "commondir").read_text("utf-8", "surrogateescape").rstrip("\n")
    except OSError:
        common = own
    return Repository(own=own.resolve(), common=common.resolve())


def enclosing(folder: Path) -> Path | None:
    """The nearest folder, upwards from `folder`, that is the top of a work tree."""
    return next((parent for parent in (folder, *folder.parents) if find(parent) is not None), None)


def files(folder: Path) -> tuple[bytes, ...]:
    """The files of the work tree below `folder`: known to git, or untracked and not ignored; relative, each once.

    Paths that are gone are still in it, a submodule is one path, another repository inside is one path with `/` at the
    end. Raises GitError.
    """
    words = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        out = git(folder, *words)
    except GitError:
        if find(folder) is None:
            raise
        out = git(folder, "--work-tree=.", *words)  # a `.git` that says it is bare: it was copied here from elsewhere
    return tuple(dict.fromkeys(out.split(b"\0")[:-1]))


def is_ignored(folder: Path) -> bool:
    """Whether the repository around `folder` leaves it out, so that it has nothing to say about the files in it."""
    try:
        git(folder, "check-ignore", "-q", ".")
    except GitError:
        return False
    return True


def ignored(folder: Path, paths: Iterable[bytes]) -> frozenset[bytes]:
    """Those of `paths` (relative to `folder`, or absolute) that git ignores. Raises GitError."""
    listed = b"".join(path + b"\0" for path in paths)
    out = git(folder, "check-ignore", "-z", "--stdin", given=listed, fine=(0, 1))
    return frozenset(out.split(b"\0")[:-1])


def git(folder: Path, *arguments: str, given: bytes = b"", fine: tuple[int, ...] = (0,), plain: bool = False) -> bytes:
    """What a git command prints that only reads; `given` is its input, `fine` are exit codes that are no error.

    `plain` is without anybody's configuration. Raises GitError with git's first line.
    """
    # A repository that another owns may be read, since nothing that it configures is run.
    settings = ("safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.quotePath=false")
    command = ["git", *(word for setting in settings for word in ("-c", setting)), *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_environment(os.environ) | (_PLAIN if plain else {}),
            input=given,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    if done.returncode not in fine:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        raise GitError(lines[0] if lines else f"git {arguments[0]} ended with exit code {done.returncode}")
    return done.stdout


def copy_metadata(repository: Repository, target: Path, borrowed: Iterable[str]) -> None:
    """Make `target` (a `.git` folder that does not exist) the repository of a copied work tree.

    `borrowed` are the places where the copy's users find the folders of `object_folders`. Raises OSError, GitError.
    """
    target.mkdir()
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (target / folder).mkdir(parents=True)
    for name in _OWN_FILES:
        _copy_file(repository.own / name, target / name)
    for name in _FILES:
        _copy_file(repository.common / name, target / name)
    for name in _FOLDERS:
        _copy_folder(repository.common / name, target / name)
    for index in repository.own.glob("sharedindex.*"):
        _copy_file(index, target / index.name)
    (target / "objects/info/alternates").write_text("".join(f"{place}\n" for place in borrowed))
    listed = git(repository.common, "config", "--file", str(repository.common / "config"), "--null", "--list")
    (target / "config").write_text(
        _configuration(listed.decode("utf-8", "surrogateescape")), "utf-8", "surrogateescape"
    )


def object_folders(repository: Repository) -> tuple[Path, ...]:
    """All folders that hold the repository's objects: its own, and those it borrows from itself."""
    found: list[Path] = []
    waiting = [(repository.common / "objects", 0)]
    while waiting:
        folder, depth = waiting.pop(0)
        if folder in found or not folder.is_dir():
            continue
        found.append(folder)
        if depth < _DEEPEST_ALTERNATES:
            try:
                text = (folder / "info/alternates").read_text("utf-8", "surrogateescape")
            except OSError:
                continue
            places = [line for line in text.splitlines() if line and not line.startswith("#")]
            waiting += [((folder / place).resolve(), depth + 1) for place in places]
    return tuple(found)


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Ours without GIT_*: a run may be started by a hook, where they name another repository."""
    kept = {name: value for name, value in environment.items() if not name.startswith("GIT_")}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}


def _configuration(listed: str) -> str:
    """The text of a configuration with the harmless keys of `git config --null --list`."""
    lines = []
    values: dict[str, list[str]] = {}
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        values.setdefault(key, []).append(value)
    # The copy keeps times but not inodes: so the index is still right, and `git status` hashes nothing.
    values |= {"core.bare": ["false"], "core.checkstat": ["minimal"], "core.trustctime": ["false"]}
    for key, all_values in values.items():
        section, _, rest = key.partition(".")
        middle, _, name = rest.rpartition(".")
        if name not in _SECTIONS.get(section, ()) and key not in {"core.bare", "core.checkstat", "core.trustctime"}:
            continue
        lines.append(f"[{section} {_quoted(middle)}]" if middle else f"[{section}]")
        lines += [
            f"\t{name} = {_quoted(without_credentials(value) if name == 'url' else value)}" for value in all_values
        ]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def without_credentials(url: str) -> str:
    """The address without a password or token: what is before the `@` of a URL, an ssh login name excepted."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    login, at, name = host.rpartition("@")
    if not separator or not at:
        return url
    user = login.partition(":")[0] + "@" if scheme in {"ssh", "git+ssh"} else ""
    return f"{scheme}://{user}{name}{slash}{path}"


def _after(text: str, prefix: str) -> str:
    if not text.startswith(prefix):
        raise ValueError(text)
    return text.removeprefix(prefix).strip()


def _copy_file(source: Path, target: Path) -> None:
    try:
        data = source.read_bytes()
        status = source.stat()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return
    target.write_bytes(data)
    # An index that seems older or younger than its files would make git hash them all (racy entries).
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_folder(source: Path, target: Path) -> None:
    target_exists = target.is_dir()
    try:
        entries = list(os.scandir(source))
    except (FileNotFoundError, NotADirectoryError):
        return
    if not target_exists:
        target.mkdir()
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            _copy_folder(source / entry.name, target / entry.name)
        elif entry.is_symlink():
            (target / entry.name).symlink_to(source.joinpath(entry.name).readlink())
        elif not entry.name.endswith(".lock"):
            _copy_file(source / entry.name, target / entry.name)
