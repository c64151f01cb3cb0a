"""`ci-run runner`: takes Stages of a server's builds and runs them on this host.

A composition root: the runner's host is put together here of mirrors, the engine and the queue's names, which `runners`
itself does not know. Settings are environment variables (docs/runner.md).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ci.errors import CiError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import redis

    from runners.backend import Backend
    from runners.cachestore import CacheStore
    from runners.host import Identity, Login
    from runners.rpc import Rpc
    from sandbox.image.sources import Sources

HELP = "run stages of a server's builds on this host"
_TOKEN = "server/runner-token"  # noqa: S105  (where it is, below the home)
_TOKEN_LIMIT = 4096  # characters
_UNSAFE = frozenset(":,=\0\n")


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments; what concerns the server, the runner is told by its environment."""
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for the token that a server on this host makes when it starts first",
    )
    parser.epilog = (
        "Settings are environment variables (docs/runner.md): HAKO_SERVER_URL, HAKO_REDIS_URL, HAKO_RUNNER_TOKEN, "
        "HAKO_RUNNER_NAME, HAKO_RUNNER_LABELS, HAKO_RUNNER_JOBS. SIGTERM: end after the running stages; again: now."
    )


def run(arguments: Namespace) -> int:
    """Take Stages until SIGTERM or SIGINT."""
    import redis  # noqa: PLC0415

    from ci.queue.queues import Queues  # noqa: PLC0415
    from runners.agent import Agent  # noqa: PLC0415
    from sandbox.kernel import holding  # noqa: PLC0415
    from sandbox.runtime.overview import default_home  # noqa: PLC0415

    home = default_home()
    _wait_for(home / _TOKEN, arguments.wait)
    host = RunnerHost(home, os.environ)
    labels = _labels(os.environ.get("HAKO_RUNNER_LABELS", ""), os.environ.get("HAKO_RUNNER_BACKEND") or "hako")
    jobs = _jobs(os.environ.get("HAKO_RUNNER_JOBS", ""))
    url = os.environ.get("HAKO_REDIS_URL") or f"unix://{home / 'server/valkey/valkey.sock'}"
    holding.enter(home, hold=True)

    def connect() -> redis.Redis:
        try:
            return redis.Redis.from_url(url, socket_connect_timeout=5, health_check_interval=30)
        except ValueError as error:
            raise CiError(f"HAKO_REDIS_URL: {error}", hint="write redis://HOST:PORT/0", reference="usage") from None

    agent = Agent(
        host,
        connect=connect,
        fitting=lambda connection: Queues(connection).fitting(labels),
        about=_about(labels, jobs),
        jobs=jobs,
    )
    agent.serve()
    return 0


