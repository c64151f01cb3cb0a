"""Targets that are built, for as long as something is made of them; afterwards the caches that the line names get what
was remembered.

Called by `exporting`. A build of several platforms has a target for each, and one cache for all.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.builder.cachedocument import INLINE, describe, layers_of
from sandbox.builder.options import CacheKind
from sandbox.builder.rewriting import rewrite_times
from sandbox.builder.solver import Solver
from sandbox.builder.squashing import squash
from sandbox.errors import SandboxError
from sandbox.image import reference as references
from sandbox.image.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox.builder.base import Result
    from sandbox.builder.files import FileView
    from sandbox.builder.options import BuildOptions, CacheTarget, Material
    from sandbox.builder.progress import Progress, Step
    from sandbox.image.buildcache import CachedStep
    from sandbox.image.digest import Digest
    from sandbox.runtime.engine import Engine


class Solved(NamedTuple):
    """A target that was built: `materials` went into it, `files` shows what is in it.

    `steps` are those of its own stage and of what that stands on, by their keys, `all_steps` those of all stages.
    """

    result: Result
    materials: tuple[Material, ...]
    files: FileView
    steps: Mapping[str, CachedStep]
    all_steps: Mapping[str, CachedStep]


@contextmanager
def solved(engine: Engine, builds: Sequence[BuildOptions], progress: Progress) -> Iterator[list[Solved]]:
    """The target for each platform, whose layers stay as long as the block. SandboxError says which instruction
    failed, and how.
    """
    with ExitStack() as stack:
        solutions = [stack.enter_context(_target(engine, options, progress)) for options in builds]
        yield solutions
        for target in builds[0].cache_to:
            if target.kind is not CacheKind.INLINE:
                _export_cache(target, engine, solutions, progress)


def inline(solution: Solved) -> dict[str, Any]:
    """What an image's configuration says of how it was built, for `--cache-from` to read."""
    there = solution.result.layers  # not those of steps that were squashed
    steps = {key: made for key, made in solution.steps.items() if made.layer is None or made.layer in there}
    layers = layers_of(steps)
    return {INLINE: describe(steps, layers, [layer.diff_id for layer in layers])}


@contextmanager
def _target(engine: Engine, options: BuildOptions, progress: Progress) -> Iterator[Solved]:
    with engine.images.lease() as lease, Scratch(engine.home) as folder:
        solver = Solver(engine, options, progress, lease, folder.path)
        result = solver.solve()
        own = {key: made for key, made in solver.steps.items() if made.layer is None or made.layer in result.layers}
        if options.squash:
            result = squash(result, engine.images.snapshots, lease, solver.opaque)
        if options.rewrite_times and options.is_epoch:
            result = rewrite_times(result, options.nanoseconds, engine.images.snapshots, lease, solver.opaque)
        yield Solved(result, tuple(solver.materials), solver.files(result), own, solver.steps)


def _export_cache(target: CacheTarget, engine: Engine, solutions: Sequence[Solved], progress: Progress) -> None:
    steps = {
        key: made for one in solutions for key, made in (one.all_steps if target.everything else one.steps).items()
    }
    step = progress.begin(f"exporting cache to {'client directory' if target.kind is CacheKind.LOCAL else 'registry'}")
    try:
        step.note(f"writing cache manifest {_write(target, engine, steps, step)}")
    except SandboxError as error:
        if not target.forgiving:
            step.failed(error.message)
            raise
        step.note(f"warning: {error.message}")
    step.done()


def _write(target: CacheTarget, engine: Engine, steps: Mapping[str, CachedStep], step: Step) -> Digest:
    if target.kind is CacheKind.LOCAL:
        from sandbox.builder.cachelayout import export  # noqa: PLC0415  (each is seldom)

        return export(Path(target.place), engine.images.snapshots, steps)
    from sandbox.builder.cacheregistry import export as push  # noqa: PLC0415
    from sandbox.builder.publishing import Noted  # noqa: PLC0415

    return push(engine.images, references.parse(target.place), steps, target.packed, Noted(step))
