"""How an image was made: a predicate of SLSA provenance 0.2, in BuildKit's modes `min` and `max`. Pure.

`min` names the Dockerfile, the platform, images and sources with their digests; `max` also build arguments, labels and
the Dockerfile itself. Secrets and ssh agents are named by neither. Source: https://slsa.dev/provenance/v0.2; docker's
manual "Provenance attestations".
"""

from __future__ import annotations

import posixpath
from base64 import b64encode
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.builder.options import BuildOptions, Material

PREDICATE = "https://slsa.dev/provenance/v0.2"
_BUILD_TYPE = "urn:hako:dockerfile-build:1"
_METADATA = "urn:hako:dockerfile-build:1#metadata"


class Mode(StrEnum):
    """How much is said."""

    MIN = "min"
    MAX = "max"


def predicate(
    options: BuildOptions, materials: Iterable[Material], mode: Mode, *, invocation: str, finished: str
) -> dict[str, Any]:
    """The predicate of one image."""
    arguments = {f"build-arg:{name}": value for name, value in sorted(options.build_args.items())}
    labels = {f"label:{name}": value for name, value in sorted(options.labels.items())}
    everything = mode is Mode.MAX
    parameters: dict[str, Any] = {
        "frontend": "dockerfile.v0",
        "args": {
            **({"target": options.target} if options.target else {}),
            **(arguments | labels if everything else {}),
        },
    }
    return {
        "builder": {"id": ""},
        "buildType": _BUILD_TYPE,
        "materials": [
            {"uri": one.uri, "digest": {one.algorithm: one.digest}} for one in sorted({*options.materials, *materials})
        ],
        "invocation": {
            "configSource": _source(options),
            "parameters": parameters,
            "environment": {"platform": str(options.build_platform)},
        },
        "metadata": {
            "buildInvocationID": invocation,
            "buildStartedOn": options.moment,
            "buildFinishedOn": finished,
            "completeness": {"parameters": everything, "environment": True, "materials": False},
            "reproducible": False,
            **({_METADATA: {"source": _dockerfile(options)}} if everything else {}),
        },
    }


def _source(options: BuildOptions) -> dict[str, Any]:
    entry = {"entryPoint": posixpath.basename(options.dockerfile.source.name)}  # not where it is on this host
    if not options.materials:
        return entry
    first = options.materials[0]
    return {"uri": first.uri, "digest": {first.algorithm: first.digest}, **entry}


def _dockerfile(options: BuildOptions) -> dict[str, str]:
    source = options.dockerfile.source
    text = "\n".join(source.lines)
    return {
        "filename": posixpath.basename(source.name),
        "data": b64encode(text.encode("utf-8", "surrogateescape")).decode(),
    }
