"""`sandbox pull`: images from registries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_images

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.image.platform import Platform
    from sandbox.image.store import ImageStore

TLS_VERIFY = Option(("--tls-verify",), "the registry has to have TLS and a certificate to be trusted (true)")
_QUIET = Option(("-q", "--quiet"), "print the name alone")


def _pull(arguments: Arguments, home: str) -> int:
    from sandbox.image import platform as platforms  # noqa: PLC0415
    from sandbox.image import reference as references  # noqa: PLC0415

    name = arguments.operands[0]
    platform = platforms.parse(arguments.text("platform")) if arguments.given("platform") else None
    if not arguments.flag("all-tags"):
        _one(open_images(home), references.parse(name).canonical, arguments, platform)
        return 0
    reference = references.parse(name, default_tag=False)
    if reference.tag or reference.digest:
        raise UsageError(f"--all-tags is for a repository, and {name!r} names one image", hint="leave the tag out")
    from sandbox.registry.client.session import Session, first_of  # noqa: PLC0415

    store = open_images(home)
    with Session(store.home, verify=arguments.flag("tls-verify", default=True)) as session:
        servers = session.repositories(reference, "pull")
        tags = first_of(servers, lambda server: server.tags())
    for tag in tags:
        _one(store, reference._replace(tag=tag).canonical, arguments, platform)
    return 0


def _one(store: ImageStore, name: str, arguments: Arguments, platform: Platform | None) -> None:
    from sandbox.cli.transfers import Display  # noqa: PLC0415
    from sandbox.image.reference import parse  # noqa: PLC0415
    from sandbox.registry.client.pulling import pull  # noqa: PLC0415

    reference = parse(name)
    quiet = arguments.flag("quiet")
    with Display(1, quiet=quiet) as display:
        if not reference.digest and reference.tag == "latest" and not quiet and ":latest" not in arguments.operands[0]:
            display.line("Using default tag: latest")
        pulled = pull(
            store,
            name,
            platform=platform,
            verify=arguments.flag("tls-verify", default=True),
            environment=os.environ,
            progress=display,
        )
    if not quiet:
        done = "Downloaded newer image" if pulled.new else "Image is up to date"
        say(f"Digest: {pulled.digest}\nStatus: {done} for {reference.familiar}\n")
    say(f"{reference.canonical}\n")


VERBS = {
    "pull": Verb(
        Syntax(
            "fetch an image from a registry",
            "NAME[:TAG|@DIGEST]",
            (
                Option(("-a", "--all-tags"), "every tag of the repository"),
                Option(("--platform",), "such as linux/arm64, in place of this host's", "PLATFORM"),
                _QUIET,
                TLS_VERIFY,
            ),
        ),
        _pull,
    ),
}
VERBS["image pull"] = VERBS["pull"]
