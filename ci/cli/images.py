"""The images of a local run: every missing one is fetched before anything runs, or named with the line that wants it.

For an ordinary user the first half of that work has to happen before the process becomes root of a user namespace
(`sandbox.image.bootstrap`), so this is also where it becomes that.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING

from ci.errors import CiError
from sandbox.errors import SandboxError
from sandbox.image.store import ImageStore
from sandbox.kernel import holding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ci.pipeline.spec import StepSpec
    from sandbox.image.sources import Remote, Source, Sources

IMAGES_FILE = "images.toml"


class Pull(StrEnum):
    """When an image is fetched: made, or pulled from its registry."""

    MISSING = "missing"  # where it is not here, or was made here and is described differently now
    ALWAYS = "always"  # also where it is here, if that can be done
    NEVER = "never"


def prepare(
    wanted: Mapping[str, StepSpec],
    *,
    home: Path,
    project: Path,
    filename: str,
    environment: Mapping[str, str],
    pull: Pull,
    progress: Callable[[str], None],
) -> None:
    """Fetch what is missing of `wanted` (images by name, with a step that wants each), and what was made here but is
    described differently now; the process is root afterwards.

    The project's own images.toml comes before those of the host. Raises CiError that names every image which could not
    be pulled, SandboxError where making fails.
    """
    missing = [name for name in wanted if ImageStore(home).find(name) is None]
    if pull is Pull.NEVER and missing:
        raise _unknown(missing, wanted, filename, "and --pull never makes none")
    if pull is Pull.NEVER or (
        pull is Pull.MISSING and not missing and not any(path.exists() for path in paths(home, project, environment))
    ):
        holding.enter(home, hold=True)
        return
    from sandbox.image.sources import Remote, Source  # noqa: PLC0415  (images are here mostly)

    found = sources(home, project, environment)
    missing += [
        name for name in wanted if name not in missing and (pull is Pull.ALWAYS or _is_stale(name, found, home))
    ]
    origins = {name: found.origin(name) for name in missing}
    made = [origin for origin in origins.values() if isinstance(origin, Source)]
    remote = {name: origin for name, origin in origins.items() if isinstance(origin, Remote)}
    if made:
        _make(made, home, progress)
    holding.enter(home, hold=True)
    if remote:
        _pull(remote, wanted, filename, home, progress)


def _pull(
    remote: Mapping[str, Remote],
    wanted: Mapping[str, StepSpec],
    filename: str,
    home: Path,
    progress: Callable[[str], None],
) -> None:
    """All of them, whatever becomes of one; what is here already may stay as it is."""
    from sandbox.registry.client.fetching import fetch  # noqa: PLC0415  (a tenth of a second)
    from sandbox.registry.client.progress import Lines  # noqa: PLC0415

    store = ImageStore(home)
    failed: dict[str, SandboxError] = {}
    for name, origin in remote.items():
        try:
            image = fetch(store, name, origin, Lines(progress))
        except SandboxError as error:
            if store.find(name, named=False) is None:
                failed[name] = error
            else:
                progress(f"{name} stays as it is here: {error.message}")
        else:
            progress(f"pulled {name} ({image.id.short}, {image.size / 1e6:.1f} MB)")
    if failed:
        places = "; ".join(f"{filename}:{wanted[name].line}: {error.message}" for name, error in failed.items())
        hint = f"describe it in {IMAGES_FILE}, or use busybox or debian:<suite>"
        raise CiError(places, hint=next(iter(failed.values())).hint or hint, reference="no-such-image")


def sources(home: Path, project: Path, environment: Mapping[str, str]) -> Sources:
    """The sources of images: the project's, the host's, the built-in ones."""
    from sandbox.image.sources import Sources  # noqa: PLC0415

    return Sources.load(paths(home, project, environment))


def paths(home: Path, project: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where sources are described: the project first, then the host."""
    from sandbox.image.sources import search_paths  # noqa: PLC0415

    return (project / IMAGES_FILE, *search_paths(environment, home))


def _unknown(names: list[str], wanted: Mapping[str, StepSpec], filename: str, why: str) -> CiError:
    places = "; ".join(f"{filename}:{wanted[name].line}: no image {name!r}" for name in names)
    hint = f"describe it in {IMAGES_FILE}, or use busybox or debian:<suite>"
    return CiError(f"{places}, {why}", hint=hint, reference="no-such-image")


def _is_stale(name: str, found: Sources, home: Path) -> bool:
    from sandbox.image.bootstrap import is_stale  # noqa: PLC0415

    store = ImageStore(home)
    image, source = store.find(name), found.find(name)
    return image is not None and source is not None and is_stale(store, image, source)


def _make(wanted: list[Source], home: Path, progress: Callable[[str], None]) -> None:
    from sandbox.image.bootstrap import Bootstrap  # noqa: PLC0415

    try:
        if os.geteuid() == 0:
            for source in wanted:
                with Bootstrap(home, source, progress=progress) as work:
                    work.finish(ImageStore(home))
            return
        with ExitStack() as stack:  # all begin before this process becomes root; their pipes hold them
            begun = [stack.enter_context(Bootstrap(home, source, progress=progress)) for source in wanted]
            holding.enter(home, hold=True)
            for work in begun:
                work.finish(ImageStore(home))
    except SandboxError as error:
        raise CiError(error.message, hint=error.hint, reference=error.reference) from error
