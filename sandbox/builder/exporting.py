"""What becomes of a build's target: an image in the store or in registries, files, or an OCI layout with one image for
each platform.

Called by `sandbox build`. Each of them builds first.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.builder.graph import find_stage
from sandbox.builder.options import CacheKind
from sandbox.builder.scope import PROXY_ARGS
from sandbox.builder.solutions import inline, solved
from sandbox.dockerfile.instructions import Arg
from sandbox.errors import SandboxError
from sandbox.image import digest as digests
from sandbox.image import reference as references
from sandbox.image import whiteout
from sandbox.image.committing import describe
from sandbox.image.manifest import MANIFEST, ImageDocument, dump_document
from sandbox.image.tree import Tree
from sandbox.image.unpack import in_user_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sandbox.builder.options import BuildOptions
    from sandbox.builder.output import Publication
    from sandbox.builder.progress import Progress, Step
    from sandbox.builder.solutions import Solved
    from sandbox.image.layoutwriting import LayoutImage
    from sandbox.image.saving import Member
    from sandbox.image.tree import Entries
    from sandbox.runtime.engine import Engine


class Exported(NamedTuple):
    """What was made: the manifest's (or index's) digest and size, and the configuration's, empty for an index."""

    media_type: str
    digest: str
    size: int
    config: str


def build(engine: Engine, options: BuildOptions, progress: Progress) -> Exported:
    """Build the target and give it its names. SandboxError says which instruction failed, and how."""
    names = tuple(references.parse(tag) for tag in options.tags)
    with solved(engine, (options,), progress) as (target,):
        layers = target.result.layers
        with _step(progress, "exporting to image", (options,)) as step:
            document = _document(options, target)
            manifest = describe(document, layers, options.annotations)
            image = engine.images.add(manifest, document, layers, names)
            step.note(f"writing image {image.id}")
            for name in names:
                step.note(f"naming to {name.canonical}")
        return Exported(MANIFEST, digests.of(manifest), len(manifest), image.id)


def build_pushed(
    engine: Engine, builds: Sequence[BuildOptions], progress: Progress, publication: Publication
) -> Exported:
    """Build the target for each platform, and push it under each of its names. What is for one platform is in the store
    then, too. RegistryError where a registry does not take it.
    """
    from sandbox.builder.attesting import attestations  # noqa: PLC0415  (seldom)
    from sandbox.builder.publishing import Target, publish  # noqa: PLC0415  (with all of the registry's client)

    names = tuple(references.parse(tag) for tag in builds[0].tags)
    with solved(engine, builds, progress) as solutions:
        targets = [
            Target(
                _document(options, one),
                one.result.layers,
                tuple(options.platform),
                options.annotations,
                cache(partial(attestations, options, one, names=names, progress=progress)),  # the same under all names
            )
            for options, one in zip(builds, solutions, strict=True)
        ]
        with _step(progress, "exporting to registry", builds) as step:
            index = builds[0].index_annotations
            made = [publish(engine.images, name, targets, index, publication, step) for name in names]
            root, manifest = made[0]
            if len(targets) == 1:
                engine.images.add(manifest, targets[0].configuration, targets[0].layers, names)
        config = digests.of(targets[0].configuration) if root.digest == digests.of(manifest) else ""
        return Exported(root.media_type, root.digest, root.size, config)


def build_files(
    engine: Engine, builds: Sequence[BuildOptions], progress: Progress, write: Callable[[BuildOptions, Entries], None]
) -> None:
    """Build the target for each platform, and have its files written; no image is made."""
    opaque = whiteout.opaque_attribute(user_namespace=in_user_namespace())
    with solved(engine, builds, progress) as solutions:
        for options, one in zip(builds, solutions, strict=True):
            with _step(progress, "exporting to client", (options,)):
                paths = [engine.images.snapshots.path(layer.chain_id) for layer in reversed(one.result.layers)]
                write(options, Tree(paths, opaque))


def build_layout(
    engine: Engine, builds: Sequence[BuildOptions], progress: Progress, write: Callable[[Iterable[Member]], None]
) -> Exported:
    """Build the target for each platform, and have an OCI layout of the images written."""
    from sandbox.builder.attesting import attestations  # noqa: PLC0415  (seldom)
    from sandbox.image.layoutwriting import LayoutImage, layout  # noqa: PLC0415

    names = tuple(references.parse(tag) for tag in builds[0].tags)
    with solved(engine, builds, progress) as solutions:
        images: list[LayoutImage] = []
        for options, one in zip(builds, solutions, strict=True):
            document = _document(options, one)
            manifest = describe(document, one.result.layers, options.annotations)
            found = attestations(options, one, manifest, names, progress)
            images.append(LayoutImage(document, manifest, one.result.layers, tuple(options.platform), found))
        with _step(progress, "exporting to oci image format", builds) as step:
            made = layout(engine.images, images, names, builds[0].index_annotations)
            write(made.members)
            step.note(f"exporting {made.root.digest}")
        return Exported(made.root.media_type, made.root.digest, made.root.size, made.configuration)


def build_archive(
    engine: Engine, options: BuildOptions, progress: Progress, write: Callable[[Iterable[Member]], None]
) -> Exported:
    """Build the target, and have an archive for `docker load` written; the store gets no image."""
    from sandbox.image.saving import unnamed_members  # noqa: PLC0415  (seldom)

    names = [references.parse(tag) for tag in options.tags]
    with solved(engine, (options,), progress) as (target,):
        layers = target.result.layers
        with _step(progress, "exporting to docker image format", (options,)):
            document = _document(options, target)
            manifest = describe(document, layers)
            write(unnamed_members(engine.images, document, layers, names))
        return Exported(MANIFEST, digests.of(manifest), len(manifest), digests.of(document))


@contextmanager
def _step(progress: Progress, name: str, builds: Iterable[BuildOptions]) -> Iterator[Step]:
    """A step that fails with what goes wrong in the block, and says first what is odd about the builds."""
    step = progress.begin(name)
    for options in builds:
        _warn(options, step)
    try:
        yield step
    except SandboxError as error:
        step.failed(error.message)
        raise
    step.done()


def _warn(options: BuildOptions, step: Step) -> None:
    unused = _unused(options)
    if unused:
        step.note_once(f"warning: no ARG takes the build arguments {', '.join(unused)}")
    stages = options.dockerfile.stages
    if unknown := [name for name in options.not_cached if find_stage(stages, name, len(stages)) is None]:
        step.note_once(f"warning: --no-cache-filter names no stage: {', '.join(unknown)}")


def _unused(options: BuildOptions) -> list[str]:
    """Build arguments that nothing declares, probably misspelt; those that mean something everywhere are none."""
    file = options.dockerfile
    found = (*file.global_args, *(one for stage in file.stages for one in stage.instructions if isinstance(one, Arg)))
    known = {name for argument in found for name, _ in argument.definitions} | PROXY_ARGS
    return sorted(
        name for name in options.build_args if name not in known and not name.startswith(("BUILDKIT_", "SOURCE_DATE"))
    )


def _document(options: BuildOptions, solved: Solved) -> bytes:
    result = solved.result
    config = result.config._replace(labels={**result.config.labels, **options.labels})
    unknown: dict[str, Any] = {"author": result.author} if result.author else {}
    if options.platform.variant:
        unknown["variant"] = options.platform.variant
    if any(target.kind is CacheKind.INLINE for target in options.cache_to):
        unknown |= inline(solved)
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
