"""The `config` object of an image."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.errors import InvalidError
from sandbox.image import config as configs
from sandbox.image.config import Healthcheck, ImageConfig

FULL: dict[str, Any] = {
    "Entrypoint": ["/entry"],
    "Cmd": ["a", "b"],
    "Env": ["PATH=/bin", "EMPTY=", "Z=1=2"],
    "User": "app:app",
    "WorkingDir": "/srv",
    "Labels": {"a": "b"},
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Volumes": {"/data": {}},
    "StopSignal": "SIGINT",
    "Shell": ["/bin/bash", "-c"],
    "OnBuild": ["RUN x"],
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5, "Retries": 3},
    "ArgsEscaped": True,
    "X-Unknown": {"kept": [1, 2]},
}


def test_both_ways() -> None:
    """All fields, known and unknown, survive."""
    record = configs.parse(FULL)
    assert record.entrypoint == ("/entry",)
    assert record.environment == {"PATH": "/bin", "EMPTY": "", "Z": "1=2"}
    assert record.exposed_ports == ("80/tcp", "53/udp")
    assert record.healthcheck == Healthcheck(test=("CMD", "true"), interval=5, retries=3)
    assert configs.dump(record) == FULL


def test_nothing_is_an_empty_config() -> None:
    """`null`, `{}` and explicit nulls mean the same; an empty record writes nothing."""
    empty = ImageConfig()
    assert (
        configs.parse(None) == configs.parse({}) == configs.parse({"Cmd": None, "Labels": None, "Env": None}) == empty
    )
    assert configs.dump(empty) == {}


def test_the_last_of_a_name_in_env_counts() -> None:
    """As docker starts containers; a name alone is empty."""
    assert configs.parse({"Env": ["A=1", "B=2", "A=3", "C"]}).environment == {"A": "3", "B": "2", "C": ""}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "config"),
        ({"Cmd": "sh"}, None),
        ({"Cmd": [1]}, "Cmd"),
        ({"Env": {"A": "b"}}, "Env"),
        ({"Env": ["=x"]}, "Env"),
        ({"Env": ["A=\0"]}, "Env"),
        ({"User": 0}, "User"),
        ({"Labels": {"a": 1}}, "Labels"),
        ({"ExposedPorts": ["80"]}, "ExposedPorts"),
        ({"Healthcheck": {"Interval": "5s"}}, "Interval"),
        ({"Healthcheck": []}, "Healthcheck"),
    ],
)
def test_wrong_types_are_refused_by_name(data: object, field: str | None) -> None:
    """A hostile config is an error that names the field (one string as command is what very old builders wrote)."""
    if field is None:
        assert configs.parse(data).command == ("sh",)
        return
    with pytest.raises(InvalidError, match=field):
        configs.parse(data)
