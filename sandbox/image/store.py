"""The image store: the one door to images for runtime, command line, runners and Remote API.

Layout below `$HAKO_HOME/images`: `blobs` (manifests and configurations by digest), `references` (names), `ids/<config
hex>` (one record for each image: its manifest and its layers), `snapshots` (unpacked layers), `leases` and `lock` (see
`locking`). An image exists from the moment its record does; with no reference left it is dangling, as docker's `<none>`
is, until it is removed.

Any number of processes work on one store at once, and any of them may be killed at any instruction. Order makes it
sound: snapshots, then blobs, then the record, then the reference; and the other way round when deleting, where what is
deleted is first renamed away.
"""

from __future__ import annotations

import json
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.errors import ConflictError, InvalidError, NotFoundError, SandboxError
from sandbox.image import config as configs
from sandbox.image import digest as digests
from sandbox.image import reference as references
from sandbox.image import scratch
from sandbox.image.content import ContentStore
from sandbox.image.image import Entry, Image, LayerRecord
from sandbox.image.locking import Lease, StoreLock, leased
from sandbox.image.references import ReferenceStore, Target
from sandbox.image.settling import Settling
from sandbox.image.snapshots import Snapshots
from sandbox.kernel import files
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from sandbox.image.config import ImageConfig
    from sandbox.image.digest import ChainID, Digest
    from sandbox.image.limits import Limits
    from sandbox.image.reference import Reference
    from sandbox.image.tarsource import Readable

_ATTEMPTS = 5  # of a look-up that a removal runs into


