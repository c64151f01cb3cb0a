"""Having an image that is missing, for `run`, `create` and `build`: pulled, or made as by `bootstrap`.

mmdebstrap needs ids of its own, so it has to begin before an ordinary user becomes root of a
user namespace; and the engine's process must have one thread when that happens.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

from sandbox.cli.output import tell
from sandbox.errors import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.image import Image
    from sandbox.image.sources import Remote, Source


class When(StrEnum):
    """When an image is fetched: docker's `--pull`."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


def ensure(name: str, home: Path, *, when: When, bootstrap: bool = True) -> None:
    """Have the image in the store. Raises NotFoundError with what to do where it is not to be had.

    With `bootstrap` it may be made here, for which this process must not be root of a user namespace yet. It is, and
    has been told what goes on, when anything was fetched.
    """
    from sandbox.image.store import ImageStore  # noqa: PLC0415

    here = ImageStore(home).find(name, named=False) is not None
    if when is When.NEVER and not here:
        raise NotFoundError(
            f"no image {name!r}",
            hint="without --pull never it is fetched; `sandbox images` lists what there is",
            reference="no-such-image",
        )
    if when is When.NEVER or (here and when is When.MISSING):
        return
    from sandbox.image.sources import Remote, Sources, search_paths  # noqa: PLC0415  (only for a missing image)

    origin = Sources.load(search_paths(os.environ, home)).origin(name)
    if isinstance(origin, Remote):
        _pull(name, origin, home, bootstrap=bootstrap)
    elif bootstrap:
        tell(f"sandbox: image {name!r} is not here; making it (sandbox bootstrap {name})")
        make_image(origin, home, starts=True)
    elif not here:
        raise NotFoundError(
            f"no image {name!r}", hint=f"`sandbox bootstrap {name}` makes it", reference="no-such-image"
        )


def _pull(name: str, origin: Remote, home: Path, *, bootstrap: bool) -> None:
    """Pull it; where no registry answers, make it."""
    from sandbox.cli.transfers import Display  # noqa: PLC0415
    from sandbox.image.store import ImageStore  # noqa: PLC0415
    from sandbox.kernel import holding  # noqa: PLC0415
    from sandbox.registry.client.fetching import fetch  # noqa: PLC0415
    from sandbox.registry.client.pulling import answers  # noqa: PLC0415

    if origin.instead is not None and bootstrap and not answers(home, origin.reference):
        tell(f"sandbox: no registry answers for {name!r}; making it (sandbox bootstrap {name})")
        make_image(origin.instead, home, starts=True)
        return
    holding.enter(home, hold=True)
    with Display(2) as display:
        fetch(ImageStore(home), name, origin._replace(instead=None), display)


def source_of(name: str, home: Path) -> Source | None:
    """How an image of that name is made here."""
    from sandbox.image.sources import Sources, search_paths  # noqa: PLC0415  (only for a missing image)

    return Sources.load(search_paths(os.environ, home)).find(name)


def make_image(source: Source, home: Path, *, force: bool = False, starts: bool = False) -> Image:
    """Make it, with lines about it on standard error; this process is root in its namespace afterwards, as after
    `session.open_engine`.
    """
    from sandbox.image.bootstrap import Bootstrap  # noqa: PLC0415
    from sandbox.image.reference import parse  # noqa: PLC0415
    from sandbox.image.store import ImageStore  # noqa: PLC0415
    from sandbox.kernel import holding  # noqa: PLC0415

    with Bootstrap(home, source, force=force, progress=_progress) as work:
        if not work.is_needed:
            _progress(f"{parse(source.reference).familiar} is here already; --force makes it anew")
        holding.enter(home, hold=starts)
        store = ImageStore(home)
        store.reclaim_if_any()
        return work.finish(store)


def _progress(line: str) -> None:
    tell(line)
