"""The caches of one Stage: brought back before the step that names them, kept when it has passed.

A path of the workspace is copied there; an absolute one is a folder of the run that the step's container has mounted.
They are kept when the Stage is over, so that later steps have the files, too; where nobody needs the workspace any more
they are moved and not copied. A path is brought back once in a Stage. Called by `runners.stage`; what goes wrong with a
cache is told, and never a reason for a step to fail.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline import cachekey
from runners import treecopy
from runners.artifacts import chosen
from runners.backend import HostMount
from runners.cachestore import amount
from runners.inventory import inventory
from sandbox.errors import SandboxError
from sandbox.kernel.paths import Root, remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ci.pipeline.spec import Cache, StageSpec, StepSpec
    from runners.cachestore import CacheStore, Entry

ENTRY_LIMIT = 5 << 30  # bytes of one entry
_CHUNK = 1 << 20


class _Use(NamedTuple):
    """A cache whose key is known. An entry with a `fixed` key never changes, so one that is there stays."""

    paths: tuple[str, ...]
    key: str
    fixed: bool


class StageCaches:
    """`project` is whose caches these are, `scratch` a folder of the run on the store's file system, not there yet.

    With `moves` what is kept may be taken out of the workspace. `tell` gets a sentence on each cache.
    """

    def __init__(
        self,
        store: CacheStore,
        stage: StageSpec,
        workspace: Path,
        scratch: Path,
        *,
        project: str,
        moves: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._store = store
        self._stage = stage
        self._workspace = workspace
        self._scratch = scratch
        self._project = project
        self._moves = moves
        self._tell = tell
        self._restored: set[str] = set()
        self._mounts: dict[str, HostMount] = {}
        self._uses: dict[str, tuple[_Use, ...]] = {}
        self._passed: dict[_Use, None] = {}

    def begin(self, step: StepSpec) -> tuple[HostMount, ...]:
        """Bring back what a step names, and say what its container has to mount."""
        if step.name not in self._uses:
            self._uses[step.name] = tuple(self._begin(step, cache) for cache in step.caches)
        paths = (self._inside(path) for cache in step.caches for path in cache.paths)
        return tuple(self._mount(path) for path in paths if path.startswith("/"))

    def passed(self, step: StepSpec) -> None:
        """The step has passed: its caches are to be kept."""
        self._passed.update(dict.fromkeys(self._uses.get(step.name, ())))

    def finish(self) -> None:
        """Keep what is to be kept; no container runs any more."""
        wanted = [use for use in self._passed if use.key and not self._stays(use)]
        last = {path: index for index, use in enumerate(wanted) for path in use.paths}
        for index, use in enumerate(wanted):
            movable = {path for path in use.paths if self._moves and last[path] == index}
            try:
                self._keep(use, movable)
            except (OSError, SandboxError) as error:
                self._tell(f"the cache {use.key} could not be kept: {_reason(error)}")

    def _begin(self, step: StepSpec, cache: Cache) -> _Use:
        paths = tuple(self._inside(path) for path in cache.paths)
        try:
            key, entry = self._find(step, cache, paths)
        except (OSError, SandboxError) as error:
            self._tell(f"{step.name}: no cache: {_reason(error)}")
            return _Use(paths, "", fixed=False)
        use = _Use(paths, key, cachekey.is_fixed(cachekey.parse(cache.key)))
        if set(paths) <= self._restored:
            return use
        self._restored.update(paths)
        if entry is None:
            self._tell(f"{step.name}: there is no cache {key} yet")
        else:
            try:
                self._restore(entry, paths)
                self._tell(f"{step.name}: the cache {entry.key} is back ({amount(entry.size)})")
            except (OSError, SandboxError) as error:
                self._tell(f"{step.name}: the cache {entry.key} could not be brought back: {_reason(error)}")
        return use

    def _stays(self, use: _Use) -> bool:
        """Whether the entry is there, of an earlier run or of one beside this, and need not be made again."""
        return use.fixed and self._store.find(self._project, use.key, use.paths) is not None

    def _find(self, step: StepSpec, cache: Cache, paths: tuple[str, ...]) -> tuple[str, Entry | None]:
        """The key, and what there is under it or one of the fallbacks."""
        system, _, arch = step.environment.get("CI_SYSTEM_PLATFORM", "").partition("/")
        words = {"os": system, "arch": arch, "branch": step.environment.get("CI_COMMIT_BRANCH", "")}
        key, *others = (
            cachekey.render(cachekey.parse(text), words, self._checksum) for text in (cache.key, *cache.fallback)
        )
        entry = self._store.find(self._project, key, paths)
        for beginning in others:
            entry = entry or self._store.newest(self._project, beginning, paths)
        return key, entry

    def _checksum(self, patterns: tuple[str, ...]) -> str:
        """A digest of the names and the content of files in the workspace."""
        digest = hashlib.sha256()
        with Root(self._workspace) as root:
            for path in sorted(chosen(patterns, inventory(self._workspace))):
                digest.update(b"%d:%s" % (len(path), path))
                try:
                    descriptor = root.open(os.fsdecode(path), os.O_RDONLY | os.O_NONBLOCK, follow_final=False)
                except OSError:  # a link: its name is all of it that counts
                    continue
                with os.fdopen(descriptor, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    def _inside(self, path: str) -> str:
        """A path of the workspace as one, however it was written."""
        return path.removeprefix(f"{self._stage.workspace}/")

    def _mount(self, path: str) -> HostMount:
        """The folder of the run that is at an absolute path of containers; anybody may write to it."""
        if path not in self._mounts:
            source = self._scratch / str(len(self._mounts))
            if not source.is_dir():
                source.mkdir(parents=True)
                source.chmod(0o1777)
            self._mounts[path] = HostMount(source=str(source), target=path, read_only=False)
        return self._mounts[path]

    def _parent(self, path: str, root: Root, *, make: bool) -> tuple[int, str]:
        """The open folder that a path is in, beneath `root` whatever links are on the way, and its name there."""
        folder, _, name = path.rpartition("/")
        return root.mkdirs(folder or ".") if make else root.open(folder or ".", os.O_PATH | os.O_DIRECTORY), name

    def _tree(self, path: str) -> tuple[Path, str]:
        """The tree that a path is in, and the path there."""
        if not path.startswith("/"):
            return self._workspace, path
        source = self._mount(path).source
        return self._scratch, source.rpartition("/")[2]

    def _restore(self, entry: Entry, paths: tuple[str, ...]) -> None:
        with self._store.reading(entry) as stored:
            for number, path in enumerate(paths):
                if not _is_there(stored, str(number)):
                    continue
                tree, inner = self._tree(path)
                with Root(tree) as root:
                    parent, name = self._parent(inner, root, make=True)
                    try:
                        remove_tree(parent, name)
                        treecopy.clone(stored, str(number), parent, name)
                    except OSError:
                        remove_tree(parent, name)  # half of it would be worse than nothing
                        raise
                    finally:
                        os.close(parent)

    def _keep(self, use: _Use, movable: set[str]) -> None:
        counts: list[treecopy.Size] = []

        def fill(folder: int) -> tuple[int, int]:
            for number, path in enumerate(use.paths):
                if (size := self._take(path, folder, str(number), move=path in movable)) is not None:
                    counts.append(size)
            total = sum(one.size for one in counts)
            if total > ENTRY_LIMIT:
                raise SandboxError(f"it has {amount(total)}, and {amount(ENTRY_LIMIT)} are allowed")
            if not counts:
                raise SandboxError(f"there is nothing at {', '.join(use.paths)}")
            return sum(one.files for one in counts), total

        entry = self._store.add(self._project, use.key, use.paths, fill)
        self._tell(f"the cache {use.key} is kept ({amount(entry.size)})")

    def _take(self, path: str, folder: int, number: str, *, move: bool) -> treecopy.Size | None:
        """Put a path into an entry; None where there is nothing that can be kept."""
        tree, inner = self._tree(path)
        with Root(tree) as root:
            try:
                parent, name = self._parent(inner, root, make=False)
            except OSError:
                return None
            try:
                mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                    return None
                if move:
                    os.rename(name, number, src_dir_fd=parent, dst_dir_fd=folder)
                else:
                    treecopy.clone(parent, name, folder, number)
                return treecopy.measure(folder, number)
            except FileNotFoundError:
                return None
            finally:
                os.close(parent)


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _reason(error: OSError | SandboxError) -> str:
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)
