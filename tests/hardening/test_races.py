"""Attacks that win or lose by the moment: while the engine is at work, somebody swaps what it works on.

Each runs for a bounded time, with what a container may have: a directory shared with it, its own files, its processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.runtime.spec import ContainerSpec, Mount, MountKind, Security, Stdio
from tests.hardening.conftest import Container
from tests.hardening.swapping import swapping
from tests.sandbox.image.archives import member
from tests.sandbox.runtime.images import applets

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine
    from tests.hardening.conftest import Canary, MakeImage, ProbeFields, Start
    from tests.sandbox.runtime.conftest import Run

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize("way", ["root", "absolute", "upward"])
def test_a_mount_target_that_is_swapped(run: Run, canary: Canary, tmp_path: Path, way: str) -> None:
    """In a directory that an attacker shares, the place for a mount is in turn a directory and a link out: the mount
    lands inside, or the start fails (CVE-2021-30465).
    """
    shared, other = tmp_path / "shared", tmp_path / "other"
    (shared / "place").mkdir(parents=True)
    other.mkdir()
    target = {"root": "/", "absolute": str(canary.path), "upward": canary.beneath}[way]
    (shared / "link").symlink_to(target)
    mounts = (
        Mount(kind=MountKind.BIND, source=str(shared), target="/shared"),
        Mount(kind=MountKind.TMPFS, target="/shared/place/made"),
        Mount(kind=MountKind.BIND, source=str(other), target="/shared/place/second"),
    )
    script = f"test -e {canary.path}/secret || test -e {canary.path}/etc && echo outside; true"
    started = 0
    with swapping(shared / "place", shared / "link"):
        deadline = time.monotonic() + 1.7
        while time.monotonic() < deadline:
            try:
                assert run(script, mounts=mounts).output == ""
                started += 1
            except SandboxError as error:
                assert "/shared/place" in error.message
    assert started > 0
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert list(other.iterdir()) == []


@pytest.mark.parametrize("way", ["root", "absolute", "upward", "magic"])
def test_a_first_working_directory_that_is_swapped(run: Run, canary: Canary, tmp_path: Path, way: str) -> None:
    """WORKDIR lies in a directory that an attacker shares, and is made where it is missing: inside, or nothing starts
    (CVE-2024-21626, CVE-2024-45310).
    """
    shared = tmp_path / "shared"
    (shared / "place").mkdir(parents=True)
    targets = {"root": "/", "absolute": str(canary.path), "upward": canary.beneath, "magic": "/proc/self/fd/5"}
    (shared / "link").symlink_to(targets[way])
    mounts = (Mount(kind=MountKind.BIND, source=str(shared), target="/shared"),)
    seen: set[str] = set()
    with swapping(shared / "place", shared / "link"):
        deadline = time.monotonic() + 1.7
        while time.monotonic() < deadline or not seen:
            with contextlib.suppress(SandboxError):
                seen.add(
                    run("pwd; cat secret ../secret 2>/dev/null", mounts=mounts, working_dir="/shared/place/made").output
                )
    assert not [text for text in seen if "canary\n" in text]
    assert all(text.startswith("/") for text in seen)


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_is_read_out_is_swapped_meanwhile(engine: Engine, canary: Canary, kind: str) -> None:
    """`export`, `diff` and `commit` of a container that puts links to the host in place of its files: all that comes
    out is the container's (CVE-2018-15664, CVE-2023-0778).
    """
    aim = canary.path if kind == "directory" else canary.path / "secret"
    make = "mkdir -p /a/x; touch /a/x/secret /a/secret" if kind == "directory" else "echo mine > /a"
    turns = f"ln -s {aim} /l; mv /a /b; mv /l /a; rm /a; mv /b /a"
    spec = ContainerSpec(image="busybox", command=("sh", "-c", f"{make}; while :; do {turns}; done"), network="none")
    identifier = engine.create(spec)
    engine.start(identifier)
    deadline = time.monotonic() + 2.5
    number = 0
    while time.monotonic() < deadline or number < 3:
        number += 1
        with contextlib.suppress(SandboxError, OSError):
            for _, data in engine.export(identifier):
                assert b"canary" not in b"".join(data())
        with contextlib.suppress(SandboxError, OSError):
            assert not [change for change in engine.changes(identifier) if change.path.endswith("etc/passwd")]
        name = f"swapped-{identifier[:12]}"
        with contextlib.suppress(SandboxError, OSError):
            engine.commit(identifier, name=name, pause=bool(number % 2))
            (lower, *_) = engine.images.snapshots.lowers(engine.images.get(name))
            found = [path for path in lower.rglob("*") if path.is_file() and not path.is_symlink()]
            assert not [path for path in found if b"canary" in path.read_bytes()]
            engine.images.remove(name)


def test_a_working_directory_that_is_swapped(start: Start, canary: Canary) -> None:
    """A process inside changes the directory of an exec into a link, while that starts."""
    links = ("/proc/1/cwd", "/proc/self/fd/3", "/proc/self/fd/5", canary.beneath)
    script = "".join(f"ln -s {link} /l{number};" for number, link in enumerate(links))
    turns = "".join(f"mkdir /w; rmdir /w; mv /l{number} /w; mv /w /l{number};" for number in range(len(links)))
    container = start(command=("sh", "-c", f"{script} while :; do {turns} done"))
    seen = set()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        with contextlib.suppress(SandboxError):
            _, text = container.execute("sh", "-c", f"pwd; cat {canary.beneath}/secret secret", working_dir="/w")
            assert "canary" not in text.splitlines()
            seen.add(text.splitlines()[0])
    assert seen
    # Empty: it was removed as soon as it was entered.
    assert [place for place in seen if place and not place.startswith("/")] == []


_WATCH = """
import json, os, sys, time
own = {str(os.getpid()), "1"}
seen, found = set(), set()
print("watching", flush=True)
begin = time.monotonic()
while (passed := time.monotonic() - begin) < 2.5 or (len(seen) < 12 and passed < 50):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in own:
            continue
        seen.add(pid)
        try:
            os.close(os.open(f"/proc/{pid}/exe", os.O_WRONLY))
            found.add("exe written")
        except OSError:
            pass
        try:
            os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
            with open(f"/proc/{pid}/comm") as file:
                if file.read().startswith(("hako", "python", "pytest")):
                    found.add("memory of the engine")
        except OSError:
            pass
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):
                link = os.readlink(f"/proc/{pid}/fd/{number}")
                if int(number) > 2 and not link.startswith(("/usr/", "/etc/")):  # its own libraries
                    found.add("descriptor of " + link)
        except OSError:
            pass
        try:
            if os.readlink(f"/proc/{pid}/root") != "/":
                found.add("root")
        except OSError:
            pass
