"""Where `sandbox build` has the images of FROM, COPY and RUN from: the store, a registry, or made here.

The store keeps an image for one platform under a name. Those for another one that a build pulls are called like it with
the platform behind: `debian:bookworm.linux-arm64`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.cli import build_output
from sandbox.cli.making import When, ensure
from sandbox.cli.session import state_directory
from sandbox.errors import NotFoundError
from sandbox.image import platform as platforms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.cli.build_context import Sources
    from sandbox.cli.options import Arguments
    from sandbox.dockerfile.parsing import Dockerfile
    from sandbox.image.image import Image
    from sandbox.image.platform import Platform
    from sandbox.runtime.engine import Engine

_SHORT_ID = 12  # figures, as `sandbox images` shows them


def when(arguments: Arguments) -> When:
    """`--pull`."""
    return When.ALWAYS if arguments.flag("pull") else When.MISSING


def ensure_images(
    dockerfile: Dockerfile,
    arguments: Arguments,
    build_args: Mapping[str, str],
    home: str,
    sources: Sources,
    *,
    make: bool = True,
) -> None:
    """Have what FROM names for this machine; an ordinary user's mmdebstrap has to begin before the engine is opened."""
    from sandbox.builder.graph import SCRATCH, plan_build  # noqa: PLC0415

    host = platforms.host()
    images = list(sources.images)
    for platform in build_output.platforms(arguments):
        plan = plan_build(dockerfile, build_args, platform, arguments.text("target"), sources.names, host)
        images += [
            stage.image
            for stage in plan.stages
            if stage.image
            and stage.image.lower() not in (SCRATCH, *sources.names)
            and platforms.parse(stage.platform or str(platform)) == host
        ]
    for image in dict.fromkeys(images):
        ensure(image, state_directory(home), when=when(arguments), bootstrap=make)


def image(engine: Engine, pull: When, name: str, platform: str) -> Image:
    """The image of a FROM or `--from`. A few letters are a name there, never the beginning of an id."""
    from sandbox.image.reference import parse  # noqa: PLC0415
    from sandbox.kernel.idmap import in_initial_namespace  # noqa: PLC0415

    if platform and platforms.parse(platform) != platforms.host():
        return _foreign(engine, pull, name, platforms.parse(platform))
    if engine.images.find(name, named=False) is None:  # named by COPY or RUN alone: FROM's are here
        ensure(name, engine.home, when=pull, bootstrap=os.geteuid() == 0 and in_initial_namespace())
    found = engine.images.get(name)
    if len(name) < _SHORT_ID and found.id.hex.startswith(name) and parse(name).familiar not in found.references:
        raise NotFoundError(f"no image or stage {name!r}", hint="`sandbox images` lists what there is")
    return found


def _foreign(engine: Engine, pull: When, name: str, platform: Platform) -> Image:
    """The image for another platform; where there is none, that for this one, of which the builder says so."""
    from sandbox.image.reference import parse  # noqa: PLC0415
    from sandbox.image.sources import Remote, Sources, search_paths  # noqa: PLC0415

    here = engine.images.find(name, named=False)
    if here is not None and (here.os, here.architecture) == platform[:2]:
        return here
    reference = parse(name)
    tag = reference.tag or reference.digest.partition(":")[2][:_SHORT_ID] or "latest"
    local = f"{reference._replace(digest='', tag=tag).familiar}.{str(platform).replace('/', '-')}"
    found = engine.images.find(local)
    if found is not None and pull is When.MISSING:
        return found
    origin = Sources.load(search_paths(os.environ, engine.home)).origin(name)
    if isinstance(origin, Remote):
        from sandbox.registry.client.pulling import answers  # noqa: PLC0415
        from sandbox.registry.client.pulling import pull as fetch  # noqa: PLC0415

        if answers(engine.home, origin.reference):
            return fetch(engine.images, origin.reference, platform=platform, named=local).image
    if found is None and here is None:
        raise NotFoundError(f"no image {name!r} for {platform}, and no registry answers for it")
    return found or engine.images.get(name)