class Removed(NamedTuple):
    """What `remove` did. `freed` counts bytes of files and blobs that nothing else uses."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()  # image id and layers' chain ids
    freed: int = 0


def _nobody(_action: str, _image_id: str, _attributes: Mapping[str, str]) -> None:
    """For callers who keep no events."""


def not_in_use(_image_id: str) -> tuple[str, ...]:
    """For callers without containers."""
    return ()


class ImageStore:
    """The images of one `$HAKO_HOME`. Holds no state: every call reads what is there now.

    `notify` is told what happens to images: docker's word for it, the id, attributes.
    """

    def __init__(self, home: Path, notify: Callable[[str, str, Mapping[str, str]], None] = _nobody) -> None:
        self.home = home
        self.notify = notify
        self.images = home / "images"
        self.content = ContentStore(home)
        self.snapshots = Snapshots(home)
        self._references = ReferenceStore(home)
        self._settling = Settling(self.images)
        self._ids = self.images / "ids"

    # -- reading
    # ---------------------------------------------------------------------------------------------------------

    def get(self, name: str, *, named: bool = True) -> Image:
        """The image of a reference, `name@digest`, id or beginning of an id; unless `named` without its references,
        which are found by reading all there are.

        Raises NotFoundError; ConflictError when several ids begin so; InvalidError when it can be none of these.
        """
        image = self.find(name, named=named)
        if image is None:
            raise NotFoundError(
                f"no image {name!r}", hint="`sandbox images` lists what there is, `sandbox bootstrap` makes one"
            )
        return image

    def find(self, name: str, *, named: bool = True) -> Image | None:
        """Like `get`, but `None` when there is none."""
        for _ in range(_ATTEMPTS):
            image_id, manifest_digest = self._resolve(name)
            if image_id is None:
                return None
            image = self._load(image_id, manifest_digest, self._names_of(image_id) if named else ())
            if image is not None:
                return image
        return None

    def list(self) -> tuple[Image, ...]:
        """All images, youngest first."""
        names: dict[Digest, list[str]] = {}
        manifests: dict[Digest, Digest] = {}
        for reference, target in self._references.list():
            names.setdefault(target.image_id, []).append(reference.familiar)
            manifests[target.image_id] = target.manifest_digest
        found = []
        for image_id in self._image_ids():
            image = self._load(image_id, manifests.get(image_id), tuple(sorted(names.get(image_id, ()))))
            if image is not None:
                found.append(image)
        return tuple(sorted(found, key=lambda image: (image.created, image.id), reverse=True))

    def total_size(self) -> int:
        """Bytes of all images' layers; a layer that several share counts once."""
        sizes: dict[ChainID, int] = {}
        for image_id in self._image_ids():
            entry = self._entry(image_id)
            if entry is not None:
                sizes.update((layer.chain_id, layer.size) for layer in entry.layers)
        return sum(sizes.values())

    def annotations(self, image: Image) -> Mapping[str, str]:
        """The annotations of the image's manifest."""
        found = json.loads(self.content.read(image.manifest_digest)).get("annotations")
        return found if isinstance(found, dict) else {}

    # -- changing
    # --------------------------------------------------------------------------------------------------------

    def hold(self) -> StoreLock:
        """`with store.hold():` nothing is deleted meanwhile: look an image up and write down that it is in use.

        For milliseconds only, and never around `remove` or `reclaim`, which would wait for it forever.
        """
        return StoreLock(self.images, exclusive=False)

    def lease(self) -> Lease:
        """`with store.lease() as lease:` keeps what is unpacked in the block until an image refers to it."""
        return Lease(self.images)

    def add(
        self, manifest: bytes, configuration: bytes, layers: Iterable[LayerRecord], names: Iterable[Reference] = ()
    ) -> Image:
        """Make an image of a manifest, a configuration and snapshots that the caller holds a lease of."""
        layers = tuple(layers)
        with self.hold():
            for layer in layers:
                if not self.snapshots.exists(layer.chain_id):
                    raise SandboxError(f"layer {layer.chain_id.short} is not in the store")
            manifest_digest = self.content.put(manifest)
            image_id = self.content.put(configuration)
            new = self._load(image_id, manifest_digest, ()) is None
            if new:
                self._settling.note(image_id)
                record = {"manifest": manifest_digest, "layers": layers}
                scratch.write(self.home, self._ids / image_id.hex, json.dumps(record).encode("ascii"))
            for name in names:
                self._references.set(name, Target(manifest_digest, image_id))
            image = self._load(image_id, manifest_digest, self._names_of(image_id))
        if image is None:
            raise SandboxError(f"image {image_id.short} could not be read back")
        if new:
            self.settle()
        return image

    def settle(self) -> None:
        """Have what was made written to the disk, in the background: by whoever has remembered layers of a build."""
        self._settling.settle()

    def import_tar(
        self,
        stream: Readable,
        *,
        reference: str,
        config: ImageConfig | None = None,
        created: str | None = None,
        comment: str = "",
        annotations: Mapping[str, str] = MappingProxyType({}),
        limits: Limits | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Image:
        """Make an image of one layer from a root file system's tar (plain, gzip, xz, bzip2, or zstd where `zstandard`
        is installed).

        `created` is RFC 3339; left out it is now. `annotations` are the manifest's, which nothing inherits. An empty
        `reference` makes an image without a name. Raises InvalidError, LimitError, UnsupportedError.
        """
        from sandbox.image.importing import import_tar  # noqa: PLC0415

        return import_tar(
            self,
            stream,
            reference=reference,
            config=config,
            created=created,
            comment=comment,
            annotations=annotations,
            limits=limits,
            progress=progress,
        )

    def tag(self, name: str, reference: str) -> Image:
        """Give the image `name` (as `get` reads it) a further reference; one of that name elsewhere moves here."""
        parsed = references.parse(reference)
        if parsed.digest:
            raise InvalidError(f"cannot tag {reference!r}: a tag has no digest", reference="invalid-reference")
        with self.hold():
            image = self.get(name)
            self._references.set(parsed, Target(image.manifest_digest, image.id))
            self.notify("tag", image.id, {"name": parsed.familiar})
            return self.get(parsed.canonical)

    def remove(
        self, name: str, *, force: bool = False, in_use: Callable[[str], tuple[str, ...]] = not_in_use
    ) -> Removed:
        """Take a name from an image, and delete the image with its last one; by id, delete it with all its names.

        `in_use` gives the containers that need an image. Such an image is not deleted: without `force` that is a
        ConflictError, with it the names go and the image stays, dangling. An id with names in several repositories
        needs `force`. Raises NotFoundError.
        """
        with scratch.Scratch(self.home) as trash, StoreLock(self.images, exclusive=True):
            image = self.get(name)
            by_name = self._lookup(name) is not None
            bound = [(ref, target) for ref, target in self._references.list() if target.image_id == image.id]
            if by_name:
                wanted = references.parse(name)
                going = [ref for ref, target in bound if ref == wanted or self._is_digest_of(wanted, ref, target)]
            else:
                going = [ref for ref, _ in bound]
                repositories = {ref.name for ref in going}
                if len(repositories) > 1 and not force:
                    raise ConflictError(
                        f"image {image.id.short} has names in several repositories",
                        hint=f"remove them one by one, or all with force: {', '.join(sorted(map(str, going)))}",
                    )
            last = len(going) == len(bound)
            users = in_use(image.id) if last else ()
            if users and not force:
                raise ConflictError(
                    f"image {name} is in use by container {', '.join(user[:12] for user in users)}",
                    hint="remove the container first, or use force to take the name only",
                    reference="image-in-use",
                )
            for ref in going:
                self._references.delete(ref)
                self.notify("untag", image.id, {"name": ref.familiar})
            untagged = tuple(sorted(ref.familiar for ref in going))
            if not last or users:
                return Removed(untagged=untagged)
            (self._ids / image.id.hex).unlink(missing_ok=True)
            self.notify("delete", image.id, {"name": name})
            deleted, freed = self._sweep(trash.path)
            return Removed(untagged=untagged, deleted=(image.id, *deleted), freed=freed)

    def prune(
        self, wanted: Callable[[Image], bool], *, in_use: Callable[[str], tuple[str, ...]] = not_in_use
    ) -> Removed:
        """Delete the images that are `wanted` and that no container needs, with all their names."""
        with scratch.Scratch(self.home) as trash, StoreLock(self.images, exclusive=True):
            doomed = {image.id: image for image in self.list() if wanted(image) and not in_use(image.id)}
            for reference, target in tuple(self._references.list()):
                if target.image_id in doomed:
                    self._references.delete(reference)
                    self.notify("untag", target.image_id, {"name": reference.familiar})
            for image_id in doomed:
                (self._ids / image_id.hex).unlink(missing_ok=True)
                self.notify("delete", image_id, {"name": image_id})
            deleted, freed = self._sweep(trash.path)
        names = tuple(sorted(name for image in doomed.values() for name in image.references))
        return Removed(untagged=names, deleted=(*doomed, *deleted), freed=freed)

    def mend(self) -> tuple[str, ...]:
        """Look at the images that were made shortly before a power loss, and remove those whose files are not what they
        were; their names. What builds remember goes with them. Before an image is used, in no time where there are
        none; not within `hold`.
        """
        if not self._settling.doubtful():
            return ()
        from sandbox.image.buildcache import BuildCache  # noqa: PLC0415  (after a power loss alone)
        from sandbox.image.verifying import Verifier  # noqa: PLC0415  (after a power loss alone)

        with scratch.Scratch(self.home) as trash, StoreLock(self.images, exclusive=True):
            verifier = Verifier(self.content, self.snapshots)
            doubtful = self._settling.doubtful()
            for digest in doubtful:
                verifier.look_at(digest, self._entry(digest))
            doomed = {one for one in self._image_ids() if verifier.condemns(one, self._entry(one))}
            names = []
            for reference, target in tuple(self._references.list()):
                if target.image_id in doomed:
                    self._references.delete(reference)
                    names.append(reference.familiar)
            for image_id in doomed:
                (self._ids / image_id.hex).unlink(missing_ok=True)
            BuildCache(self.home).forget(verifier.damaged_layers())
            self._sweep(trash.path)
            for digest in doubtful:
                self._settling.forget(digest)
        return tuple(sorted(names))

    def reclaim_if_any(self) -> None:
        """`reclaim` where a dead process may have left something: for every verb that makes images, in no time."""
        self.mend()
        for folder in (self.home / "tmp", self.images / "leases"):
            with suppress(FileNotFoundError):
                if any(True for _ in folder.iterdir()):
                    self.reclaim()
                    return

    def reclaim(self) -> int:
        """Delete what dead processes left: half-made things, dead leases, layers and blobs of no image. Returns bytes,
        roughly.
        """
        scratch.reclaim(self.home)
        if not self.images.is_dir():
            return 0
        with scratch.Scratch(self.home) as trash, StoreLock(self.images, exclusive=True):
            return self._sweep(trash.path)[1]

    # -- inside
    # ----------------------------------------------------------------------------------------------------------

    def _lookup(self, name: str) -> Target | None:
        """What a name stands for, when it is one."""
        if _as_id(name) is not None:
            return None
        return self._references.get(references.parse(name))

    def _resolve(self, name: str) -> tuple[Digest | None, Digest | None]:
        """(image id, manifest digest where the name gives it)."""
        figures = _as_id(name)
        if figures is None:
            invalid: InvalidError | None = None
            try:
                target = self._references.get(references.parse(name))
            except InvalidError as error:
                invalid, target = error, None
            if target is not None:
                return target.image_id, target.manifest_digest
            figures = name.removeprefix(digests.PREFIX)
            if not digests.is_hex(figures):
                if invalid is not None:
                    raise invalid
                return None, None
        found = [image_id for image_id in self._image_ids() if image_id.hex.startswith(figures)]
        if len(found) > 1:
            ids = ", ".join(sorted(image_id.short for image_id in found))
            raise ConflictError(
                f"{len(found)} images have an id that begins with {name!r}: {ids}", reference="ambiguous-id"
            )
        return (found[0] if found else None), None

    def _names_of(self, image_id: Digest) -> tuple[str, ...]:
        return tuple(sorted(ref.familiar for ref, target in self._references.list() if target.image_id == image_id))

    @staticmethod
    def _is_digest_of(wanted: Reference, reference: Reference, target: Target) -> bool:
        """`name@digest` also takes back the tags of that repository that stand for that manifest."""
        return bool(wanted.digest) and reference.name == wanted.name and target.manifest_digest == wanted.digest

    def _image_ids(self) -> tuple[Digest, ...]:
        try:
            return tuple(digests.from_hex(entry.name) for entry in self._ids.iterdir())
        except FileNotFoundError:
            return ()

    def _entry(self, image_id: Digest) -> Entry | None:
        try:
            data = json.loads(files.read(self._ids / image_id.hex))
            layers = tuple(
                LayerRecord(digests.parse(diff_id), digests.parse(chain_id), size, tar_size)
                for diff_id, chain_id, size, tar_size in data["layers"]
            )
            return Entry(digests.parse(data["manifest"]), layers)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise SandboxError(f"damaged record of image {image_id.short} in the store: {error}") from error

    def _load(self, image_id: Digest, manifest_digest: Digest | None, names: tuple[str, ...]) -> Image | None:
        entry = self._entry(image_id)
        if entry is None:
            return None
        try:
            document = json.loads(self.content.read(image_id))
        except NotFoundError:
            return None
        return Image(
            id=image_id,
            manifest_digest=manifest_digest or entry.manifest_digest,
            references=names,
            config=configs.parse(document.get("config")),
            layers=entry.layers,
            created=document.get("created") or "",
            architecture=document.get("architecture") or "",
            os=document.get("os") or "",
        )

    def _sweep(self, trash: Path) -> tuple[tuple[str, ...], int]:
        """Rename snapshots of no image into `trash`, delete blobs of none. The store lock is held alone.

        Returns the chain ids and the bytes that they and the blobs took.
        """
        from sandbox.image.buildcache import BuildCache  # noqa: PLC0415  (not on the path of a run)

        snapshots, blobs = leased(self.images)
        snapshots.update(BuildCache(self.home).chain_ids())
        for image_id in self._image_ids():
            entry = self._entry(image_id)
            if entry is not None:
                snapshots.update(layer.chain_id for layer in entry.layers)
                blobs.update((image_id, entry.manifest_digest))
        blobs.update(target.manifest_digest for _, target in self._references.list())
        gone: list[str] = []
        freed = 0
        for chain_id in self.snapshots.list():
            if chain_id not in snapshots:
                freed += self._size_of(chain_id)
                (self.snapshots.root / chain_id.hex).rename(trash / chain_id.hex)
                gone.append(chain_id)
        for digest in self.content.list():
            if digest not in blobs:
                freed += self.content.delete(digest)
        return tuple(gone), freed

    def _size_of(self, chain_id: ChainID) -> int:
        try:
            return self.snapshots.record(chain_id).layer.size
        except SandboxError:  # damaged: it goes all the same
            return 0


def _as_id(name: str) -> str | None:
    """The figures of a complete id, with or without `sha256:`."""
    figures = name.removeprefix(digests.PREFIX)
    return figures if len(figures) == digests.HEX_LENGTH and digests.is_hex(figures) else None