print(json.dumps([len(seen), sorted(found)]), flush=True)
"""


@pytest.mark.parametrize("rights", ["default", "all", "privileged"])
def test_a_process_on_its_way_in(engine: Engine, probe_fields: ProbeFields, rights: str) -> None:
    """While an exec enters the container, what runs there already cannot look into it: it holds the host's program and
    descriptors (CVE-2016-9962, CVE-2019-5736, CVE-2022-1227).
    """
    security = {
        "default": Security(),
        "all": Security(capabilities_add=("ALL",), seccomp="unconfined"),
        "privileged": Security(privileged=True),
    }[rights]
    reader, writer = os.pipe()
    spec = ContainerSpec(**probe_fields(_WATCH), network="none", auto_remove=True, security=security)
    identifier = engine.create(spec)
    process = engine.start(identifier, Stdio(stdout=writer, stderr=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.readline() == "watching\n"
        container = Container(engine, identifier)
        executed = 0
        while process.wait(0) is None:
            with contextlib.suppress(SandboxError):
                container.execute("/usr/bin/true")
                executed += 1
        answer = file.read()
    seen, found = json.loads(answer)
    assert found == []
    assert executed > 5
    assert seen > 5


def test_the_console_of_a_further_process(start: Start, image: MakeImage) -> None:
    """Root inside puts other things in the place of /dev/ptmx while terminals are asked for: what comes is a terminal
    or an error, and the supervisor lives (CVE-2025-52565).
    """
    hostile = image(member("fifo", "fifo"), *applets("rm", "ln", "mkfifo", "tty"))
    script = """
while :; do for t in /fifo /dev/full /proc/sysrq-trigger /dev/null pts/ptmx /proc/self/fd/0 /dev/tty /nowhere; do
rm -f /dev/ptmx; ln -s $t /dev/ptmx; done; done
"""
    container = start(image=hostile, command=("sh", "-c", script))
    outcomes = set()
    deadline = time.monotonic() + 2

    def attempt() -> None:
        while time.monotonic() < deadline:
            try:
                container.execute("tty", terminal=True)
                outcomes.add("terminal")
            except SandboxError:
                outcomes.add("error")

    threads = [threading.Thread(target=attempt, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert "error" in outcomes
    assert container.execute("sh", "-c", "echo alive") == (0, "alive\n")
