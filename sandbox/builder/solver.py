"""Builds an image: stage after stage, instruction after instruction, each from the cache or done.

`exporting` makes something of the result. What is finished stays in the cache whatever becomes of the rest; half-made
things are in the store's scratch and under a lease, so that a build that is killed leaves nothing that the next one
does not take away.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.builder import base
from sandbox.builder.cancelling import Cancellation
from sandbox.builder.credentials import Credentials
from sandbox.builder.digests import FileDigests
from sandbox.builder.files import FileView
from sandbox.builder.graph import SCRATCH, find_stage, plan_build
from sandbox.builder.keys import base_key, files_digest, files_key
from sandbox.builder.options import Context, Material
from sandbox.builder.parallel import Stages
from sandbox.builder.sources import RemoteSources
from sandbox.builder.stage import StageBuilder
from sandbox.builder.transfer import Owner, Placing, Transfer, select
from sandbox.dockerfile.expansion import Expander
from sandbox.errors import InvalidError, NotFoundError
from sandbox.image import platform as platforms
from sandbox.image import whiteout
from sandbox.image.buildcache import BuildCache, CachedStep
from sandbox.image.unpack import in_user_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from sandbox.builder.base import Result
    from sandbox.builder.graph import StagePlan
    from sandbox.builder.mounting import Mounter
    from sandbox.builder.options import BuildOptions
    from sandbox.builder.progress import Progress
    from sandbox.dockerfile.instructions import BuildStage
    from sandbox.image.image import Image
    from sandbox.image.locking import Lease
    from sandbox.runtime.engine import Engine


class Solver:
    """One build. `made` are the keys of what it has done itself, so that nothing is done twice without a cache.

    `materials` are the images and sources that went into it.
    """

    def __init__(self, engine: Engine, options: BuildOptions, progress: Progress, lease: Lease, folder: Path) -> None:
        self.engine = engine
        self.options = options
        self.progress = progress
        self.lease = lease
        self.folder = folder  # the build's own; its name is the build's
        self.expander = Expander(options.dockerfile.directives.escape)
        self.cache = BuildCache(engine.home)
        self.opaque = whiteout.opaque_attribute(user_namespace=in_user_namespace())
        self.digests = FileDigests(engine.home, options.context.paths)
        self.made: set[str] = set()
        self.steps: dict[str, CachedStep] = {}  # all that the target needed, by their keys
        self.materials: list[Material] = []
        self.cancellation = Cancellation()
        self._stages = Stages(self._build_stage, self.cancellation)
        self.plan = plan_build(
            options.dockerfile,
            options.build_args,
            options.platform,
            options.target,
            options.contexts,
            options.build_platform,
        )
        self._plans = {plan.stage.number: plan for plan in self.plan.stages}

    def solve(self) -> Result:
        """All that the target needs, and the target."""
        complete = False
        try:
            result = self._stages.solve(sorted(self._plans))
            complete = True
            return result
        finally:
            self.digests.save(all_were_asked_for=complete)
            self.engine.images.settle()

    def _build_stage(self, number: int) -> Result:
        plan = self._plans[number]
        return StageBuilder(self, plan, self._base(plan), named=len(self.options.dockerfile.stages) > 1).build()

    @contextmanager
    def view(self, origin: str, before: int) -> Iterator[FileView]:
        """The files of an earlier stage (name or number), of an image, or where `origin` is empty of the context."""
        context = self.options.contexts.get(origin.lower()) if origin else self.options.context
        if isinstance(context, Context):
            with FileView(context.paths, "", context.ignore) as view:
                yield view
            return
        number = find_stage(self.options.dockerfile.stages, origin, before)
        if context is not None:
            result = self._of_image(context.name, self._foreign)
        elif number is not None:
            if number not in self._plans:
                raise InvalidError(
                    f"stage {origin!r} was left out",
                    hint="ONBUILD of an image names it; name it in the Dockerfile, too",
                )
            result = self._stages.result(number)
        elif origin.lower() == SCRATCH:
            result = base.scratch(self.options.moment)
        else:
            result = self._of_image(origin, self._foreign)
        with self.files(result) as view:
            yield view

    def files(self, result: Result) -> FileView:
        """The files of a stage as far as it is built."""
        snapshots = self.engine.images.snapshots
        return FileView([snapshots.path(layer.chain_id) for layer in reversed(result.layers)], self.opaque)

    def is_left_out(self, stage: BuildStage) -> bool:
        """Whether what earlier builds made of a stage does not count."""
        stages = self.options.dockerfile.stages
        return any(find_stage(stages, name, len(stages)) == stage.number for name in self.options.not_cached)

    def mounter(self, before: int, *, insecure: bool) -> Mounter:
        """What makes the mounts of one RUN of a stage, which may be one with all rights."""
        from sandbox.builder.mounting import Mounter  # noqa: PLC0415  (few have mounts)

        store = self.engine.images
        options = self.options
        view = lambda origin: self.view(origin, before)  # noqa: E731
        return Mounter(
            store,
            self.lease,
            self.folder,
            options.secrets,
            options.agents,
            view,
            self.digests.digest,
            insecure=insecure,
        )

    def remote_sources(self, stack: ExitStack) -> RemoteSources:
        """What fetches for an ADD, as long as the stack."""
        options = self.options
        credentials = Credentials(options.secrets, options.agents.get("default", ""))
        return RemoteSources(self.engine.images, self.lease, self.folder, stack, credentials, self._note)

    def _note(self, uri: str, algorithm: str, digest: str) -> None:
        self.materials.append(Material(uri, algorithm, digest))

    def _base(self, plan: StagePlan) -> Result:
        context = self.options.contexts.get(plan.image.lower())
        if isinstance(context, Context):
            return self._of_files(context)
        if context is not None:
            return self._of_image(context.name, plan.platform or self._foreign)
        if plan.parent is not None:
            return self._stages.result(plan.parent)
        if plan.image.lower() == SCRATCH:
            return base.scratch(self.options.moment)
        try:
            return self._of_image(plan.image, plan.platform or self._foreign)
        except NotFoundError as error:
            line = plan.stage.base.span.line
            raise NotFoundError(f"line {line}: {error.message}", hint=error.hint, reference=error.reference) from None

    @property
    def _foreign(self) -> str:
        """The platform that images have to be for; any will do where it is this machine's."""
        return "" if self.options.platform == self.options.build_platform else str(self.options.platform)

    def _of_files(self, context: Context) -> Result:
        """A named context as a base: its files in one layer."""
        with FileView(context.paths, "", context.ignore) as view, FileView((), "") as nothing:
            transfer = Transfer(nothing, select(view, "/"), (), Placing("/", owner=Owner()))
            key = files_key(base_key(()), files_digest(transfer))
            record = self.engine.images.snapshots.pack(transfer, lease=self.lease)
        return base.scratch(self.options.moment).stacked(record.layer, key, "FROM context", self.options.moment)

    def _of_image(self, name: str, platform: str = "") -> Result:
        store = self.engine.images
        with store.hold():
            image = self.options.image(name, platform)
            _check_platform(name, image, platform)
            self._note(
                f"pkg:docker/{name}?platform={image.os}%2F{image.architecture}", "sha256", image.manifest_digest.hex
            )
            for layer in image.layers:
                self.lease.add_snapshot(layer.chain_id)
        return base.of_image(store, image)


def _check_platform(name: str, image: Image, wanted: str) -> None:
    """An image is here for one platform; `wanted` is os/architecture[/variant], empty for any."""
    if wanted and platforms.parse(wanted)[:2] != (image.os, image.architecture):
        raise InvalidError(
            f"image {name!r} is for {image.os}/{image.architecture}, not for {wanted}",
            hint=f"sandbox pull --platform {wanted} {name}, or --build-context {name}=oci-layout://FOLDER",
        )
