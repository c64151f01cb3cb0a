"""What becomes of a build's target: an image in the store, files, or an OCI layout with one image for each platform.

Called by `sandbox build`. Each of them builds first.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sandbox.builder.rewriting import rewrite_times
from sandbox.builder.scope import PROXY_ARGS
from sandbox.builder.solver import Solver
from sandbox.dockerfile.instructions import Arg
from sandbox.image import digest as digests
from sandbox.image import reference as references
from sandbox.image import whiteout
from sandbox.image.committing import describe
from sandbox.image.manifest import MANIFEST, ImageDocument, dump_document
from sandbox.image.scratch import Scratch
from sandbox.image.tree import Tree
from sandbox.image.unpack import in_user_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sandbox.builder.base import Result
    from sandbox.builder.files import FileView
    from sandbox.builder.options import BuildOptions, CacheTarget, Material
    from sandbox.builder.progress import Progress, Step
    from sandbox.image.layoutwriting import LayoutImage
    from sandbox.image.saving import Member
    from sandbox.image.tree import Entries
    from sandbox.runtime.engine import Engine


class Solved(NamedTuple):
    """A target that was built: `materials` went into it, `files` shows what is in it."""

    result: Result
    materials: tuple[Material, ...]
    files: FileView


class Exported(NamedTuple):
    """What was made: the manifest's (or index's) digest and size, and the configuration's, empty for an index."""

    media_type: str
    digest: str
    size: int
    config: str


def build(engine: Engine, options: BuildOptions, progress: Progress) -> Exported:
    """Build the target and give it its names. SandboxError says which instruction failed, and how."""
    names = tuple(references.parse(tag) for tag in options.tags)
    with _solved(engine, options, progress) as solved:
        result = solved.result
        step = progress.begin("exporting to image")
        _warn(options, step)
        document = _document(options, result)
        manifest = describe(document, result.layers, options.annotations)
        image = engine.images.add(manifest, document, result.layers, names)
        step.note(f"writing image {image.id}")
        for name in names:
            step.note(f"naming to {name.canonical}")
        step.done()
        return Exported(MANIFEST, digests.of(manifest), len(manifest), image.id)


def build_files(
    engine: Engine, builds: Sequence[BuildOptions], progress: Progress, write: Callable[[BuildOptions, Entries], None]
) -> None:
    """Build the target for each platform, and have its files written; no image is made."""
    opaque = whiteout.opaque_attribute(user_namespace=in_user_namespace())
    for options in builds:
        with _solved(engine, options, progress) as solved:
            step = progress.begin("exporting to client")
            _warn(options, step)
            paths = [engine.images.snapshots.path(layer.chain_id) for layer in reversed(solved.result.layers)]
            write(options, Tree(paths, opaque))
            step.done()


def build_layout(
    engine: Engine, builds: Sequence[BuildOptions], progress: Progress, write: Callable[[Iterable[Member]], None]
) -> Exported:
    """Build the target for each platform, and have an OCI layout of the images written."""
    from sandbox.builder.attesting import attestations  # noqa: PLC0415  (seldom)
    from sandbox.image.layoutwriting import LayoutImage, layout  # noqa: PLC0415

    names = tuple(references.parse(tag) for tag in builds[0].tags)
    with ExitStack() as stack:
        images: list[LayoutImage] = []
        for options in builds:
            solved = stack.enter_context(_solved(engine, options, progress))
            document = _document(options, solved.result)
            manifest = describe(document, solved.result.layers, options.annotations)
            found = attestations(options, solved, manifest, names, progress)
            images.append(LayoutImage(document, manifest, solved.result.layers, tuple(options.platform), found))
        step = progress.begin("exporting to oci image format")
        for options in builds:
            _warn(options, step)
        made = layout(engine.images, images, names)
        write(made.members)
        step.note(f"exporting {made.root.digest}")
        step.done()
        return Exported(made.root.media_type, made.root.digest, made.root.size, made.configuration)


def build_archive(
    engine: Engine, options: BuildOptions, progress: Progress, write: Callable[[Iterable[Member]], None]
) -> Exported:
    """Build the target, and have an archive for `docker load` written; the store gets no image."""
    from sandbox.image.saving import unnamed_members  # noqa: PLC0415  (seldom)

    names = [references.parse(tag) for tag in options.tags]
    with _solved(engine, options, progress) as solved:
        result = solved.result
        step = progress.begin("exporting to docker image format")
        _warn(options, step)
        document = _document(options, result)
        manifest = describe(document, result.layers)
        write(unnamed_members(engine.images, document, result.layers, names))
        step.done()
        return Exported(MANIFEST, digests.of(manifest), len(manifest), digests.of(document))


@contextmanager
def _solved(engine: Engine, options: BuildOptions, progress: Progress) -> Iterator[Solved]:
    """The target, whose layers stay as long as the block."""
    with engine.images.lease() as lease, Scratch(engine.home) as folder:
        solver = Solver(engine, options, progress, lease, folder.path)
        result = solver.solve()
        if options.cache_to is not None:
            _export_cache(options.cache_to, solver, result)
        if options.rewrite_times and options.is_epoch:
            snapshots = engine.images.snapshots
            result = rewrite_times(result, options.nanoseconds, snapshots, lease, solver.opaque)
        yield Solved(result, tuple(solver.materials), solver.files(result))


def _export_cache(target: CacheTarget, solver: Solver, result: Result) -> None:
    from sandbox.builder.cachelayout import export  # noqa: PLC0415  (seldom)

    step = solver.progress.begin("exporting cache to client directory")
    steps = {
        key: made
        for key, made in solver.steps.items()
        if target.everything or made.layer is None or made.layer in result.layers
    }
    step.note(f"writing cache manifest {export(target.folder, solver.engine.images.snapshots, steps)}")
    step.done()


def _warn(options: BuildOptions, step: Step) -> None:
    unused = _unused(options)
    if unused:
        step.note_once(f"warning: no ARG takes the build arguments {', '.join(unused)}")


def _unused(options: BuildOptions) -> list[str]:
    """Build arguments that nothing declares, probably misspelt; those that mean something everywhere are none."""
    file = options.dockerfile
    found = (*file.global_args, *(one for stage in file.stages for one in stage.instructions if isinstance(one, Arg)))
    known = {name for argument in found for name, _ in argument.definitions} | PROXY_ARGS
    return sorted(
        name for name in options.build_args if name not in known and not name.startswith(("BUILDKIT_", "SOURCE_DATE"))
    )


def _document(options: BuildOptions, result: Result) -> bytes:
    config = result.config._replace(labels={**result.config.labels, **options.labels})
    unknown = {"author": result.author} if result.author else {}
    if options.platform.variant:
        unknown["variant"] = options.platform.variant
    return dump_document(
        ImageDocument(
            architecture=options.platform.architecture,
            os=options.platform.os,
            created=result.created,
            config=config,
            diff_ids=tuple(layer.diff_id for layer in result.layers),
            history=result.history,
            unknown=unknown,
        )
    )
