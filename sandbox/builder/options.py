"""What somebody asks of a build: the records that `sandbox build` fills in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sandbox.registry.client.compression import Packed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sandbox.builder.attest.provenance import Mode
    from sandbox.dockerfile.ignorefile import IgnorePatterns
    from sandbox.dockerfile.parsing import Dockerfile
    from sandbox.image.buildcache import CachedStep
    from sandbox.image.digest import ChainID
    from sandbox.image.image import Image
    from sandbox.image.locking import Lease
    from sandbox.image.platform import Platform
    from sandbox.runtime.spec import ContainerSpec


class CacheSource(Protocol):
    """What builds elsewhere remember: a folder or a registry. Stages ask side by side."""

    def find(self, key: str, below: ChainID | None, lease: Lease) -> CachedStep | None:
        """The step of a key, its layer unpacked on top of `below` and leased; None where there is none for it.

        SandboxError where there is no such cache, or a damaged one: once, or each time.
        """


class CacheKind(StrEnum):
    """Where a build writes what it remembers."""

    LOCAL = "local"  # a folder
    REGISTRY = "registry"
    INLINE = "inline"  # the image's own configuration


class CacheTarget(NamedTuple):
    """A folder or a name in a registry for what the build remembers.

    `everything` are the steps of other stages than the target's, too. A `forgiving` one that cannot be written is a
    warning.
    """

    kind: CacheKind
    place: str
    everything: bool = False
    forgiving: bool = False
    packed: Packed = Packed()


class Secret(NamedTuple):
    """A secret's content, known under an id."""

    id: str
    content: bytes


class Material(NamedTuple):
    """Something from elsewhere that goes into a build: `uri`, and a digest by its algorithm."""

    uri: str
    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The files that COPY may take, without those of the ignore patterns: directories on top of each other, topmost
    first; without one there are no files.
    """

    paths: tuple[Path, ...]
    ignore: IgnorePatterns


class Entitlement(StrEnum):
    """What a Dockerfile may do only if the caller of the build says so (`--allow`)."""

    INSECURE = "security.insecure"
    HOST_NETWORK = "network.host"


class RunLimits(NamedTuple):
    """What every RUN of a build has; none of it is part of a cache key. Values are those of a container's spec."""

    hosts: tuple[tuple[str, str], ...] = ()
    ulimits: tuple[str, ...] = ()
    shm_size: int = 64 << 20


class ContextImage(NamedTuple):
    """An image that a named context stands for."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """One build. `image` finds the image of a FROM for a platform, which is empty where any will do. It says so by
    NotFoundError where there is none.

    `contexts` are the named ones, which go before stages and images of their name. `on_failure` is given a container
    with a shell and what a failing RUN has left, before that goes.

    `platform` is what is built for, `build_platform` this machine's; with `names_platform` progress tells which.
    `materials` are sources from elsewhere that the caller has fetched, the context first.
    `moment` is the time of what is made, RFC 3339; `use_cache` false takes nothing from earlier builds.
    """

    dockerfile: Dockerfile
    context: Context
    image: Callable[[str, str], Image]
    platform: Platform
    build_platform: Platform
    moment: str
    contexts: Mapping[str, Context | ContextImage] = field(default_factory=dict)
    target: str = ""
    tags: tuple[str, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)  # the socket of each ssh agent, by id
    is_epoch: bool = False  # `moment` is SOURCE_DATE_EPOCH: it is the time of what earlier builds made, too
    rewrite_times: bool = False  # no file is younger than that
    squash: bool = False  # what the build makes is one layer
    use_cache: bool = True
    cache_from: tuple[CacheSource, ...] = ()
    cache_to: tuple[CacheTarget, ...] = ()
    not_cached: tuple[str, ...] = ()  # names and numbers of stages that take nothing from earlier builds
    names_platform: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)  # of the manifest
    index_annotations: Mapping[str, str] = field(default_factory=dict)
    materials: tuple[Material, ...] = ()
    provenance: Mode | None = None
    sbom: bool = False
    network: str = "default"
    allowed: frozenset[Entitlement] = frozenset()
    limits: RunLimits = field(default_factory=RunLimits)
    on_failure: Callable[[ContainerSpec, Image], None] | None = None

    @property
    def nanoseconds(self) -> int:
        """The moment, since the epoch."""
        import calendar  # noqa: PLC0415  (seldom)
        import time  # noqa: PLC0415

        whole, _, fraction = self.moment.rstrip("Z").partition(".")
        seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
        return seconds * 10**9 + int((fraction or "0").ljust(9, "0")[:9])
