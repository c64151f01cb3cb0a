"""What a runner needs of its host and its server's parts, put together by whoever starts it (`ci-run runner`).

The runner knows neither mirrors nor engines; it is given a `Host` that has them, so that it can be tried with others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from runners.backend import Backend
    from runners.cachestore import CacheStore
    from runners.rpc import Rpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """At a registry."""

    host: str
    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a runner is, and where it keeps what it has (`root`)."""

    name: str
    root: Path
    server_url: str
    token: str


class Host(Protocol):
    """All calls come from a process without threads."""

    @property
    def identity(self) -> Identity:
        """Of the runner."""

    def load(self) -> None:
        """Get ready for Stages: what is loaded now need not be by each of their processes."""

    def rpc(self, pause: Callable[[float], None] | None = None) -> Rpc:
        """A new client of the server, for this process; `pause` as there."""

    def mirror(self, key: str, url: str, header: str, commit: str, ref: str) -> Path:
        """A bare repository with the commit in it, fetched where it is not. Raises CiError."""

    def backend(
        self, logins: Sequence[Login], progress: Callable[[str], None]
    ) -> AbstractContextManager[tuple[Backend, Path]]:
        """What makes a Stage's containers, and a folder on the workspaces' file system that goes with it. Raises
        CiError, SandboxError, BackendError.
        """

    def caches(self) -> CacheStore:
        """Where caches of steps are kept."""

    def reclaim(self) -> None:
        """Remove what processes of Stages that died have left behind: containers, networks, volumes, folders."""
