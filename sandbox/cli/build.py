"""`sandbox build` and `builder prune`: an image of a Dockerfile, and forgetting what builds remember."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sandbox.cli import build_cache, build_checks, build_images, build_output, build_values, docker_options, values
from sandbox.cli.build_context import Sources
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say, tell
from sandbox.cli.session import open_engine, reclaim_others, state_directory
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from sandbox.builder.contexts import Given
    from sandbox.builder.options import BuildOptions
    from sandbox.cli.options import Arguments
    from sandbox.dockerfile.diagnostics import Diagnostic
    from sandbox.dockerfile.parsing import Dockerfile
    from sandbox.image.image import Image
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.spec import ContainerSpec

FORMS = ("auto", "plain", "tty", "rawjson", "quiet")  # of --progress


def _build(arguments: Arguments, home: str) -> int:
    from sandbox.builder.credentials import Credentials  # noqa: PLC0415  (other verbs do without all of it)
    from sandbox.builder.options import BuildOptions  # noqa: PLC0415
    from sandbox.image.committing import now  # noqa: PLC0415
    from sandbox.image.platform import host  # noqa: PLC0415
    from sandbox.image.scratch import Scratch  # noqa: PLC0415

    _check(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # what runs is taken down first, as after Ctrl-C
        signal.signal(number, _leave)
    build_args = _build_args(arguments)
    caches, remembered = build_cache.targets(arguments), build_cache.Sources(arguments)
    entitlements, limits = build_values.entitlements(arguments), build_values.limits(arguments)
    with ExitStack() as stack:
        scratch = stack.enter_context(Scratch(state_directory(home)))
        keys = build_values.secrets(arguments), build_values.agents(arguments, scratch.path, stack)
        # As buildx does it, the caller's own agent is for the context, and only one that is given for the Dockerfile.
        credentials = Credentials(keys[0], keys[1].get("default", os.environ.get("SSH_AUTH_SOCK", "")))
        sources = Sources(arguments, scratch.path, credentials)
        if sources.is_here:
            given = sources.given()
            dockerfile = _parsed(given)
            if not _only_checks(arguments):
                build_images.ensure_images(dockerfile, arguments, build_args, home, sources)
            engine = open_engine(home, starts=True)
            lease = stack.enter_context(engine.images.lease())
        else:
            make = os.geteuid() == 0
            engine = open_engine(home, starts=True)
            lease = stack.enter_context(engine.images.lease())
            given = sources.given(engine.images, lease)
            dockerfile = _parsed(given)
            if not _only_checks(arguments):
                build_images.ensure_images(dockerfile, arguments, build_args, home, sources, make=make)
        findings = build_checks.findings(engine.images, dockerfile, arguments, build_args, sources, given)
        failed = bool(findings) and dockerfile.directives.check.error
        if _only_checks(arguments):
            return _show(dockerfile, findings)
        if failed:
            raise InvalidError(
                f"{given.name} violates checks, and says that this is an error", hint="see them with --check"
            )
        epoch = _epoch(arguments)
        options = BuildOptions(
            dockerfile=dockerfile,
            context=given.context,
            image=partial(build_images.image, engine, build_images.when(arguments)),
            platform=host(),
            build_platform=host(),
            names_platform=len(build_output.platforms(arguments)) > 1,
            annotations=build_output.annotated(arguments, "manifest"),
            index_annotations=build_output.annotated(arguments, "index"),
            materials=sources.materials,
            provenance=build_output.provenance(arguments),
            sbom=build_output.sbom(arguments),
            moment=now() if epoch is None else epoch,
            is_epoch=epoch is not None,
            squash=arguments.flag("squash"),
            rewrite_times=build_output.output(arguments).rewrite_times,
            target=arguments.text("target"),
            tags=arguments.texts("tag"),
            build_args=build_args,
            labels=values.labels(arguments.texts("label"), "--label"),
            secrets=keys[0],
            agents=keys[1],
            cache_to=caches,
            use_cache=not arguments.flag("no-cache"),
            not_cached=tuple(name for text in arguments.texts("no-cache-filter") for name in text.split(",")),
            network=arguments.text("network", "default"),
            allowed=entitlements,
            limits=limits,
            on_failure=partial(_open_shell, engine) if arguments.flag("shell-on-failure") else None,
        )
        builds = [
            replace(
                options,
                platform=platform,
                contexts=sources.named(engine.images, lease, platform),
                cache_from=remembered.opened(engine.images, platform, stack),
            )
            for platform in build_output.platforms(arguments)
        ]
        _solve(engine, arguments, builds)
        if (count := len(findings)) and not arguments.flag("quiet"):
            tell(
                f"sandbox: the checks found {count} warning{'s' if count > 1 else ''} (show with sandbox build --check)"
            )
        return 0


def _show(dockerfile: Dockerfile, findings: tuple[Diagnostic, ...]) -> int:
    """What the checks found; as with docker, a warning is enough for exit code 1."""
    from sandbox.dockerfile.diagnostics import render, summary  # noqa: PLC0415

    say(render(dockerfile.source, findings))
    say(f"{summary(findings)}\n")
    return int(bool(findings))


def _open_shell(engine: Engine, spec: ContainerSpec, image: Image) -> None:
    from sandbox.cli.build_shell import open_shell  # noqa: PLC0415  (seldom)

    open_shell(engine, spec, image)


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _parsed(given: Given) -> Dockerfile:
    from sandbox.dockerfile.parsing import parse  # noqa: PLC0415

    return parse(given.text, given.name).require()


def _solve(engine: Engine, arguments: Arguments, builds: Sequence[BuildOptions]) -> None:
    from sandbox.builder.progress import Progress  # noqa: PLC0415
    from sandbox.cli.build_display import display  # noqa: PLC0415

    form = "quiet" if arguments.flag("quiet") else _form(arguments)
    engine.images.reclaim_if_any()
    _reclaim_builds(engine)
    with Progress(display(form)) as progress:
        made = build_output.export(engine, builds, progress, build_output.output(arguments))
    build_output.record(arguments, made)
    if form == "quiet" and made is not None:
        say(f"{made.config or made.digest}\n")


def _reclaim_builds(engine: Engine) -> None:
    """Take away what a killed build has left running."""
    from sandbox.builder.running import abandoned  # noqa: PLC0415

    for identifier in abandoned(engine):
        engine.remove(identifier, force=True)
    reclaim_others(engine, "")


def _check(arguments: Arguments) -> None:
    from sandbox.image.reference import parse  # noqa: PLC0415

    docker_options.check(arguments, docker_options.BUILD)
    form = _form(arguments)
    if form not in FORMS:
        raise UsageError(f"--progress {form!r} is none of {', '.join(FORMS)}")
    if (call := arguments.text("call", "build")) not in ("build", "check"):
        raise UsageError(f"--call {call!r} is not understood", hint="there are build and check")
    if form == "tty" and not os.isatty(2):
        raise UsageError("--progress tty needs a terminal, and standard error is none", hint="auto takes one if it can")
    build_output.output(arguments)
    if arguments.flag("shell-on-failure") and not os.isatty(0):
        raise UsageError("--shell-on-failure needs a terminal, and standard input is none")
    for tag in arguments.texts("tag"):  # said before the work
        parse(tag)


def _form(arguments: Arguments) -> str:
    """How progress is shown; as with docker, the environment says so where the line does not."""
    return arguments.text("progress") or os.environ.get("BUILDKIT_PROGRESS") or "auto"


def _only_checks(arguments: Arguments) -> bool:
    """`--check`, or `--call=check` as newer dockers write it."""
    return arguments.flag("check") or arguments.text("call") == "check"


def _build_args(arguments: Arguments) -> dict[str, str]:
    return values.environment(arguments.texts("build-arg"), "--build-arg", os.environ)


def _epoch(arguments: Arguments) -> str | None:
    """What SOURCE_DATE_EPOCH says, if anything."""
    text = _build_args(arguments).get("SOURCE_DATE_EPOCH", os.environ.get("SOURCE_DATE_EPOCH", ""))
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidError(f"SOURCE_DATE_EPOCH {text!r} is not a number of seconds")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(text)))


def _prune(arguments: Arguments, home: str) -> int:
    from sandbox.builder import digests, downloads  # noqa: PLC0415
    from sandbox.cli.table import size  # noqa: PLC0415
    from sandbox.image.buildcache import BuildCache  # noqa: PLC0415
    from sandbox.kernel.paths import Root  # noqa: PLC0415

    engine = open_engine(home)
    steps = BuildCache(engine.home).prune()
    digests.forget(engine.home)
    downloads.forget(engine.home)
    freed = engine.images.reclaim()
    if arguments.flag("all"):
        with suppress(FileNotFoundError), Root(engine.home) as root:
            root.remove_tree("caches")
    say(f"Forgot {steps} steps, reclaimed {size(freed)}\n")
    return 0


VERBS = {
    "builder prune": Verb(
        Syntax(
            "forget what builds remember, and free its space",
            "",
            (Option(("-a", "--all"), "also the folders of RUN --mount=type=cache"),),
        ),
        _prune,
    ),
    "build": Verb(
        Syntax(
            "make an image of a Dockerfile",
            "CONTEXT",
            (
                Option(("--add-host",), "a line for /etc/hosts of RUN", "NAME:ADDRESS", many=True),
                Option(("--allow",), "what a RUN may want: security.insecure, network.host", "RIGHT", many=True),
                Option(("--annotation",), "an annotation of the image's manifest, or index:", "NAME=VALUE", many=True),
                Option(("--attest",), "as --provenance and --sbom", "type=KIND", many=True),
                Option(("--build-arg",), "a value for an ARG", "NAME=VALUE", many=True),
                Option(("--build-context",), "further files, for --from and FROM", "NAME=CONTEXT", many=True),
                Option(("--cache-from",), "take steps from a folder or registry, too", "type=KIND,…", many=True),
                Option(("--cache-to",), "write the steps to a folder, a registry, the image", "type=KIND,…", many=True),
                Option(("--call",), "what is wanted of the Dockerfile: build, or check", "METHOD"),
                Option(("--check",), "check the Dockerfile, and build nothing"),
                Option(
                    ("-f", "--file"),
                    "the Dockerfile (default: CONTEXT/Dockerfile), a URL, - for standard input",
                    "PATH",
                ),
                Option(("--iidfile",), "write the image's id to a file", "PATH"),
                Option(("--label",), "a label of the image", "NAME=VALUE", many=True),
                Option(("--metadata-file",), "write what was made to a file, as JSON", "PATH"),
                Option(("--network",), "the network of RUN: default, none, host", "NETWORK"),
                Option(("--no-cache",), "take nothing from earlier builds"),
                Option(("--no-cache-filter",), "take nothing from earlier builds for a stage", "STAGE", many=True),
                Option(
                    ("-o", "--output"), "files to a folder, or type=local|tar|oci|docker|image|registry,…", "OUTPUT"
                ),
                Option(("--platform",), "what to build for, such as linux/arm64", "PLATFORM", many=True),
                Option(("--progress",), f"how to show progress: {', '.join(FORMS)}", "FORM"),
                Option(("--provenance",), "say how the image was made: true, mode=min, mode=max", "MODE", many=True),
                Option(("--pull",), "fetch the images of FROM again, even where they are here"),
                Option(("--push",), "push the image to the registries that its names say"),
                Option(("-q", "--quiet"), "print the image's id alone"),
                Option(("--sbom",), "say what packages are in the image: true", "BOOL", many=True),
                Option(("--secret",), "a secret for RUN --mount=type=secret", "id=NAME,src=FILE", many=True),
                Option(("--shell-on-failure",), "open a shell in the container as a failing RUN left it"),
                Option(("--shm-size",), "size of /dev/shm of RUN (64m)", "BYTES[k|m|g]"),
                Option(("--squash",), "put what the build makes into one layer"),
                Option(
                    ("--ssh",), "an agent for RUN --mount=type=ssh: default, ID=SOCKET, ID=KEY", "ID[=…]", many=True
                ),
                Option(("-t", "--tag"), "a name for the image", "NAME[:TAG]", many=True),
                Option(("--target",), "the stage to build (default: the last)", "STAGE"),
                Option(
                    ("--ulimit",), "limit of each process of RUN, such as nofile=1024", "NAME=SOFT[:HARD]", many=True
                ),
                *(one.option for one in docker_options.BUILD),
            ),
        ),
        _build,
    ),
}
