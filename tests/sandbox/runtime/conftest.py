"""An engine on the run's shared state directory, and a way to run a container to its end."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec, ExitStatus, Stdio
from tests.sandbox.runtime import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.image.image import Image


class Result(NamedTuple):
    """What a container printed on either stream, and how it ended."""

    output: str
    error: str
    status: ExitStatus
    warnings: tuple[str, ...]


class Run(Protocol):
    """Runs a shell command in a busybox container; keyword arguments are ContainerSpec's."""

    def __call__(self, script: str, *, stdin: bytes | None = None, **fields: object) -> Result:
        """Create, start, read, wait, remove."""


@pytest.fixture
def engine(engine_home: Path) -> Iterator[Engine]:
    """An engine; what a test leaves behind is ended and removed."""
    engine = Engine(engine_home)
    mine: set[str] = set()
    create = engine.create

    def remember(spec: ContainerSpec, image: Image | None = None) -> str:
        identifier = create(spec, image)
        mine.add(identifier)
        return identifier

    engine.create = remember  # type: ignore[method-assign]
    yield engine
    for config, _ in engine.containers(all=True):
        if config.id in mine:
            engine.remove(config.id, force=True)
    engine.close()


@pytest.fixture
def own_home(engine_home: Path, hako_home: Path) -> Path:
    """A state directory of this test alone, with the image `busybox`: for what others' clean-up must not touch."""
    images.copy_busybox(engine_home, hako_home)
    return hako_home


@pytest.fixture
def run(engine: Engine) -> Run:
    """Run a container to its end."""

    def run(script: str, *, stdin: bytes | None = None, **fields: object) -> Result:
        fields.setdefault("network", "none")
        fields.setdefault("command", ("sh", "-c", script))
        fields.setdefault("image", "busybox")
        spec = ContainerSpec(auto_remove=True, open_stdin=stdin is not None, **fields)  # type: ignore[arg-type]
        pipes = [os.pipe() for _ in range(3)]
        (stdin_read, stdin_write), (out_read, out_write), (err_read, err_write) = pipes
        stdio = Stdio(stdin=stdin_read if stdin is not None else None, stdout=out_write, stderr=err_write)
        texts: dict[int, bytes] = {}

        def drain(descriptor: int) -> None:
            with os.fdopen(descriptor, "rb") as file:
                texts[descriptor] = file.read()

        try:
            process = engine.start(engine.create(spec), stdio)
        except BaseException:
            for descriptor in (stdin_read, stdin_write, out_read, out_write, err_read, err_write):
                os.close(descriptor)
            raise
        for descriptor in (stdin_read, out_write, err_write):
            os.close(descriptor)
        readers = [threading.Thread(target=drain, args=(descriptor,)) for descriptor in (out_read, err_read)]
        for reader in readers:
            reader.start()
        if stdin:
            os.write(stdin_write, stdin)
        os.close(stdin_write)
        for reader in readers:
            reader.join()
        status = process.wait(timeout=60)
        assert status is not None, "the container did not end"
        return Result(texts[out_read].decode(), texts[err_read].decode(), status, process.warnings)

    return run
