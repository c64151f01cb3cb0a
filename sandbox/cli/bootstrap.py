"""`sandbox bootstrap`: base images without a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.making import make_image, source_of
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.session import state_directory
from sandbox.errors import NotFoundError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _bootstrap(arguments: Arguments, home: str) -> int:
    from sandbox.image import reference as references  # noqa: PLC0415
    from sandbox.image.sources import Maker  # noqa: PLC0415

    name = arguments.operands[0]
    path = state_directory(home)
    source = source_of(name, path)
    if source is None:
        raise NotFoundError(
            f"nothing here makes an image {name!r}", hint="there are busybox, debian:<suite> and what images.toml names"
        )
    packages = tuple(package for text in arguments.texts("include") for package in text.split(",") if package)
    if packages:
        if source.maker is not Maker.DEBIAN:
            raise UsageError(f"--include: {name} has no packages", hint="it is for debian:<suite>")
        if not arguments.given("tag"):
            raise UsageError("--include makes another image", hint="name it with --tag")
        source = source._replace(include=source.include + packages)
    if arguments.given("tag"):
        source = source._replace(reference=references.parse(arguments.text("tag")).canonical)
    image = make_image(source, path, force=arguments.flag("force"))
    say(f"{image.id}\n")
    return 0


VERBS = {
    "bootstrap": Verb(
        Syntax(
            "make a base image of the distribution's packages: busybox, debian:bookworm, or a name of images.toml",
            "NAME",
            (
                Option(("--include",), "further Debian packages, joined by commas; with --tag", "PACKAGES", many=True),
                Option(("--tag",), "name of the image (default NAME)", "IMAGE"),
                Option(("-f", "--force"), "make it anew even if it is there"),
            ),
        ),
        _bootstrap,
    )
}
