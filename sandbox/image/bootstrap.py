"""Base images without a registry: made of the distribution's own packages on this host.

`sandbox bootstrap`, and whoever misses an image that `sources` knows how to make. Two phases, because mmdebstrap needs
ids of its own and so must run outside the user namespace in which an ordinary user's engine lives:

    with Bootstrap(home, source, progress=print) as work:  # phase 1: may start mmdebstrap
        become_root()                                      # an ordinary user only
        image = work.finish(ImageStore(home))              # phase 2: unpacks what it writes

The finished image is the cache: nothing is done when it is there, except with `force`, or when the source is described
differently by now. For that its manifest is annotated with a digest of the description; an image without the
annotation came from elsewhere and is left alone. Of several processes that want the same image one makes it and the
others wait.
"""

from __future__ import annotations

import fcntl
import io
import os
from typing import TYPE_CHECKING

from sandbox.image import digest as digests
from sandbox.image.scratch import make_directory
from sandbox.image.sources import Maker
from sandbox.image.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sandbox.image.debian import RootBuild
    from sandbox.image.image import Image
    from sandbox.image.sources import Source

ANNOTATION = "hako.source"  # of a manifest: the digest of the source that the image was made of


class Bootstrap:
    """One image being made; see the module. `progress` gets lines for a person."""

    def __init__(
        self, home: Path, source: Source, *, force: bool = False, progress: Callable[[str], None] = lambda _: None
    ) -> None:
        self._home = home
        self._source = source
        self._force = force
        self._progress = progress
        self._lock = -1
        self._found: Image | None = None
        self._program: bytes | None = None
        self._build: RootBuild | None = None

    def __enter__(self) -> Self:
        self._lock = self._wait_for_turn()
        try:
            if not self._force:
                self._found = self._current()
            if self._found is None:
                self._start()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._build is not None:
                self._build.stop()
        finally:
            os.close(self._lock)

    @property
    def is_needed(self) -> bool:
        """Whether the image has to be made at all."""
        return self._found is None

    def finish(self, store: ImageStore) -> Image:
        """Phase 2: the image. Raises SandboxError when its root could not be made."""
        if self._found is not None:
            return self._found
        source = self._source
        if self._program is not None:
            from sandbox.image import busybox  # noqa: PLC0415

            tar = busybox.root_tar(self._program, busybox.applets(self._program, self._home))
            image = store.import_tar(
                io.BytesIO(tar),
                reference=source.reference,
                config=source.config,
                created=busybox.CREATED,
                comment="bootstrap busybox",
                annotations={ANNOTATION: self._source.digest},
            )
        elif self._build is not None:
            packages = f" with {' '.join(source.include)}" if source.include else ""
            image = store.import_tar(
                self._build,
                reference=source.reference,
                config=source.config,
                comment=f"bootstrap debian:{source.suite}{'-slim' if source.slim else ''}{packages}",
                annotations={ANNOTATION: self._source.digest},
                progress=self._progress,
            )
        else:
            raise RuntimeError("a Bootstrap is finished inside its `with` block")
        self._progress(f"made {', '.join(image.references)} ({image.id.short}, {image.size / 1e6:.1f} MB)")
        return image

    def _current(self) -> Image | None:
        """The image that is there, unless it was made of a source that is described differently now."""
        store = ImageStore(self._home)
        image = store.find(self._source.reference)
        if image is None or not is_stale(store, image, self._source):
            return image
        self._progress(f"{', '.join(image.references)} is described differently now than it was made; making it anew")
        return None

    def _start(self) -> None:
        if self._source.maker is Maker.BUSYBOX:
            from sandbox.image import busybox  # noqa: PLC0415

            self._program = busybox.find_program(self._home, self._progress)
        else:
            from sandbox.image.debian import RootBuild  # noqa: PLC0415

            self._build = RootBuild(self._source, self._home, self._progress)

    def _wait_for_turn(self) -> int:
        """The lock of this reference; it lasts as long as the process."""
        folder = self._home / "images" / "building"
        make_directory(folder)
        name = digests.of(self._source.reference.encode("utf-8")).short
        fd = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress(f"waiting for another process that is making {self._source.reference}")
                fcntl.flock(fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(fd)
            raise
        return fd


def is_stale(store: ImageStore, image: Image, source: Source) -> bool:
    """Whether the image was made here, of a source that has changed since."""
    made_of = store.annotations(image).get(ANNOTATION)
    return made_of is not None and made_of != source.digest


def bootstrap(
    store: ImageStore, source: Source, *, force: bool = False, progress: Callable[[str], None] = lambda _: None
) -> Image:
    """Both phases at once, for a process that is root (really, or in a user namespace and the source is busybox)."""
    with Bootstrap(store.home, source, force=force, progress=progress) as work:
        return work.finish(store)
