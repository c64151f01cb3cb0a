"""The files of a commit and a repository to go with them, made of a mirror in a folder that earlier builds have used.

A folder (`treeslots`) has `tree`, the workspace, and `git`, a repository of our own without anything that a build could
have written, which only remembers what it put into the tree, and as what (its index: inode, change time). git itself
brings the tree to the commit: it writes what is different, also where a step has changed a file, for a change time
cannot be set back (inode(7)); all that is not git's goes. A step gets a `.git` that is made anew: HEAD, references,
index and a configuration with the address and nothing else. The objects stay in the mirror, which containers see
read-only (gitrepository-layout(5), `objects/info/alternates`), so that a clone of any size costs nothing. Called by
`worker`.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runners import gitrepo
from runners.backend import HostMount
from runners.gitrepo import GitError, without_credentials
from runners.workspace import OBJECTS
from sandbox.kernel.paths import remove_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_EXCLUDED = ("filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false", "advice.detachedHead=false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is checked out: `commit` of the bare repository `mirror`. `branch` is what HEAD is called, or empty."""

    mirror: Path
    url: str
    commit: str
    branch: str = ""
    depth: int = 0  # commits of history; 0: all
    tags: bool = True


def check_out(source: Source, folder: Path, complete: Callable[[Path], None] = lambda _: None) -> HostMount:
    """Make `folder/tree` the work tree of a clone; returns what containers have to see besides.

    `complete` is given the work tree of a repository that works here, and may add to it. Raises GitError, OSError, and
    what `complete` does.
    """
    tree, private = folder / "tree", folder / "git"
    try:
        _bring(source, tree, private)
    except (GitError, OSError):  # damaged, by a loss of power or by a step: from the beginning, once
        for path in (tree, private):
            _remove(path)
        _bring(source, tree, private)
    objects = source.mirror / "objects"
    _make_repository(source, tree / ".git", private)
    alternates = tree / ".git/objects/info/alternates"
    alternates.write_text(f"{objects}\n")
    complete(tree)
    alternates.write_text(f"{OBJECTS}/0\n")
    return HostMount(source=str(objects), target=f"{OBJECTS}/0")


def empty(folder: Path) -> Path:
    """An empty workspace in `folder`, for a pipeline that wants no files of its repository."""
    tree = folder / "tree"
    _remove(tree)
    tree.mkdir(mode=0o755)
    return tree


def _bring(source: Source, tree: Path, private: Path) -> None:
    """Bring the tree to the commit, and nothing else into it."""
    tree.mkdir(mode=0o755, parents=True, exist_ok=True)
    _remove(tree / ".git")
    if not (private / "HEAD").is_file():
        _remove(private)
        for name in ("objects/info", "refs", "info"):
            (private / name).mkdir(parents=True)
        (private / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
    (private / "objects/info/alternates").write_text(f"{source.mirror / 'objects'}\n")
    (private / "HEAD").write_text(f"{source.commit}\n")
    with suppress(FileNotFoundError):
        (private / "index.lock").unlink()  # of a process that was killed
    _tidy_folders(tree)
    _git(private, tree, "reset", "--hard", "--quiet", "--no-recurse-submodules")
    _git(private, tree, "clean", "-ffdxq")


def _tidy_folders(tree: Path) -> None:
    """Folders as we would make them: git says nothing of their modes, owners and attributes, which steps may change."""
    owner = (os.geteuid(), os.getegid())
    waiting = [os.fsencode(tree)]
    while waiting:
        path = waiting.pop()
        status = os.lstat(path)
        if (status.st_uid, status.st_gid) != owner:
            os.chown(path, *owner, follow_symlinks=False)
        if stat.S_IMODE(status.st_mode) != 0o755:
            os.chmod(path, 0o755)  # noqa: S103, PTH101
        for name in os.listxattr(path, follow_symlinks=False):
            with suppress(OSError):  # an ordinary user may not take all away
                os.removexattr(path, name, follow_symlinks=False)
        with os.scandir(path) as entries:
            waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _make_repository(source: Source, target: Path, private: Path) -> None:
    """The `.git` of the clone."""
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"):
        (target / name).mkdir(parents=True)
    (target / "config").write_text(_configuration(source.url))
    (target / "info/exclude").write_text("")
    (target / "packed-refs").write_text(_references(source))
    if source.branch:
        head = f"refs/heads/{source.branch}"
        (target / head).parent.mkdir(parents=True, exist_ok=True)
        (target / head).write_text(f"{source.commit}\n")
        (target / "HEAD").write_text(f"ref: {head}\n")
    else:
        (target / "HEAD").write_text(f"{source.commit}\n")
    if source.depth and (oldest := _boundary(source)):
        (target / "shallow").write_text("".join(f"{one}\n" for one in oldest))
    index = private / "index"
    shutil.copyfile(index, target / "index")
    status = index.stat()
    os.utime(target / "index", ns=(status.st_atime_ns, status.st_mtime_ns))


def _references(source: Source) -> str:
    """The mirror's branches as a clone has them, and its tags."""
    format_ = "%(objectname) %(refname)%00%(*objectname)"
    kinds = ("refs/heads", "refs/tags") if source.tags and not source.depth else ("refs/heads",)
    listed = gitrepo.git(source.mirror, f"--git-dir={source.mirror}", "for-each-ref", f"--format={format_}", *kinds)
    lines = ["# pack-refs with: peeled fully-peeled sorted"]
    found: list[tuple[str, str, str]] = []
    for line in listed.decode("utf-8", "surrogateescape").splitlines():
        named, _, peeled = line.partition("\0")
        object_, _, name = named.partition(" ")
        found.append((name.replace("refs/heads/", "refs/remotes/origin/", 1), object_, peeled))
    for name, object_, peeled in sorted(found):
        lines.append(f"{object_} {name}")
        if peeled:
            lines.append(f"^{peeled}")
    return "\n".join(lines) + "\n"


def _boundary(source: Source) -> list[str]:
    """The oldest commits of a history of a certain depth (gitformat-shallow): those with parents that are left out."""
    import pygit2  # noqa: PLC0415  (few pipelines say how deep)

    repository = pygit2.Repository(str(source.mirror))
    parents: dict[str, list[str]] = {}
    level = {source.commit}
    for _ in range(source.depth):
        for commit in level:
            parents[commit] = [str(parent) for parent in repository[commit].parent_ids]  # type: ignore[attr-defined]
        level = {parent for commit in level for parent in parents[commit]} - parents.keys()
    return sorted(commit for commit, others in parents.items() if not parents.keys() >= set(others))


def _configuration(url: str) -> str:
    """Of a clone. The index has been made outside of the container, of the very same files."""
    quoted = without_credentials(url).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return (
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
        f'[remote "origin"]\n\turl = "{quoted}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
    )


def _git(private: Path, tree: Path, *words: str) -> None:
    settings = (word for setting in _EXCLUDED for word in ("-c", setting))
    gitrepo.git(tree, *settings, f"--git-dir={private}", f"--work-tree={tree}", *words, plain=True)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        remove_path(path)
