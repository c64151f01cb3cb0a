"""`--change`: Dockerfile instructions on an image's configuration."""

from __future__ import annotations

import pytest

from sandbox.errors import InvalidError
from sandbox.image.changes import apply_lines
from sandbox.image.config import Healthcheck, ImageConfig

EMPTY = ImageConfig()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('CMD ["a", "b c"]', {"command": ("a", "b c")}),
        ("cmd echo $HOME", {"command": ("/bin/sh", "-c", "echo $HOME")}),
        ("CMD [not json", {"command": ("/bin/sh", "-c", "[not json")}),
        ('ENTRYPOINT ["x"]', {"entrypoint": ("x",)}),
        ("ENV A=b", {"environment": {"A": "b"}}),
        ("ENV=A=b", {"environment": {"A": "b"}}),
        ("ENV A=b C=\"d e\" F='g h' I=j\\ k", {"environment": {"A": "b", "C": "d e", "F": "g h", "I": "j k"}}),
        ("ENV A the rest = all", {"environment": {"A": "the rest = all"}}),
        ("LABEL a.b=c", {"labels": {"a.b": "c"}}),
        ("EXPOSE 80 53/udp 8000-8001", {"exposed_ports": ("80/tcp", "53/udp", "8000/tcp", "8001/tcp")}),
        ("USER 1000:1000", {"user": "1000:1000"}),
        ("WORKDIR /a/../b", {"working_dir": "/b"}),
        ("WORKDIR sub", {"working_dir": "/sub"}),
        ("VOLUME /a /b", {"volumes": ("/a", "/b")}),
        ('VOLUME ["/a b"]', {"volumes": ("/a b",)}),
        ("STOPSIGNAL SIGINT", {"stop_signal": "SIGINT"}),
        ('SHELL ["/bin/bash", "-c"]', {"shell": ("/bin/bash", "-c")}),
        ("ONBUILD RUN make", {"on_build": ("RUN make",)}),
        ("HEALTHCHECK NONE", {"healthcheck": Healthcheck(("NONE",))}),
        (
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost",
            {"healthcheck": Healthcheck(("CMD-SHELL", "curl -f localhost"), interval=90 * 10**9, retries=3)},
        ),
    ],
)
def test_instructions(line: str, expected: dict[str, object]) -> None:
    """Each in the forms that docker takes; the rest of the configuration stays."""
    assert apply_lines(EMPTY, [line]) == EMPTY._replace(**expected)  # type: ignore[arg-type]


def test_in_order() -> None:
    """Later ones see earlier ones, and the image's variables."""
    config = apply_lines(EMPTY, ['SHELL ["sh"]', "ENTRYPOINT run", "WORKDIR /a", "WORKDIR b", "ENV X=1", "env Y=$X:2"])
    assert (config.entrypoint, config.working_dir, config.environment) == (
        ("sh", "run"),
        "/a/b",
        {"X": "1", "Y": "1:2"},
    )


def test_an_entrypoint_drops_the_arguments_of_the_old_one() -> None:
    """Not a command that was changed with it, as docker has it."""
    old = EMPTY._replace(command=("old",))
    assert apply_lines(old, ['ENTRYPOINT ["run"]']).command == ()
    assert apply_lines(old, ['CMD ["new"]', 'ENTRYPOINT ["run"]']).command == ("new",)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "RUN make",
            "nonsense",
            "",
            "CMD a\nCMD b",
            "ENV A",
            "ENV A=b C",
            "ENV =b",
            'ENV A="b',
            "EXPOSE http",
            "EXPOSE 70000",
        ),
        *("EXPOSE 80/icmp", "SHELL bash", "ONBUILD FROM x", "HEALTHCHECK CMD", "HEALTHCHECK --x=1 CMD a"),
        *("HEALTHCHECK --interval=5 CMD a", "HEALTHCHECK --timeout=x CMD a", "CMD " + "x" * 70000),
    ],
)
def test_mistakes(line: str) -> None:
    """One line that names the change."""
    with pytest.raises(InvalidError, match="change") as caught:
        apply_lines(EMPTY, [line])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
