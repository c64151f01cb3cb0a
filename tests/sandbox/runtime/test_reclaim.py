"""What `reclaim` gives back of the killed, and what it leaves to the living."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from sandbox.kernel.cgroups import Hierarchy
from sandbox.runtime import reclaim
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec, Security
from sandbox.runtime.state import Status
from tests.sandbox.image.archives import member
from tests.sandbox.runtime import images

pytestmark = pytest.mark.root


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _state(pid: int) -> str:
    """The letter of ps; empty for no process at all."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while _state(pid) not in ("", "Z") and time.monotonic() < deadline:
        time.sleep(0.005)
    return _state(pid) in ("", "Z")


def test_a_container_that_outlives_its_supervisor(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first process that no longer has the kernel's promise to die with its supervisor is killed, by its number where
    there is no control group.
    """
    engine = Engine(own_home)
    set_user_id = member("suid/sleep", mode=0o4755, data=images.busybox(engine))
    image = images.make(engine, set_user_id)
    security = Security(no_new_privileges=False)
    spec = ContainerSpec(image=image, command=("/suid/sleep", "60"), network="none", security=security, user="1")
    identifier = engine.create(spec)
    pid = engine.start(identifier).pid
    os.kill(_parent(pid), signal.SIGKILL)
    time.sleep(0.1)
    assert _state(pid) == "S", "the kernel ended it: this test shows nothing"
    assert engine.state(identifier).status is Status.EXITED
    with monkeypatch.context() as patch:
        patch.setattr(reclaim, "hierarchy", lambda: Hierarchy(version=0))
        assert f"container {engine.config(identifier).name}: its supervisor was killed; ended" in engine.reclaim()
    assert _ends(pid)
    engine.reclaim()
    engine.close()
    assert not [path for path in Path("/sys/fs/cgroup").glob("**/hako/*") if path.name == identifier]
