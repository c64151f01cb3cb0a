"""Volumes on disk, and what happens to them with their containers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ConflictError, InvalidError, NotFoundError
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec, Mount, MountKind
from sandbox.runtime.volumes import Volumes, named

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.runtime.conftest import Run

ETC = Mount(kind=MountKind.VOLUME, target="/etc")


def test_a_volume_is_made_once(tmp_path: Path) -> None:
    """Creating one that is there keeps it, and its labels."""
    volumes = Volumes(tmp_path / "volumes")
    made = volumes.create("data", {"a": "1"})
    (made.path / "file").write_text("kept")
    assert volumes.create("data", {"a": "2"}) == made == volumes.get("data")
    assert dict(made.labels) == {"a": "1"}
    assert [volume.name for volume in volumes.list()] == ["data"]
    volumes.remove("data", lambda _: ())
    assert volumes.list() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "x" * 201])
def test_names_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    """What could be a path is refused, and found nowhere."""
    volumes = Volumes(tmp_path / "volumes")
    with pytest.raises(InvalidError):
        volumes.create(name)
    with pytest.raises(NotFoundError):
        volumes.get(name)


def test_a_volume_in_use_stays(tmp_path: Path) -> None:
    """The error names who mounts it."""
    volumes = Volumes(tmp_path / "volumes")
    volumes.create("data")
    with pytest.raises(ConflictError, match="in use by web"):
        volumes.remove("data", lambda _: ("web",))


def test_which_volumes_get_a_name() -> None:
    """Those without one, and the image's own where nothing else is mounted."""
    given = (ETC, Mount(kind=MountKind.BIND, source="/x", target="/data/"))
    mounts = named(given, ("/data", "/log", "relative", "/log"), iter("ab").__next__)
    assert [(mount.source, mount.target, mount.anonymous) for mount in mounts] == [
        ("a", "/etc", True),
        ("/x", "/data/", False),
        ("b", "/log", True),
    ]


@pytest.mark.root
def test_a_new_volume_has_what_the_image_has(engine: Engine, run: Run) -> None:
    """Files, modes, links and owners of the place it lies over; a volume that has something is left as it is."""
    name = f"fill-{os.urandom(6).hex()}"
    mount = Mount(kind=MountKind.VOLUME, source=name, target="/bin")
    try:
        script = "ls /bin | wc -l; stat -c '%a %u:%g' /bin/busybox /bin; test /bin/ls -ef /bin/cat && echo linked"
        filled, plain = run(script, mounts=(mount,)), run(script)
        assert filled.output == plain.output
        emptied = run("rm /bin/nc; ls /bin/nc", mounts=(mount,))
        assert emptied.output == ""
        assert run("ls /bin/nc", mounts=(mount,)).output == ""
        other = mount._replace(source=f"{name}-empty", copy=False, target="/etc")
        assert "passwd" not in run("ls /etc", mounts=(other,)).output
        assert "passwd" in run("ls /etc", mounts=(other._replace(copy=True, source=f"{name}-etc"),)).output
    finally:
        for volume in engine.volumes.list():
            if volume.name.startswith(name):
                engine.volumes.remove(volume.name, engine.uses_of_volume)


@pytest.mark.root
def test_a_volume_without_a_name_goes_with_its_container(own_home: Path) -> None:
    """By --rm, and by rm -v; not by rm alone, nor while another container mounts it."""
    engine = Engine(own_home)

    def mine() -> set[str]:
        return {volume.name for volume in engine.volumes.list()}

    spec = ContainerSpec(image="busybox", command=("true",), network="none", mounts=(ETC,))
    removing = engine.create(spec._replace(auto_remove=True))
    (volume,) = mine()
    other = engine.create(spec._replace(mounts=(ETC._replace(source=volume, target="/x"),)))
    engine.start(removing).wait()
    assert mine() == {volume}
    engine.remove(other)
    engine.volumes.remove(volume, engine.uses_of_volume)
    engine.start(engine.create(spec._replace(auto_remove=True))).wait()
    kept = engine.create(spec)
    (volume,) = mine()
    engine.remove(kept)
    assert mine() == {volume}
    engine.volumes.remove(volume, engine.uses_of_volume)
    engine.remove(engine.create(spec), volumes=True)
    assert mine() == set()
    engine.close()


@pytest.mark.root
def test_own_files_lie_over_a_mount_of_etc(run: Run) -> None:
    """/etc/hostname is the container's own also where a volume lies over /etc; a file mounted there itself counts."""
    assert run("cat /etc/hostname", hostname="me", mounts=(ETC,)).output == "me\n"
    mine = Mount(kind=MountKind.BIND, source="/proc/sys/kernel/ostype", target="/etc/hostname")
    assert run("cat /etc/hostname", hostname="me", mounts=(mine,)).output == "Linux\n"
