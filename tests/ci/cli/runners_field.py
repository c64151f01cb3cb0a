"""A server that plays, a real Valkey, a repository, and `ci-run runner` as a process: what tests of runners share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis

from ci.pipeline.event import Event, EventKind
from ci.pipeline.spec import Clone, StageSpec, StepSpec
from ci.pipeline.wire import to_document
from ci.queue.embedded import EmbeddedValkey
from ci.queue.queues import Queues
from ci.store.releasing import Released
from runners.engine import RUN_LABEL
from sandbox.network.networks import Networks
from sandbox.runtime.engine import Engine
from tests.runners.repositories import Project
from tests.runners.server import TOKEN, Server, Told

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 60.0  # seconds that anything here may take


def wait(condition: Callable[[], object], what: str = "it") -> None:
    """Until it holds."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def step(name: str, *commands: str, **more: Any) -> StepSpec:
    """Of busybox; compiled steps say what they depend on."""
    return StepSpec(name=name, image="busybox", commands=commands, **more)


class Field:
    """`with Field() as field:` its `server`, `valkey`, `project`; runners are started with `runner`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="hk-"))
        self.homes: list[Path] = []
        self.project = Project(self.folder / "project")
        self.project.commit({"a.txt": "hello\n"})
        self.server = Server()
        self.valkey = EmbeddedValkey(self.folder / "valkey")
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.valkey.start()
        self.server.start()
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                self.end(process)
        self.server.stop()
        self.valkey.stop()
        for home in self.homes:
            self.kill_processes(home)
            engine = Engine(home)
            for config, _ in engine.containers(all=True):
                engine.remove(config.id, force=True)
            engine.reclaim()
            engine.close()
            if (home / "networks").exists():
                Networks(home / "networks").tear_down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def runner(self, name: str = "r", **settings: str) -> subprocess.Popen[bytes]:
        """Start one, with a home of that name, which stays."""
        home = self.folder / name
        if home not in self.homes:
            self.homes.append(home)
        known = {
            "HAKO_HOME": str(home),
            "HAKO_REDIS_URL": self.valkey.url,
            "HAKO_SERVER_URL": self.server.url,
            "HAKO_RUNNER_TOKEN": TOKEN,
            "HAKO_RUNNER_NAME": name,
            "HAKO_RUNNER_JOBS": "2",
            "HAKO_FILE_REPOSITORIES": "1",
        }
        greeted = len(self.server.hellos)
        command = [sys.executable, "-m", "ci.cli.main", "runner"]
        process = subprocess.Popen(command, env=os.environ | known | settings)
        self._processes.append(process)
        wait(lambda: len(self.server.hellos) > greeted or process.poll() is not None, "the runner's hello")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Twice SIGTERM: at once."""
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        return process.wait(LONG)

    def stage(
        self,
        identifier: int,
        *steps: StepSpec,
        services: tuple[StepSpec, ...] = (),
        clone: Clone = Clone(),  # noqa: B008  (a plain value)
        **more: Any,
    ) -> Told:
        """A Stage that waits at the server; not queued yet. `more` are fields of the Assignment."""
        url = self.project.work.as_uri()
        names = [
            *([("clone", "clone")] if clone.by_runner else []),
            *((name, "clone") for name in clone.steps),
            *((one.name, "service") for one in services),
            *((one.name, "step") for one in steps if one.name not in clone.steps),
        ]
        commit = (self.project.work / ".git/refs/heads/main").read_text().strip()
        spec = StageSpec(name=f"stage{identifier}", number=1, steps=steps, services=services, clone=clone)
        event = Event(kind=EventKind.PUSH, branch="main", commit=commit, ref="refs/heads/main", remote_url=url)
        self.server.add(
            {
                "stage": {
                    "id": identifier,
                    "number": 1,
                    "attempt": 0,
                    "name": spec.name,
                    "spec": to_document(spec),
                    "steps": [{"number": n, "name": name, "kind": kind} for n, (name, kind) in enumerate(names, 1)],
                },
                "build": {"id": 1, "number": 1},
                "repository": {"id": 5, "name": "o/p", "trusted": False},
                "event": to_document(event),
                "remote": {"url": url, "header": ""},
                "secrets": {},
                "timeout": 300,
                "log_limit": 1 << 30,
            }
            | more
        )
        return self.server.stages[identifier]

    def queue(self, identifier: int, labels: dict[str, str] | None = None) -> Told:
        """Let runners have it."""
        told = self.server.stages[identifier]
        with redis.Redis.from_url(self.valkey.url) as connection:
            Queues(connection).put(
                Released(
                    id=identifier,
                    build_id=1,
                    number=1,
                    name="s",
                    labels=labels or {},
                    attempt=told.attempts,
                    priority=0,
                )
            )
        return told

    def publish(self, identifier: int) -> None:
        """Somebody cancels it."""
        with redis.Redis.from_url(self.valkey.url) as connection:
            connection.publish("hako:cancel", str(identifier))

    def left(self, name: str = "r") -> list[str]:
        """Containers, networks, run folders and Stages' folders that a runner has now."""
        home = self.folder / name
        engine = Engine(home)
        found = [config.name for config, _ in engine.containers(all=True)]
        found += [network.name for network in engine.networks.list() if RUN_LABEL in network.labels]
        engine.close()
        found += [path.name for path in (home / "tmp").glob("run-*")]
        return found + [path.name for path in (home / "runner/stages").glob("*")]

    def kill_processes(self, home: Path) -> None:
        """SIGKILL to all processes of the runner of this home, but for supervisors of containers."""
        needle = f"HAKO_HOME={home}\0".encode()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                ours = needle in (path / "environ").read_bytes() and b"ci.cli.main" in (path / "cmdline").read_bytes()
                name = (path / "comm").read_text()
                if ours and not name.startswith("hako-sup"):
                    os.kill(int(path.name), signal.SIGKILL)
            except (OSError, ValueError):
                continue


def finished(told: Told) -> dict[str, Any]:
    """How the Stage ended; waits for it."""
    wait(lambda: told.result is not None, "the end of the stage")
    assert told.result is not None
    return told.result


def text(told: Told, number: int) -> str:
    """A step's log so far."""
    return told.logs.get(number, b"").decode("utf-8", "replace")


def processes(mark: str) -> list[int]:
    """Those whose command line has a text in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found
