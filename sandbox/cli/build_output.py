"""What `sandbox build` makes, for which platforms, and where it says so: `--output`, `--platform`, `--iidfile` …"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sandbox.builder.attest.provenance import Mode
    from sandbox.builder.exporting import Exported
    from sandbox.builder.options import BuildOptions
    from sandbox.builder.output import Output
    from sandbox.builder.progress import Progress
    from sandbox.cli.options import Arguments
    from sandbox.image.platform import Platform
    from sandbox.image.saving import Member
    from sandbox.image.tree import Entries
    from sandbox.runtime.engine import Engine


_INDEX = "write it: --output type=oci,dest=FILE; or push it: --push"


def platforms(arguments: Arguments) -> tuple[Platform, ...]:
    """What is built for, each once; this machine's by default."""
    from sandbox.image.platform import host, parse  # noqa: PLC0415  (each is for a build alone)

    texts = [text for listed in arguments.texts("platform") for text in listed.split(",") if text]
    found = tuple(dict.fromkeys(host() if text == "local" else parse(text) for text in texts)) or (host(),)
    for platform in found:
        if platform.os != "linux":
            raise UsageError(f"--platform {platform} cannot be built for: containers here are Linux's")
    return found


def output(arguments: Arguments) -> Output:
    """Where it goes; into the store by default. Raises UsageError for what does not go together."""
    from sandbox.builder.output import Output, OutputKind, parse_output  # noqa: PLC0415

    found = parse_output(arguments.text("output")) if arguments.given("output") else Output(OutputKind.IMAGE, "")
    if arguments.flag("push"):
        found = _pushed(found)
    if found.is_files and (arguments.given("tag") or arguments.given("iidfile")):
        raise UsageError("--output makes no image, so it goes with neither --tag nor --iidfile")
    if found.publication is not None and not (arguments.given("tag") or found.names):
        raise UsageError("an image that is pushed needs a name", hint="add -t REGISTRY/NAME:TAG")
    makes_index = len(platforms(arguments)) > 1 or sbom(arguments) or provenance(arguments) is not None
    if annotated(arguments, "index") and not (found.takes_index and makes_index):
        raise UsageError("--annotation index: is for several platforms or attestations: else there is no index")
    if found.takes_index:
        return found
    if sbom(arguments) or provenance(arguments):
        raise UsageError("attestations are in an index, which the store cannot keep", hint=_INDEX)
    if len(platforms(arguments)) > 1 and found.kind is not OutputKind.LOCAL:
        raise UsageError("several platforms make an index, which the store cannot keep", hint=_INDEX)
    return found


def _pushed(found: Output) -> Output:
    """`--push`: what goes into the store otherwise."""
    from sandbox.builder.output import OutputKind, Publication  # noqa: PLC0415

    if found.kind is not OutputKind.IMAGE:
        raise UsageError(f"--push is for images, and --output makes type={found.kind}", hint="leave one of them out")
    return found._replace(publication=found.publication or Publication())


def annotated(arguments: Arguments, kind: str) -> dict[str, str]:
    """Those of each manifest, or of the index: `--annotation [KIND[,KIND]:]NAME=VALUE`, of a manifest by default."""
    found = {}
    for text in arguments.texts("annotation"):
        name, separator, value = text.partition("=")
        kinds, colon, rest = name.partition(":")
        name = rest if colon else name
        if not separator or not name:
            raise UsageError(f"--annotation {text!r} is not NAME=VALUE")
        wanted = kinds.split(",") if colon else ["manifest"]
        if set(wanted) - {"manifest", "index"}:
            raise UsageError(f"--annotation {text!r} is for {kinds!r}", hint="write manifest: or index:")
        if kind in wanted:
            found[name] = value
    return found


def provenance(arguments: Arguments) -> Mode | None:
    """How much `--provenance` and `--attest type=provenance` say; None: nothing is to be said."""
    from sandbox.builder.attest.provenance import Mode  # noqa: PLC0415

    texts = [*arguments.texts("provenance"), *_attested(arguments, "provenance")]
    if not texts or texts[-1] in ("false", "disabled=true"):
        return None
    mode = texts[-1].removeprefix("mode=")
    if mode in ("", "true"):
        return Mode.MIN
    if mode not in tuple(Mode):
        raise UsageError(f"--provenance {mode!r} is not understood", hint="write true, false, mode=min or mode=max")
    return Mode(mode)


