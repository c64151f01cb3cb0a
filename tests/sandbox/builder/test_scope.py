"""Which variables an instruction sees."""

from __future__ import annotations

from sandbox.builder.scope import StageScope, global_scope, platform_args
from sandbox.dockerfile.expansion import Expander
from sandbox.dockerfile.instructions import Arg
from sandbox.dockerfile.parsing import parse
from sandbox.image.platform import Platform

EXPANDER = Expander("\\")
PLATFORMS = platform_args(Platform("linux", "amd64"), Platform("linux", "arm64", "v8"))


def args(text: str) -> list[Arg]:
    """The ARGs of a text."""
    dockerfile = parse(f"FROM x\n{text}".encode())
    return [one for one in dockerfile.stages[0].instructions if isinstance(one, Arg)]


def test_global_arguments() -> None:
    """They see those before them and the platforms; the caller's values win."""
    found = PLATFORMS
    for instruction in args("ARG A=1 B=$A-$TARGETARCH\nARG C\nARG D=x"):
        found = global_scope(instruction, {"D": "y", "E": "z"}, found, EXPANDER)
    assert {name: value for name, value in found.items() if name not in PLATFORMS} == {
        "A": "1",
        "B": "1-arm64",
        "D": "y",
    }
    assert (found["TARGETPLATFORM"], found["BUILDPLATFORM"]) == ("linux/arm64/v8", "linux/amd64")


def test_arguments_of_a_stage() -> None:
    """The caller's value, else the default, else the global one; without any of them there is no value."""
    scope = StageScope({"A": "caller"}, {"A": "global", "B": "global", "C": "global"}, {})
    for instruction in args("ARG A=default\nARG B\nARG C=default\nARG D\nARG E=${B}s"):
        scope.declare(instruction, {}, EXPANDER)
    assert scope.args == {"A": "caller", "B": "global", "C": "default", "E": "globals"}


def test_the_environment_wins() -> None:
    """An argument never hides a variable of ENV; a stage on another has its arguments."""
    scope = StageScope({}, {}, {"A": "inherited"})
    assert scope.variables({"B": "env"}) == {"A": "inherited", "B": "env"}
    scope.declare(args("ARG B=arg")[0], {"B": "env"}, EXPANDER)
    assert scope.variables({"B": "env"})["B"] == "env"


def test_proxies_need_no_declaration() -> None:
    """They are for RUN alone, so no key and no word depends on them."""
    scope = StageScope({"HTTP_PROXY": "http://proxy", "OTHER": "x"}, {}, {})
    assert scope.proxies() == {"HTTP_PROXY": "http://proxy"}
    assert "HTTP_PROXY" not in scope.variables({})
