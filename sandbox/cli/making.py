"""Making an image that is missing, for `bootstrap` and for `run` and `create`.

Docker would pull here. mmdebstrap needs ids of its own, so it has to begin before an ordinary user becomes root of a
user namespace; and the engine's process must have one thread when that happens.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.cli.output import tell
from sandbox.errors import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.image.image import Image
    from sandbox.image.sources import Source


def ensure(name: str, home: Path, *, make: bool) -> None:
    """Make the image unless it is there. Raises NotFoundError with what to do for one that nothing here makes."""
    from sandbox.image.store import ImageStore  # noqa: PLC0415

    if ImageStore(home).find(name) is not None:
        return
    source = source_of(name, home) if make else None
    if source is None:
        raise NotFoundError(
            f"no image {name!r}",
            hint=f"`sandbox bootstrap {name}` makes it, `sandbox images` lists what there is"
            if source_of(name, home) is not None
            else "`sandbox images` lists what there is; here only busybox, debian:<suite> and what images.toml names "
            "can be made",
            reference="no-such-image",
        )
    tell(f"sandbox: image {name!r} is not here; making it (sandbox bootstrap {name})")
    make_image(source, home)


def source_of(name: str, home: Path) -> Source | None:
    """How an image of that name is made here."""
    from sandbox.image.sources import Sources, search_paths  # noqa: PLC0415  (only for a missing image)

    return Sources.load(search_paths(os.environ, home)).find(name)


def make_image(source: Source, home: Path, *, force: bool = False) -> Image:
    """Make it, with lines about it on standard error; this process is root in its namespace afterwards."""
    from sandbox.image.bootstrap import Bootstrap  # noqa: PLC0415
    from sandbox.image.reference import parse  # noqa: PLC0415
    from sandbox.image.store import ImageStore  # noqa: PLC0415
    from sandbox.kernel.idmap import become_root  # noqa: PLC0415

    with Bootstrap(home, source, force=force, progress=_progress) as work:
        if not work.is_needed:
            _progress(f"{parse(source.reference).familiar} is here already; --force makes it anew")
        become_root()
        store = ImageStore(home)
        store.reclaim_if_any()
        return work.finish(store)


def _progress(line: str) -> None:
    tell(line)
