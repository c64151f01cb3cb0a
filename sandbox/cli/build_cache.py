"""`--cache-from` and `--cache-to` of `sandbox build`: folders, registries, and what images say of themselves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from sandbox.builder.options import CacheSource, CacheTarget
    from sandbox.cli.options import Arguments
    from sandbox.image.platform import Platform
    from sandbox.image.reference import Reference
    from sandbox.image.store import ImageStore
    from sandbox.registry.client.compression import Packed

_FROM = "write type=local,src=FOLDER, type=registry,ref=NAME, or the name alone"
_TO = "write type=local,dest=FOLDER, type=registry,ref=NAME, or type=inline"
_SO_ANYWAY = {"oci-mediatypes": ("true",), "image-manifest": ("true",)}  # what may be asked for, and is so


class Sources:
    """What `--cache-from` names, for each platform that is built for. Raises UsageError before anything is done."""

    def __init__(self, arguments: Arguments) -> None:
        from sandbox.image.reference import parse  # noqa: PLC0415

        self._places: list[Path | Reference] = []
        for text in arguments.texts("cache-from"):
            fields = _fields(text) if "=" in text else {"type": "registry", "ref": text}
            kind = fields.pop("type", "")
            place = fields.pop({"local": "src", "registry": "ref"}.get(kind, ""), "")
            if not place or fields:
                raise UsageError(f"--cache-from {text!r} is not understood", hint=_FROM)
            self._places.append(Path(place) if kind == "local" else parse(place))

    def opened(self, store: ImageStore, platform: Platform, stack: ExitStack) -> tuple[CacheSource, ...]:
        """As a build asks them; connections end with `stack`."""
        if not self._places:
            return ()
        from sandbox.builder.cachelayout import CacheLayout  # noqa: PLC0415  (seldom)
        from sandbox.builder.cacheregistry import CacheRegistry  # noqa: PLC0415
        from sandbox.registry.client.session import Session  # noqa: PLC0415

        found: list[CacheSource] = []
        for place in self._places:
            if isinstance(place, Path):
                found.append(CacheLayout(place, store.snapshots))
            else:
                found.append(CacheRegistry(store, stack.enter_context(Session(store.home)), place, platform))
        return tuple(found)


def targets(arguments: Arguments) -> tuple[CacheTarget, ...]:
    """`type=local,dest=FOLDER`, `type=registry,ref=NAME` with `mode=min|max`, and `type=inline`. Raises UsageError."""
    return tuple(map(_target, arguments.texts("cache-to")))


def _target(text: str) -> CacheTarget:
    from sandbox.builder.options import CacheKind, CacheTarget  # noqa: PLC0415  (other verbs do without)
    from sandbox.image.reference import parse  # noqa: PLC0415

    fields = _fields(text) if "=" in text else {"type": "registry", "ref": text}
    kind, mode = fields.pop("type", ""), fields.pop("mode", "min")
    if kind not in tuple(CacheKind):
        raise UsageError(f"--cache-to {text!r} is not understood", hint=_TO)
    forgiving = fields.pop("ignore-error", "false")
    place = fields.pop({"local": "dest", "registry": "ref"}.get(kind, ""), "")
    packed = _packed(fields)
    if (mode, forgiving) not in ((m, f) for m in ("min", "max") for f in ("true", "false")):
        raise UsageError(f"--cache-to {text!r}: mode is min or max, and ignore-error true or false")
    if fields or bool(place) == (kind == CacheKind.INLINE):
        raise UsageError(f"--cache-to {text!r} is not understood", hint=_TO)
    if kind == CacheKind.INLINE and mode == "max":
        raise UsageError(f"--cache-to {text!r}: an image has the steps of its own stage alone", hint="leave mode out")
    if kind == CacheKind.REGISTRY:
        parse(place)
    return CacheTarget(CacheKind(kind), place, mode == "max", forgiving == "true", packed)


def _packed(fields: dict[str, str]) -> Packed:
    """How layers go to a registry; these fields are taken out."""
    from sandbox.registry.client.compression import Packed, parse_form  # noqa: PLC0415

    for name, values in _SO_ANYWAY.items():
        if fields.get(name) in values:
            del fields[name]
    form = parse_form(fields.pop("compression", "gzip"), fields.pop("compression-level", ""))
    return Packed(form, always=fields.pop("force-compression", "false") == "true")


def _fields(text: str) -> dict[str, str]:
    found: Mapping[str, str] = dict(field.partition("=")[::2] for field in next(csv.reader([text])))
    return dict(found)
