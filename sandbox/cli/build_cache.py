"""`--cache-from` and `--cache-to` of `sandbox build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError

if TYPE_CHECKING:
    from sandbox.builder.cachelayout import CacheLayout
    from sandbox.builder.options import CacheTarget
    from sandbox.cli.options import Arguments

_KINDS = "caches of a folder are understood: type=local with src=FOLDER or dest=FOLDER"


def sources(arguments: Arguments) -> tuple[CacheLayout, ...]:
    """`type=local,src=FOLDER`, any number. Raises UsageError."""
    texts = arguments.texts("cache-from")
    if not texts:
        return ()
    from sandbox.builder.cachelayout import CacheLayout  # noqa: PLC0415  (seldom)

    return tuple(CacheLayout(Path(_fields(text, "--cache-from", "src", ())["src"])) for text in texts)


def target(arguments: Arguments) -> CacheTarget | None:
    """`type=local,dest=FOLDER[,mode=min|max]`. Raises UsageError."""
    if not arguments.given("cache-to"):
        return None
    from sandbox.builder.options import CacheTarget  # noqa: PLC0415  (other verbs do without)

    text = arguments.text("cache-to")
    fields = _fields(text, "--cache-to", "dest", ("mode",))
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise UsageError(f"--cache-to {text!r}: there is no mode {mode!r}", hint="mode=min or mode=max")
    return CacheTarget(Path(fields["dest"]), everything=mode == "max")


def _fields(text: str, option: str, place: str, others: tuple[str, ...]) -> dict[str, str]:
    fields = dict(field.partition("=")[::2] for field in text.split(","))
    if fields.pop("type", "") != "local" or not fields.get(place) or set(fields) - {place, *others}:
        raise UsageError(f"{option} {text!r} is not understood", hint=_KINDS)
    return fields
