"""Instructions that change the configuration."""

from __future__ import annotations

import pytest

from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.expansion import Expander
from sandbox.dockerfile.parsing import parse
from sandbox.image import settings
from sandbox.image.config import Healthcheck, ImageConfig


def config(text: str) -> ImageConfig:
    """What the instructions make of an empty configuration."""
    start = ImageConfig()
    for instruction in parse(f"FROM x\n{text}".encode()).require().stages[0].instructions:
        start = settings.apply(start, instruction, Expander("\\"), {"name": "value", **start.environment})
    return start


def test_environment_and_labels() -> None:
    """Quotes go, variables are those of before the instruction, order stays."""
    found = config('ENV A=1 B="two words"\nENV A=2 C=$A\nLABEL $name="it\'s $A"')
    assert found.environment == {"A": "2", "B": "two words", "C": "1"}
    assert found.labels == {"value": "it's 2"}


def test_commands() -> None:
    """The shell form goes through the image's shell."""
    found = config('ENTRYPOINT ["a", "$b"]\nCMD echo $HOME')
    assert (found.command, found.entrypoint) == (("/bin/sh", "-c", "echo $HOME"), ("a", "$b"))
    assert config('SHELL ["bash", "-c"]\nCMD x y').command == ("bash", "-c", "x y")


def test_working_directory() -> None:
    """A relative one is below the one before; `..` stops at the root."""
    assert config("WORKDIR /a\nWORKDIR b/$name").working_dir == "/a/b/value"
    assert config("WORKDIR ../..//x/").working_dir == "/x"


def test_the_others() -> None:
    """User, volumes, signal, triggers, health."""
    text = 'USER $name:1\nVOLUME /a /b\nVOLUME ["/b", "/c"]\nSTOPSIGNAL SIGINT\nONBUILD RUN $x\n'
    found = config(text + "HEALTHCHECK --retries=2 CMD x")
    assert (found.user, found.volumes, found.stop_signal) == ("value:1", ("/a", "/b", "/c"), "SIGINT")
    assert found.on_build == ("RUN $x",)
    assert found.healthcheck == Healthcheck(test=("CMD-SHELL", "x"), retries=2)
    assert config("HEALTHCHECK NONE").healthcheck == Healthcheck(test=("NONE",))


def test_ports() -> None:
    """Ranges are spelled out, TCP is the default; a variable may hold several."""
    (instruction,) = parse(b"FROM x\nEXPOSE 80 8000-8002/udp $ports").stages[0].instructions
    found = settings.apply(ImageConfig(), instruction, Expander("\\"), {"ports": "1 2/sctp"})
    assert found.exposed_ports == ("80/tcp", "8000/udp", "8001/udp", "8002/udp", "1/tcp", "2/sctp")


@pytest.mark.parametrize("text", ["EXPOSE 99999", "EXPOSE x", "EXPOSE 2-1", "EXPOSE 1/ip"])
def test_wrong_ports(text: str) -> None:
    """Each is a mistake of its line."""
    instruction = parse(f"FROM x\n{text}".encode()).stages[0].instructions[0]
    with pytest.raises(Mistake):
        settings.apply(ImageConfig(), instruction, Expander("\\"), {})
