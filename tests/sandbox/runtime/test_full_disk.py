"""A state directory whose disk is full: what a container writes may cost records, never another container."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from sandbox.image.config import Healthcheck
from sandbox.kernel import mounts
from sandbox.runtime.engine import Engine
from sandbox.runtime.reclaim import reclaim
from sandbox.runtime.spec import ContainerSpec, ExecSpec
from sandbox.runtime.state import Status
from tests.conftest import take_down
from tests.sandbox.runtime import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root
FILL = "head -c 64m /dev/zero > /full 2>/dev/null; sync; echo full; "


@pytest.fixture(params=[True, False], ids=["shared", "forked"])
def small(request: pytest.FixtureRequest, engine_home: Path, hako_home: Path) -> Iterator[Engine]:
    """An engine on a small file system; its containers' supervisors are in one process, or each alone."""
    mounts.mount("tmpfs", hako_home, "tmpfs", 0, "size=2g,mode=700")
    images.copy_busybox(engine_home, hako_home)
    status = os.statvfs(hako_home)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    mounts.mount(None, hako_home, None, mounts.Mount.REMOUNT, f"size={used + (4 << 20)}")
    engine = Engine(hako_home, launcher=request.param)
    try:
        yield engine
    finally:
        for config, _ in engine.containers(all=True):
            engine.remove(config.id, force=True)
        engine.close()
        take_down(hako_home)
        mounts.umount(hako_home, detach=True)


def _spec(*command: str, **fields: object) -> ContainerSpec:
    return ContainerSpec(image="busybox", command=command, network="none", **fields)  # type: ignore[arg-type]


def _is_full(place: Path) -> bool:
    try:
        (place / "probe").write_bytes(b"x" * 4096)
    except OSError:
        return True
    finally:
        with contextlib.suppress(OSError):
            (place / "probe").unlink()
    return False


@pytest.mark.parametrize("auto_remove", [True, False])
def test_the_end_of_a_container_that_has_filled_it(small: Engine, auto_remove: bool) -> None:
    """Its exit code is told, those beside it go on, and when there is room again all is as after any end."""
    witness = small.create(_spec("sleep", "600"))
    small.start(witness)
    other = small.create(_spec("sleep", "600"))
    other_process = small.start(other)
    culprit = small.create(_spec("sh", "-c", FILL + "sleep 600", auto_remove=auto_remove))
    process = small.start(culprit)
    while not _is_full(small.home):
        pass
    small.kill(other)
    status = other_process.wait(10)
    assert status is not None
    assert status.code == 137
    assert small.state(witness).status is Status.RUNNING
    small.kill(culprit)
    status = process.wait(10)
    assert status is not None
    assert status.code == 137
    ended = small.execute(witness, ExecSpec(command=("sh", "-c", "exit 4"))).wait(10)
    assert ended is not None
    assert ended.code == 4
    for identifier in (other, *(() if auto_remove else (culprit,))):
        small.remove(identifier)
    reclaim(small.home)
    assert [config.id for config, _ in small.containers(all=True)] == [witness]


def test_a_container_with_checks_of_its_health(small: Engine) -> None:
    """That the result of one cannot be written is no reason to end it."""
    check = Healthcheck(test=("CMD-SHELL", "echo checked >> /dev/shm/checks"), interval=50_000_000, retries=1)
    witness = small.create(_spec("sleep", "600", healthcheck=check))
    small.start(witness)
    culprit = small.create(_spec("sh", "-c", FILL + "sleep 600"))
    small.start(culprit)
    while not _is_full(small.home):
        pass
    script = "rm -f /dev/shm/checks; until [ $(cat /dev/shm/checks | wc -l) -gt 3 ]; do sleep 0.02; done"
    ended = small.execute(witness, ExecSpec(command=("sh", "-c", script))).wait(30)
    assert ended is not None
    assert ended.code == 0
    assert small.state(witness).status is Status.RUNNING
