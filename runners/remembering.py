"""`ci-run local --incremental`: a step that would meet what it has met before is not run again.

A step is known by a key: its image, what it runs, its environment with the fingerprints of secrets in it, and the whole
content of the workspace before it (`treestate`). What it changed there, and its outputs, are kept under the key when it
has passed, and brought back the next time. What a step does elsewhere is not: so there is no key for steps that reach
out of their container and workspace, or share more than the workspace with others. Nothing else may change the
workspace while a step is learnt: `runners.stage` starts one at a time then.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from runners import treecopy, treestate
from runners.backend import BackendError
from sandbox.errors import SandboxError
from sandbox.kernel.paths import Root, remove_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.backend import Container
    from runners.cachestore import CacheStore, Entry
    from runners.treestate import Digests, TreeState

FOLDER = "stepresults"
LIMIT = 10 << 30  # bytes of all results
RESULT_LIMIT = 2 << 30  # of one
_VERSION = "1"
_RECORD = "result.json"
_FILES = "0"
_MOMENT = re.compile(r"(?:CI|DRONE)_[A-Z_]*(?:CREATED|STARTED|FINISHED)")  # differ each time, and mean nothing


class Recalled(NamedTuple):
    """What is known of a step that was not run again."""

    outputs: Mapping[str, str]
    seconds: float  # that it took when it ran


class _Met(NamedTuple):
    """A step that runs, and may be learnt."""

    key: str
    before: TreeState


class StageMemory:
    """The memory of one Stage, whose workspace nobody else changes."""

    def __init__(self, store: CacheStore, stage: StageSpec, workspace: Path, digests: Digests, *, project: str) -> None:
        self._store = store
        self._stage = stage
        self._workspace = workspace
        self._digests = digests
        self._project = project
        self._met: dict[str, _Met] = {}
        self._state: TreeState | None = None  # of the workspace, as long as nothing has run in it

    def recall(self, container: Container, image: str) -> Recalled | None:
        """Bring back what the step would do; None where it has to run. `image` is the id of its image.

        Raises BackendError where it is only half back: the step must not run on that.
        """
        step = container.step
        self._met.pop(step.name, None)
        if not image or not _is_closed(step):
            self._state = None
            return None
        state, self._state = self._state, None
        try:
            state = state or treestate.read(self._workspace, self._digests)
            key = _key(self._stage, container, image, state)
            entry = self._store.find(self._project, key, (_FILES,))
            recalled = None if entry is None else self._bring_back(entry)
        except (OSError, SandboxError) as error:
            raise BackendError(f"what {step.name} did before could not be brought back: {error}") from error
        if recalled is None:
            self._met[step.name] = _Met(key, state)
        return recalled

    def learn(self, step: StepSpec, outputs: Mapping[str, str], seconds: float) -> None:
        """The step has passed: keep what it changed. What cannot be kept will run again."""
        met = self._met.pop(step.name, None)
        if met is None:
            return
        with suppress(OSError, SandboxError):
            after = treestate.read(self._workspace, self._digests)
            self._state = after
            if after.repositories != met.before.repositories:
                return  # it has committed, or the like: that would not come back
            self._keep(met, after, {"outputs": dict(outputs), "seconds": seconds})

    def finish(self) -> None:
        """The Stage is over."""
        with suppress(OSError):
            self._digests.save()

    def _keep(self, met: _Met, after: TreeState, record: dict[str, Any]) -> None:
        before = met.before.nodes
        changed = [path for path, node in after.nodes.items() if before.get(path) != node]
        removed = [path for path in before if path not in after.nodes]
        folders = {path: after.nodes[path] for path in changed if after.nodes[path].is_folder}

        def fill(folder: int) -> tuple[int, int]:
            os.mkdir(_FILES, dir_fd=folder)
            total = files = 0
            with Root(self._workspace) as source, Root(folder) as entry, Root(entry.open(_FILES, os.O_PATH)) as target:
                for path in changed:
                    if path in folders:
                        continue
                    size = _clone(source, target, path)
                    total, files = total + size.size, files + size.files
                    if total > RESULT_LIMIT:
                        raise SandboxError("the result is too large")
            record["removed"] = [os.fsdecode(path) for path in sorted(removed, reverse=True)]
            record["folders"] = [[os.fsdecode(path), *folders[path][:3]] for path in sorted(folders)]
            record["files"] = [os.fsdecode(path) for path in sorted(changed) if path not in folders]
            descriptor = os.open(_RECORD, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(record, file)
            return files, total

        self._store.add(self._project, met.key, (_FILES,), fill)

    def _bring_back(self, entry: Entry) -> Recalled:
        """Change the workspace as the step did."""
        with self._store.reading(entry) as stored, Root(stored) as folder:
            record = json.loads(folder.read_regular(_RECORD, 1 << 30))
            with Root(self._workspace) as tree, Root(folder.open(_FILES, os.O_PATH)) as files:
                for path in record["removed"]:
                    _remove(tree, path)
                for path, mode, uid, gid in record["folders"]:
                    _make_folder(tree, path, mode, uid, gid)
                for path in record["files"]:
                    _remove(tree, path)
                    _clone(files, tree, os.fsencode(path))
            return Recalled(record["outputs"], float(record["seconds"]))


def _is_closed(step: StepSpec) -> bool:
    """Whether all that a step does, as far as can be known, is in its workspace."""
    open_ = step.detach or step.privileged or step.volumes or step.devices or step.build or step.network_mode == "host"
    return not open_


def _key(stage: StageSpec, container: Container, image: str, state: TreeState) -> str:
    step = container.step
    facts = (
        _VERSION,
        image,
        container.script,
        step.entrypoint,
        step.arguments,
        step.shell,
        step.user,
        step.working_dir,
        step.network_mode,
        step.extra_hosts,
        step.dns,
        step.dns_search,
        [(one.target, one.options) for one in step.tmpfs],
        [(cache.paths, cache.key) for cache in step.caches],
        stage.workspace,
        sorted((name, value) for name, value in container.environment.items() if not _MOMENT.fullmatch(name)),
        state.digest(),
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _parent(root: Root, path: str, *, make: bool) -> tuple[int, str]:
    folder, _, name = path.rpartition("/")
    return root.mkdirs(folder or ".") if make else root.open(folder or ".", os.O_PATH | os.O_DIRECTORY), name


def _clone(source: Root, target: Root, path: bytes) -> treecopy.Size:
    here, name = _parent(source, os.fsdecode(path), make=False)
    try:
        there, _ = _parent(target, os.fsdecode(path), make=True)
        try:
            treecopy.clone(here, name, there, name)
            return treecopy.measure(there, name)
        finally:
            os.close(there)
    finally:
        os.close(here)


def _remove(tree: Root, path: str) -> None:
    try:
        parent, name = _parent(tree, path, make=False)
    except FileNotFoundError:
        return
    try:
        remove_tree(parent, name)
    finally:
        os.close(parent)


def _make_folder(tree: Root, path: str, mode: int, uid: int, gid: int) -> None:
    parent, name = _parent(tree, path, make=True)
    try:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                remove_tree(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, mode & 0o7777, dir_fd=parent)
    finally:
        os.close(parent)
