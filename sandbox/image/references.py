"""The names in the store: which manifest and image each reference stands for.

`images/references/docker.io/library/busybox/:latest` is a symbolic link whose text is `<manifest digest>+<image id>`;
it points nowhere. A link is made and replaced in one system call, can never be seen half-written, and a listing costs
one readlink each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.image import digest as digests
from sandbox.image.reference import Reference
from sandbox.image.scratch import Scratch, make_directory
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.image.digest import Digest


class Target(NamedTuple):
    """What a reference stands for."""

    manifest_digest: Digest
    image_id: Digest


class ReferenceStore:
    """References below `home/images/references`. Changes need the store lock: `set` shared, `delete` alone."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._root = home / "images" / "references"

    def _path(self, reference: Reference) -> Path:
        last = f"@{reference.digest}" if reference.digest else f":{reference.tag}"
        return self._root / f"{reference.domain}/{reference.path}/{last}"

    def get(self, reference: Reference) -> Target | None:
        """What the reference stands for; by digest, any name of that repository for that manifest will do."""
        try:
            return _read(str(self._path(reference).readlink()))
        except FileNotFoundError:
            pass
        if reference.digest:
            for _, target in self._scan(reference.domain, reference.path, deep=False):
                if target.manifest_digest == reference.digest:
                    return target
        return None

    def set(self, reference: Reference, target: Target) -> None:
        """Let the reference stand for `target`, whatever it stood for before."""
        path = self._path(reference)
        text = f"{target.manifest_digest}+{target.image_id}"
        make_directory(path.parent)
        try:
            path.symlink_to(text)
        except FileExistsError:
            with Scratch(self._home) as scratch:
                made = scratch.path / "reference"
                made.symlink_to(text)
                made.rename(path)

    def delete(self, reference: Reference) -> bool:
        """Forget the reference, and folders that it leaves empty."""
        path = self._path(reference)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        folder = path.parent
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:  # not empty
                break
            folder = folder.parent
        return True

    def list(self) -> Iterator[tuple[Reference, Target]]:
        """All references, in no order."""
        try:
            domains = [entry.name for entry in self._root.iterdir()]
        except FileNotFoundError:
            return
        for domain in domains:
            yield from self._scan(domain, "", deep=True)

    def _scan(self, domain: str, path: str, *, deep: bool) -> Iterator[tuple[Reference, Target]]:
        folder = self._root / domain / path
        try:
            entries = tuple(folder.iterdir())
        except FileNotFoundError:
            return
        for entry in entries:
            name = entry.name
            if name[0] in ":@":
                try:
                    target = _read(str(entry.readlink()))
                except FileNotFoundError:  # deleted meanwhile
                    continue
                tag, digest = (name[1:], "") if name[0] == ":" else ("", name[1:])
                yield Reference(domain, path, tag, digest), target
            elif deep:
                yield from self._scan(domain, f"{path}/{name}" if path else name, deep=True)


def _read(text: str) -> Target:
    manifest, plus, image = text.partition("+")
    if not plus:
        raise SandboxError(f"damaged reference in the image store: {text[:200]!r}")
    return Target(digests.parse(manifest), digests.parse(image))
