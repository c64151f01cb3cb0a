"""A specification and an image's defaults become one configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.errors import InvalidError
from sandbox.image import digest
from sandbox.image.config import ImageConfig
from sandbox.image.image import Image, LayerRecord
from sandbox.runtime.config import DEFAULT_PATH, ContainerConfig, resolve
from sandbox.runtime.spec import ContainerSpec, DiskRate, LogDriver, Mount, MountKind, Resources, Security

IMAGE_ID = digest.parse("sha256:" + "1" * 64)


def _image(**fields: Any) -> Image:
    layers = tuple(LayerRecord(digest.parse("sha256:" + c * 64), digest.parse("sha256:" + c * 64), 1, 1) for c in "ab")
    return Image(
        id=IMAGE_ID,
        manifest_digest=IMAGE_ID,
        references=("busybox:latest",),
        config=ImageConfig(**fields),
        layers=layers,
        created="",
        architecture="amd64",
        os="linux",
    )


def _resolve(image: Image, **fields: Any) -> ContainerConfig:
    return resolve(ContainerSpec(image="busybox", **fields), image, identifier="f" * 64, name="name", created=1.5)


@pytest.mark.parametrize(
    ("fields", "argv"),
    [
        ({}, ("entry", "-e", "cmd")),
        ({"command": ("other",)}, ("entry", "-e", "other")),
        ({"entrypoint": ("mine",)}, ("mine",)),
        ({"entrypoint": ("mine",), "command": ("arg",)}, ("mine", "arg")),
        ({"entrypoint": (), "command": ("only",)}, ("only",)),
        ({"command": ()}, ("entry", "-e")),
    ],
)
def test_entrypoint_and_command(fields: dict[str, Any], argv: tuple[str, ...]) -> None:
    """The caller's entrypoint drops the image's command, as in docker."""
    assert _resolve(_image(entrypoint=("entry", "-e"), command=("cmd",)), **fields).argv == argv


def test_no_command_at_all() -> None:
    """An image without a command needs one from the caller."""
    with pytest.raises(InvalidError, match="no command given"):
        _resolve(_image())


def test_environment_in_order() -> None:
    """Defaults, then the image, then the caller; TERM only with a terminal."""
    image = _image(command=("sh",), environment={"PATH": "/image", "A": "image", "B": "image"})
    made = _resolve(image, environment={"A": "mine", "C": "=x"}, terminal=True)
    assert made.environment == ("PATH=/image", "HOSTNAME=ffffffffffff", "TERM=xterm", "A=mine", "B=image", "C==x")
    assert _resolve(_image(command=("sh",))).environment == (f"PATH={DEFAULT_PATH}", "HOSTNAME=ffffffffffff")


def test_defaults_of_the_image() -> None:
    """User, working directory and stop signal are the image's unless the caller says otherwise; layers: top first."""
    image = _image(command=("sh",), user="web", working_dir="/srv", stop_signal="SIGQUIT")
    made = _resolve(image)
    assert (made.user, made.working_dir, made.stop_signal) == ("web", "/srv", "SIGQUIT")
    assert [layer[7] for layer in made.layers] == ["b", "a"]
    mine = _resolve(image, user="0", working_dir="/w", stop_signal="SIGINT", hostname="h")
    assert (mine.user, mine.working_dir, mine.stop_signal, mine.hostname) == ("0", "/w", "SIGINT", "h")


@pytest.mark.parametrize(
    "fields",
    [
        {"working_dir": "relative"},
        {"mounts": (Mount(kind=MountKind.TMPFS, target="tmp"),)},
        {"command": ("a\0b",)},
        {"environment": {"A": "\0"}},
    ],
)
def test_what_cannot_be_run_is_refused(fields: dict[str, Any]) -> None:
    """Relative paths and NUL bytes are refused when the container is created, not when it starts."""
    with pytest.raises(InvalidError):
        _resolve(_image(command=("sh",)), **fields)


def test_round_trip_through_json() -> None:
    """What is written to config.json is what is read from it, field for field."""
    made = _resolve(
        _image(command=("sh",)),
        entrypoint=("e",),
        environment={"A": "b"},
        labels={"l": "v"},
        aliases=("x", "y"),
        extra_hosts=(("h", "10.0.0.1"),),
        mounts=(Mount(kind=MountKind.BIND, source="/a", target="/b", read_only=True),),
        resources=Resources(memory=1, cpus=0.5, pids=3, disk_rates=(DiskRate("read_bps", "/dev/sda", 9),)),
        security=Security(privileged=True, capabilities_add=("ALL",), seccomp="unconfined"),
        log_driver=LogDriver.NONE,
    )
    assert ContainerConfig.from_json(json.loads(json.dumps(made.to_json()))) == made
