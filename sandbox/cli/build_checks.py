"""The build checks of `sandbox build`: what is here of images is looked up for them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.cli import build_output
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.builder.contexts import Given
    from sandbox.cli.build_context import Sources
    from sandbox.cli.options import Arguments
    from sandbox.dockerfile.checks import BasePlatform
    from sandbox.dockerfile.diagnostics import Diagnostic
    from sandbox.dockerfile.parsing import Dockerfile
    from sandbox.image.image import Image
    from sandbox.image.store import ImageStore


def findings(
    images: ImageStore,
    dockerfile: Dockerfile,
    arguments: Arguments,
    build_args: Mapping[str, str],
    sources: Sources,
    given: Given,
) -> tuple[Diagnostic, ...]:
    """What the checks say; an image that is here is asked for its variables and its platform."""
    from sandbox.dockerfile.checks import check  # noqa: PLC0415  (other verbs do without)

    def environment(name: str) -> Mapping[str, str] | None:
        image = _here(images, name)
        return image.config.environment if image is not None else None

    platforms: dict[int, BasePlatform] = {}
    with suppress(SandboxError):  # of what makes no plan the build tells
        platforms = _base_platforms(images, dockerfile, arguments, build_args, sources)
    return check(dockerfile, environment=environment, base_platforms=platforms, ignore=given.context.ignore)


def _base_platforms(
    images: ImageStore, dockerfile: Dockerfile, arguments: Arguments, build_args: Mapping[str, str], sources: Sources
) -> dict[int, BasePlatform]:
    """Of the stages that the target needs, by their numbers; variants do not count."""
    from sandbox.builder.graph import plan_build  # noqa: PLC0415
    from sandbox.dockerfile.checks import BasePlatform  # noqa: PLC0415
    from sandbox.image.platform import host, normalized, parse  # noqa: PLC0415

    wanted = build_output.platforms(arguments)[0]
    plan = plan_build(dockerfile, build_args, wanted, arguments.text("target"), sources.names, host())
    found = {}
    for stage in plan.stages:
        image = _here(images, stage.image) if stage.image and stage.image.lower() not in sources.names else None
        if image is not None:
            expected = parse(stage.platform) if stage.platform else wanted
            actual = normalized(image.os, image.architecture)
            found[stage.stage.number] = BasePlatform(stage.image, "/".join(actual[:2]), "/".join(expected[:2]))
    return found


def _here(images: ImageStore, name: str) -> Image | None:
    try:
        return images.find(name)
    except SandboxError:
        return None