def sbom(arguments: Arguments) -> bool:
    """Whether `--sbom` or `--attest type=sbom` asks for a list of packages."""
    texts = [*arguments.texts("sbom"), *(text or "true" for text in _attested(arguments, "sbom"))]
    for text in texts:
        if text not in ("true", "false"):
            raise UsageError(f"--sbom {text!r} is not understood", hint="write true or false: there is one scanner")
    return bool(texts) and texts[-1] == "true"


def _attested(arguments: Arguments, kind: str) -> list[str]:
    """What `--attest type=KIND,…` says beside the type."""
    found = []
    for text in arguments.texts("attest"):
        fields = text.split(",")
        if fields[0] not in ("type=provenance", "type=sbom"):
            raise UsageError(f"--attest {text!r} is not understood", hint="write type=provenance or type=sbom")
        if fields[0] == f"type={kind}":
            found.append(",".join(fields[1:]))
    return found


def export(engine: Engine, builds: Sequence[BuildOptions], progress: Progress, wanted: Output) -> Exported | None:
    """Build, and have it where it is wanted; None for files."""
    from sandbox.builder.exporting import (  # noqa: PLC0415
        build,
        build_archive,
        build_files,
        build_layout,
        build_pushed,
    )
    from sandbox.builder.output import OutputKind  # noqa: PLC0415

    builds = [
        replace(
            options,
            tags=(*options.tags, *wanted.names),
            annotations={**wanted.annotations, **options.annotations},
        )
        for options in builds
    ]
    if wanted.is_files:
        build_files(engine, builds, progress, partial(_write_files, wanted, several=len(builds) > 1))
        return None
    if wanted.kind is OutputKind.OCI:
        return build_layout(engine, builds, progress, lambda members: _write_members(wanted, members))
    if wanted.publication is not None:
        return build_pushed(engine, builds, progress, wanted.publication)
    if wanted.destination:
        return build_archive(engine, builds[0], progress, lambda members: _write_members(wanted, members))
    return build(engine, builds[0], progress)


def record(arguments: Arguments, made: Exported | None) -> None:
    """Write what was made to the files that the line names."""
    if made is not None and arguments.given("iidfile"):
        _write(arguments.text("iidfile"), made.config or made.digest)
    if arguments.given("metadata-file"):
        _write(arguments.text("metadata-file"), json.dumps(_metadata(arguments, made), indent=2) + "\n")


def _metadata(arguments: Arguments, made: Exported | None) -> dict[str, object]:
    """The names are buildx's."""
    if made is None:
        return {}
    found: dict[str, object] = {
        "containerimage.descriptor": {"mediaType": made.media_type, "digest": made.digest, "size": made.size},
        "containerimage.digest": made.digest,
    }
    if made.config:
        found["containerimage.config.digest"] = made.config
    if names := arguments.texts("tag"):
        from sandbox.image.reference import parse  # noqa: PLC0415

        found["image.name"] = ",".join(parse(name).canonical for name in names)
    return found


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise InvalidError(f"cannot write {path!r}: {(error.strerror or '').lower()}") from None


def _write_files(wanted: Output, options: BuildOptions, entries: Entries, *, several: bool) -> None:
    from sandbox.builder.delivering import write_archive, write_folder  # noqa: PLC0415
    from sandbox.builder.output import OutputKind  # noqa: PLC0415
    from sandbox.cli.archives import written  # noqa: PLC0415

    if wanted.kind is OutputKind.LOCAL:
        folder = Path(wanted.destination)
        write_folder(entries, folder / str(options.platform).replace("/", "_") if several else folder)
        return
    with written("" if wanted.destination == "-" else wanted.destination) as sink:
        write_archive(entries, sink)


def _write_members(wanted: Output, members: Iterable[Member]) -> None:
    from sandbox.cli.archives import written  # noqa: PLC0415
    from sandbox.image.saving import write_archive, write_directory  # noqa: PLC0415

    if wanted.folder:
        folder = Path(wanted.destination)
        if folder.is_dir() and any(folder.iterdir()):
            raise InvalidError(f"{wanted.destination!r} is not empty", hint="a layout gets a folder of its own")
        write_directory(members, folder)
        return
    with written("" if wanted.destination == "-" else wanted.destination) as sink:
        write_archive(members, sink)
