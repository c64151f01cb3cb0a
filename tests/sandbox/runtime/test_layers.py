"""Images of containers, and what containers have changed, through the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.runtime.layers import Change
from sandbox.runtime.spec import ContainerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.runtime.engine import Engine

SCRIPT = "echo hi > /new; ln /new /linked; rm -r /var; echo x >> /etc/group; chmod 4755 /new; exec sleep 100"


@pytest.fixture
def container(engine: Engine) -> Iterator[str]:
    """A running container that has changed a few things."""
    made = engine.create(ContainerSpec(image="busybox", command=("sh", "-c", SCRIPT), network="none"))
    engine.start(made)
    new = engine.home / "containers" / made / "upper/new"
    deadline = time.monotonic() + 10
    while not new.exists() or new.stat().st_mode & 0o4000 == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield made
    for image in engine.images.list():
        if any(name.startswith("layers-test") for name in image.references):
            engine.images.remove(image.id, force=True)


@pytest.mark.root
def test_changes(engine: Engine, container: str) -> None:
    """Only what the container did, nothing of what the engine puts into every root."""
    assert tuple(engine.changes(container)) == (
        Change("C", "/etc"),
        Change("C", "/etc/group"),
        Change("A", "/linked"),
        Change("A", "/new"),
        Change("D", "/var"),
    )


@pytest.mark.root
def test_a_commit_of_a_running_container(engine: Engine, container: str) -> None:
    """It goes on afterwards; links, modes and deletions are in the image, the container's own changes stay its own."""
    image = engine.commit(container, name=f"layers-test:{os.getpid()}", changes=["USER 5"], author="a", comment="c")
    assert engine.state(container).status == "running" and not engine.state(container).paused
    layer = engine.images.snapshots.path(image.layers[-1].chain_id)
    assert (layer / "new").samefile(layer / "linked") and (layer / "new").stat().st_mode & 0o7777 == 0o4755
    assert image.config.user == "5" and image.config.command[-1] == SCRIPT
    (engine.home / "containers" / container / "upper/new").write_text("changed")
    assert (layer / "new").read_text() == "hi\n"
    names = [entry.name for entry, _ in engine.export(container)]
    assert b"new" in names and b"var" not in names and b"bin/busybox" in names


HOLD = """
import pathlib, sys, time
from sandbox.runtime import control
connection = control.connect(pathlib.Path(sys.argv[1]))
control.send(connection, {"do": "hold"})
control.raise_error(control.receive(connection)[0])
print("frozen", flush=True)
time.sleep(100)
"""


@pytest.mark.root
def test_a_killed_commit_leaves_nothing_frozen(engine: Engine, container: str) -> None:
    """The supervisor thaws the container when the one who froze it is gone."""
    folder = engine.home / "containers" / container
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "frozen\n"
    holder.stdout.close()
    assert engine.state(container).paused
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    deadline = time.monotonic() + 10
    while engine.state(container).paused:
        assert time.monotonic() < deadline
        time.sleep(0.01)
