"""Logs at a whole server (`ci-run server`): taking them from a runner, showing and searching one of a million lines."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.harness import OURS, Benchmark, BenchmarkError, Contender, Contest, Setup, Target
from ci.logs.store import LogKey
from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event
from ci.pipeline.loading import load
from ci.store import builds, repositories, stages
from ci.store.repositories import Repository
from ci.trigger import planning
from web import settings
from web.services import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.store.records import Stage
    from web.services import Services

_PIPELINE = (
    b"steps:\n- {name: one, image: busybox, commands: [echo]}\n- {name: two, image: busybox, commands: [echo]}\n"
)
_LINES = 100_000  # of one measure of taking them
_MANY = 1_000_000  # of the log that is shown
_BODY = 256 << 10  # bytes that a runner sends at once
_ADDRESS = "/octo/hello/1/1"


class _Server:
    """One that runs, with a build whose only Stage its runner has accepted."""

    def __init__(self, url: str, home: Path) -> None:
        host = urlsplit(url)
        self.connection = http.client.HTTPConnection(str(host.hostname), host.port or 80, timeout=60)
        self.headers = {"Authorization": f"Bearer {(home / 'server' / 'runner-token').read_text().strip()}"}
        self.services = connect(settings.read({"HAKO_SERVER_URL": url}, home))
        self.stage = _stage(self.services)
        self.ask("POST", "/rpc/v1/hello", json.dumps({"labels": {}, "jobs": 1}))
        self.ask("POST", f"/rpc/v1/stages/{self.stage.id}/accept", "{}")
        self.sent = 0

    def ask(self, method: str, path: str, body: bytes | str | None = None) -> bytes:
        """The answer's body."""
        headers = self.headers if path.startswith("/rpc/") else {}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise BenchmarkError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data

    def take(self) -> float:
        """Send `_LINES` lines as a runner does; milliseconds."""
        data = _lines(0, _LINES)
        started = time.perf_counter_ns()
        for begin in range(0, len(data), _BODY):
            path = f"/rpc/v1/stages/{self.stage.id}/steps/1/log?attempt=1&offset={self.sent}"
            self.sent = json.loads(self.ask("POST", path, data[begin : begin + _BODY]))["next"]
        return (time.perf_counter_ns() - started) / 1e6

    def view(self, step: int) -> float:
        """What a browser asks for until there are lines: the page and the first of them."""
        started = time.perf_counter_ns()
        self.ask("GET", f"{_ADDRESS}/{step}")
        self.ask("GET", f"{_ADDRESS}/{step}/-/lines?from=1&count=500")
        return (time.perf_counter_ns() - started) / 1e6

    def middle(self, step: int) -> float:
        """Lines in the midst of it."""
        started = time.perf_counter_ns()
        self.ask("GET", f"{_ADDRESS}/{step}/-/lines?from={_MANY // 2}&count=500")
        return (time.perf_counter_ns() - started) / 1e6

    def search(self, step: int, text: str) -> float:
        """Search all of it, in whatever case."""
        started = time.perf_counter_ns()
        self.ask("GET", f"{_ADDRESS}/{step}/-/search?q={text}&fold=1")
        return (time.perf_counter_ns() - started) / 1e6


def _stage(services: Services) -> Stage:
    event = Event(branch="main", commit="0" * 40, remote_url="https://git.example/x.git")
    loaded = load(_PIPELINE, ".ci.yml")
    with services.database.write() as connection:
        repository = repositories.add(
            connection,
            Repository(forge="github", forge_url="https://github.com", forge_id="1", name="octo/hello"),
        )
        planned = planning.stages(compile_all(loaded.require(), event, number=1))
        build = builds.create(connection, repository.id, event, planned, services.clock())
    services.dispatcher.advance(build.id)
    with services.database.read() as connection:
        (stage,) = stages.of_build(connection, build.id)
    return stage


def _lines(first: int, count: int) -> bytes:
    return b"".join(b"%08d compiling src/module/file.c with some options\n" % n for n in range(first, first + count))


@contextmanager
def _serving(setup: Setup) -> Iterator[_Server]:
    """Its home is near the top: a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="hako-bench-", dir="/tmp") as folder:
        environment = {**os.environ, "HAKO_HOME": folder, "HAKO_LISTEN": "127.0.0.1:0"}
        process = subprocess.Popen(
            [setup.commands / "ci-run", "server"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None  # noqa: S101
        try:
            said = process.stderr.readline()
            if "serving " not in said:
                raise BenchmarkError(f"ci-run server: {said.strip()}")
            found = _Server(said.partition("serving ")[2].partition(";")[0], Path(folder))
            yield found
            found.connection.close()
            found.services.close()
        finally:
            process.terminate()
            process.stderr.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)


@contextmanager
def _taking(setup: Setup) -> Iterator[Contest]:
    with _serving(setup) as server:
        yield Contest(contenders=(Contender(name=OURS, measure=server.take),))


@contextmanager
def _showing(setup: Setup) -> Iterator[Contest]:
    with _serving(setup) as server:
        offset, growing, finished = 0, LogKey(server.stage.id, 1, 1), LogKey(server.stage.id, 1, 2)
        for first in range(0, _MANY, 10_000):
            data = _lines(first, 10_000)
            server.services.logs.append(growing, offset, data, time=first)
            offset = server.services.logs.append(finished, offset, data, time=first)
        server.services.logs.end(finished)
        server.services.logs.finish(finished)
        yield Contest(
            contenders=(
                Contender(name="first view", measure=lambda: server.view(2)),
                Contender(name="first view, growing", measure=lambda: server.view(1)),
                Contender(name="lines in the middle", measure=lambda: server.middle(2)),
                Contender(name="search, not there", measure=lambda: server.search(2, "nowhere")),
                Contender(name="search, every line", measure=lambda: server.search(2, "COMPILING")),
                Contender(name="search, growing", measure=lambda: server.search(1, "nowhere")),
            )
        )


BENCHMARKS = (
    Benchmark(
        name="log-ingest",
        title=f"{_LINES:,} lines of a log into one server, {_BODY >> 10} KiB a call",
        prepare=_taking,
        targets=(Target(limit=1000),),
    ),
    Benchmark(
        name="log-view",
        title=f"a log of {_MANY:,} lines, over HTTP",
        prepare=_showing,
        targets=(
            Target(limit=200, contender="first view"),
            Target(limit=200, contender="first view, growing"),
            Target(limit=1000, contender="search, not there"),
            Target(limit=1000, contender="search, every line"),
        ),
    ),
)
