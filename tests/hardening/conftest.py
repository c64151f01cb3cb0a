"""Hostile images, a witness on the host, and programs inside a container."""

from __future__ import annotations

import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

from sandbox.runtime.spec import ContainerSpec, ExecSpec, Mount, MountKind, Stdio
from tests.sandbox.image.archives import member
from tests.sandbox.runtime import images
from tests.sandbox.runtime.conftest import engine, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.image.config import ImageConfig
    from sandbox.runtime.engine import Engine
    from tests.sandbox.runtime.conftest import Result, Run

__all__ = ["engine", "run"]

# With the host's programs, for what busybox cannot do.
_PROBE_PLACES = [
    *(member(name, "dir") for name in ("usr", "etc", "tmp")),
    *(member(name, "symlink", target=f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")),
]


class Canary(NamedTuple):
    """A directory of the host that attacks aim at: by its absolute path, by `..`, by links."""

    path: Path

    @property
    def beneath(self) -> str:
        """The directory by `..`, from wherever one starts."""
        return "../" * 20 + str(self.path).lstrip("/")

    def state(self) -> list[tuple[object, ...]]:
        """All that an attack could change."""
        found: list[tuple[object, ...]] = []
        for path in [self.path, *sorted(self.path.rglob("*"))]:
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found.append((str(path), content, *status[:7], status.st_mtime_ns, status.st_ctime_ns))
        return found


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    """The witness; the test fails when anything of it has changed."""
    path = tmp_path / "canary"
    (path / "etc").mkdir(parents=True)
    (path / "secret").write_text("canary\n")
    (path / "etc/passwd").write_text("canary:x:0:0::/:/bin/sh\n")
    canary = Canary(path)
    before = canary.state()
    yield canary
    assert canary.state() == before


class MakeImage(Protocol):
    """Makes an image of busybox and what is given; its name."""

    def __call__(self, *members: images.Member, config: ImageConfig = ..., bare: bool = ...) -> str:
        """See `images.make`."""


@pytest.fixture
def image(engine: Engine) -> Iterator[MakeImage]:
    """Images of this test, gone with it."""
    made: list[str] = []

    def image(*members: images.Member, config: ImageConfig = images.NO_CONFIG, bare: bool = False) -> str:
        made.append(images.make(engine, *members, config=config, bare=bare))
        return made[-1]

    yield image
    for name in made:
        for user in engine.uses_of_image(engine.images.get(name).id):
            engine.remove(user, force=True)
        engine.images.remove(name)


class Container:
    """A running container, for a test to run things in."""

    def __init__(self, engine: Engine, identifier: str) -> None:
        self.engine = engine
        self.id = identifier

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self.engine.state(self.id).pid

    def execute(self, *command: str, **fields: object) -> tuple[int, str]:
        """The exit code and the output of a further process."""
        reader, writer = os.pipe()
        spec = ExecSpec(command=command, **fields)  # type: ignore[arg-type]
        try:
            process = self.engine.execute(self.id, spec, Stdio(stdout=writer, stderr=writer))
        finally:
            os.close(writer)
            text = _Reader(reader)
        status = process.wait(60)
        assert status is not None
        return status.code, text.result()


class _Reader(threading.Thread):
    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._data = b""
        self.start()

    def run(self) -> None:
        with os.fdopen(self._descriptor, "rb") as file:
            self._data = file.read()

    def result(self) -> str:
        """Everything up to the end."""
        self.join()
        return self._data.decode(errors="replace")


class Start(Protocol):
    """Starts a container that sleeps; keyword arguments are ContainerSpec's."""

    def __call__(self, **fields: object) -> Container:
        """Create and start."""


@pytest.fixture
def start(engine: Engine) -> Start:
    """A running container."""

    def start(**fields: object) -> Container:
        defaults = {"image": "busybox", "command": ("sleep", "600"), "network": "none", "auto_remove": True}
        identifier = engine.create(ContainerSpec(**(defaults | fields)))  # type: ignore[arg-type]
        engine.start(identifier)
        return Container(engine, identifier)

    return start


class Probe(Protocol):
    """Runs a Python program in a container that has the host's /usr, read-only."""

    def __call__(self, program: str, *, mounts: tuple[Mount, ...] = ..., **fields: Any) -> Result:
        """Keyword arguments are ContainerSpec's."""


class ProbeFields(Protocol):
    """The fields of a ContainerSpec that runs a Python program so."""

    def __call__(self, program: str, *, mounts: tuple[Mount, ...] = ...) -> dict[str, Any]:
        """Image, mounts and command."""


@pytest.fixture
def probe_fields(image: MakeImage) -> ProbeFields:
    """For a test that starts the container itself."""
    name = image(*_PROBE_PLACES, bare=True)
    places = sorted({"/usr", sys.base_prefix})
    host = tuple(Mount(kind=MountKind.BIND, source=place, target=place, read_only=True) for place in places)

    def probe_fields(program: str, *, mounts: tuple[Mount, ...] = ()) -> dict[str, Any]:
        command = (os.path.realpath(sys.executable), "-I", "-S", "-c", program)
        return {"image": name, "mounts": (*host, *mounts), "command": command}

    return probe_fields


@pytest.fixture
def probe(run: Run, probe_fields: ProbeFields) -> Probe:
    """Run a program to its end."""

    def probe(program: str, *, mounts: tuple[Mount, ...] = (), **fields: Any) -> Result:
        return run("", **probe_fields(program, mounts=mounts), **fields)

    return probe