class RunnerHost:
    """A `runners.host.Host` on the engine, or on a Docker daemon."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        from ci.mirror.mirrors import Mirrors  # noqa: PLC0415

        self._home = home
        self._environment = environment
        self._docker = _docker(environment)
        self.identity = _identity(home, environment)
        self.identity.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = environment.get("HAKO_FILE_REPOSITORIES", "") not in ("", "0", "false", "no")
        self._mirrors = Mirrors(self.identity.root / "mirrors", files=files)

    def load(self) -> None:
        """What containers need."""
        if self._docker:
            from runners import dockerbackend  # noqa: F401, PLC0415

            return
        from runners import enginehost  # noqa: PLC0415

        enginehost.load()

    def rpc(self, pause: Callable[[float], None] | None = None) -> Rpc:
        """A new client of the server."""
        from runners.rpc import Rpc  # noqa: PLC0415

        return Rpc(self.identity.server_url, self.identity.token, pause=pause or time.sleep)

    def mirror(self, key: str, url: str, header: str, commit: str, ref: str) -> Path:
        """Of a repository, with the commit in it."""
        from ci.mirror.transport import Remote  # noqa: PLC0415

        return self._mirrors.fetch(key, Remote(url=url, header=header), commit, ref).path

    def backend(
        self, logins: Sequence[Login], progress: Callable[[str], None]
    ) -> AbstractContextManager[tuple[Backend, Path]]:
        """One on the engine, or at the daemon."""
        if self._docker:
            from runners import dockerbackend  # noqa: PLC0415

            return dockerbackend.opened(self._docker, self._home, logins, progress)
        from runners import enginehost  # noqa: PLC0415

        return enginehost.opened(self._home, self._sources, logins, progress)

    def caches(self) -> CacheStore:
        """Those of this host."""
        from ci.cli.cache import open_store  # noqa: PLC0415

        return open_store(self._home, self._environment)

    def reclaim(self) -> None:
        """What dead Stages have left in the engine, or at the daemon."""
        if self._docker:
            with self.backend((), lambda _: None) as (backend, _):
                backend.reclaim()
            return
        from runners import enginehost  # noqa: PLC0415

        enginehost.reclaim(self._home, self._sources)

    def _sources(self) -> Sources:
        from ci.cli import images  # noqa: PLC0415

        return images.sources(self._home, self._home, self._environment)


def _identity(home: Path, environment: Mapping[str, str]) -> Identity:
    from runners.host import Identity  # noqa: PLC0415

    token = environment.get("HAKO_RUNNER_TOKEN", "") or _token_of_this_host(home / _TOKEN)
    return Identity(
        name=environment.get("HAKO_RUNNER_NAME") or os.uname().nodename,
        root=home / "runner",
        server_url=environment.get("HAKO_SERVER_URL") or _reached(environment.get("HAKO_LISTEN") or "127.0.0.1:8080"),
        token=token,
    )


def _docker(environment: Mapping[str, str]) -> str:
    """Where the daemon is that makes the containers; empty for our own engine. Raises CiError."""
    kind = environment.get("HAKO_RUNNER_BACKEND") or "hako"
    if kind not in ("hako", "docker"):
        raise CiError(f"HAKO_RUNNER_BACKEND is {kind!r}", hint="write hako or docker", reference="usage")
    return environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock" if kind == "docker" else ""


def _reached(address: str) -> str:
    return f"http://{address}"


def _wait_for(path: Path, seconds: float) -> None:
    """Until there is such a file, or that time is over."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.1)


def _token_of_this_host(path: Path) -> str:
    """What a server on the same host has left for us. Raises CiError."""
    try:
        return path.read_text("ascii")[:_TOKEN_LIMIT].strip()
    except FileNotFoundError:
        raise CiError(
            "no runner token",
            hint="set HAKO_RUNNER_TOKEN; `ci-run node add` on the server makes one",
            reference="usage",
        ) from None


def _labels(text: str, backend: str) -> dict[str, str]:
    """`k=v,…`, and what is true of this host. Raises CiError."""
    from ci.pipeline.event import platform  # noqa: PLC0415

    system = os.uname()
    found = {"hostname": system.nodename, "platform": platform(system.sysname, system.machine), "backend": backend}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key or not value or not _UNSAFE.isdisjoint(key + value):
            raise CiError(
                f"HAKO_RUNNER_LABELS: {pair!r} is no label", hint="write key=value,key=value", reference="usage"
            )
        found[key] = value
    return found


def _jobs(text: str) -> int:
    """How many Stages at once: as many as processors, where nothing is said. Raises CiError."""
    if not text:
        return len(os.sched_getaffinity(0))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise CiError(f"HAKO_RUNNER_JOBS is {text!r}", hint="write a number from 1 on", reference="usage")
    return int(text)


def _about(labels: Mapping[str, str], jobs: int) -> dict[str, Any]:
    """What the server is told of this runner."""
    from importlib.metadata import version  # noqa: PLC0415

    return {
        "labels": dict(labels),
        "jobs": jobs,
        "version": version("hako"),
        "platform": labels["platform"],
        "cpus": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
