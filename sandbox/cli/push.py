"""`sandbox push`: images to registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.pull import TLS_VERIFY
from sandbox.cli.session import open_images
from sandbox.errors import NotFoundError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.registry.client.compression import Packed


def _push(arguments: Arguments, home: str) -> int:
    from sandbox.cli.transfers import Display  # noqa: PLC0415
    from sandbox.image import reference as references  # noqa: PLC0415
    from sandbox.registry.client.pushing import push  # noqa: PLC0415

    name = arguments.operands[0]
    store = open_images(home)
    reference = references.parse(name, default_tag=not arguments.flag("all-tags"))
    names = [reference]
    if arguments.flag("all-tags"):
        if reference.tag or reference.digest:
            raise UsageError(f"--all-tags is for a repository, and {name!r} names one image", hint="leave the tag out")
        listed = {references.parse(text) for image in store.list() for text in image.references}
        names = sorted(one for one in listed if one.name == reference.name and not one.digest)
        if not names:
            raise NotFoundError(f"no image of {reference.familiar_name!r}", hint="`sandbox images` lists what there is")
    quiet, packed = arguments.flag("quiet"), _packed(arguments)
    for one in names:
        with Display(1, quiet=quiet) as display:
            if len(names) == 1 and not quiet and not name.endswith(f":{one.tag}"):
                display.line(f"Using default tag: {one.tag}")
            verify = arguments.flag("tls-verify", default=True)
            pushed = push(store, one.canonical, verify=verify, progress=display, packed=packed)
        say(f"{one.canonical}\n" if quiet else f"{one.tag}: digest: {pushed.digest} size: {pushed.size}\n")
    return 0


def _packed(arguments: Arguments) -> Packed:
    """A form that somebody asks for is one that all layers have, as with podman."""
    from sandbox.registry.client.compression import AS_KNOWN, Packed, parse_form  # noqa: PLC0415

    if not arguments.given("compression"):
        return AS_KNOWN
    return Packed(parse_form(arguments.text("compression")), always=True)


VERBS = {
    "push": Verb(
        Syntax(
            "send an image to the registry that its name says",
            "NAME[:TAG]",
            (
                Option(("-a", "--all-tags"), "every tag of the repository that is here"),
                Option(
                    ("--compression",), "what layers are: gzip, zstd or uncompressed (as known there, gzip)", "FORM"
                ),
                Option(("-q", "--quiet"), "print the name alone"),
                TLS_VERIFY,
            ),
        ),
        _push,
    ),
}
VERBS["image push"] = VERBS["push"]
