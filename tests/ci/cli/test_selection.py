"""What the options of `ci-run local` choose, and what is said of those that fit nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.cli.selection import assignments, dotenv, require_secrets, require_trust, secrets, select
from ci.errors import CiError
from ci.pipeline.spec import StageSpec, StepSpec, VolumeMount


def step(name: str, **fields: Any) -> StepSpec:
    """A step."""
    return StepSpec(name=name, image=f"{name}:1", line=7, **fields)


def stage(number: int, *steps: StepSpec, **fields: Any) -> StageSpec:
    """A Stage."""
    named: dict[str, Any] = {"name": "test", "number": number, "steps": steps}
    return StageSpec(**(named | fields))


def test_only_leaves_the_others_out() -> None:
    """The named steps run, with the services; Stages without any are dropped, also from what others depend on."""
    stages = (
        stage(1, step("a"), step("b"), services=(step("db"),)),
        stage(2, step("c"), name="lint"),
        stage(3, step("a"), name="deploy", depends_on=("lint", "test")),
    )
    chosen = select(stages, only=["a"])
    assert [(one.number, one.depends_on) for one in chosen.stages] == [(1, ()), (3, ("test",))]
    assert [one.name for _, one in chosen.containers()] == ["db", "a", "a"]
    assert list(chosen.images()) == ["db:1", "a:1"]


def test_skip_leaves_steps_and_services_out() -> None:
    """By name."""
    chosen = select((stage(1, step("a"), step("b"), services=(step("db"),)),), skip=["b", "db"])
    assert [one.name for _, one in chosen.containers()] == ["a"]


def test_a_matrix_value_chooses_cells() -> None:
    """Stages without that axis stay."""
    stages = (
        stage(1, step("a"), matrix={"python": "3.11"}),
        stage(2, step("a"), matrix={"python": "3.12"}),
        stage(3, step("b"), name="docs"),
    )
    assert [one.number for one in select(stages, matrix={"python": "3.12"}).stages] == [2, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["buidl"]}, "no step is called 'buidl' (did you mean 'build'?)"),
        ({"skip": ["zzz"]}, "no step is called 'zzz' (there are: build)"),
        ({"matrix": {"pyhton": "3"}}, "no axis is called 'pyhton' (did you mean 'python'?)"),
        ({"matrix": {"python": "3.1"}}, "python is never '3.1' (did you mean '3.11'?)"),
    ],
)
def test_misspelt_choices_are_said(options: Any, words: str) -> None:
    """With what was meant, or what there is."""
    with pytest.raises(CiError) as caught:
        select((stage(1, step("build"), matrix={"python": "3.11"}),), **options)
    assert words in str(caught.value)


def test_missing_secrets_are_named_all_at_once() -> None:
    """With the step and the line; those of steps that are left out do not matter."""
    stages = (stage(1, step("a", secrets={"X": "one"}), step("b", secrets={"Y": "two", "Z": "three"}), step("c")),)
    require_secrets(select(stages, skip=["b"]), {"one": "x"})
    with pytest.raises(CiError, match=r'2 secrets are not given: "two" \(b, line 7\), "three" \(b, line 7\)'):
        require_secrets(select(stages), {"one": "x"})


@pytest.mark.parametrize(
    "fields", [{"privileged": True}, {"volumes": (VolumeMount(host="/etc", target="/x"),)}], ids=["privileged", "host"]
)
def test_what_reaches_out_has_to_be_allowed(fields: Any) -> None:
    """A pipeline of somebody else must not get the host by itself."""
    with pytest.raises(CiError, match=r"line 7: a wants .*--trusted"):
        require_trust(select((stage(1, step("a", **fields)),)))
    require_trust(select((stage(1, step("a", volumes=(VolumeMount(name="cache", target="/x"),))),)))


def test_assignments_are_read() -> None:
    """The value may hold anything, and be empty."""
    assert assignments("--env", ["A=1", "B=x=y z", "C=", "A=2"]) == {"A": "2", "B": "x=y z", "C": ""}
    for bad in ("A", "=x", "a b=c", "1=2"):
        with pytest.raises(CiError, match="--env"):
            assignments("--env", [bad])


def test_secrets_come_from_files_arguments_and_the_environment() -> None:
    """Arguments count more than files; a name alone takes the value of the environment."""
    found = secrets(
        ["b=2", "HOME_TOKEN"],
        ["x.env"],
        environment={"HOME_TOKEN": "t"},
        read=lambda _: "a=1\nb=1\n",
    )
    assert found == {"a": "1", "b": "2", "HOME_TOKEN": "t"}
    with pytest.raises(CiError, match=r"there is no \$NONE"):
        secrets(["NONE"], [], environment={}, read=str)


def test_a_malformed_secret_is_not_repeated() -> None:
    """The message must not hold what may be a secret."""
    with pytest.raises(CiError) as caught:
        secrets(["pass word=hunter22"], [], environment={}, read=str)
    assert "hunter22" not in str(caught.value)
    with pytest.raises(CiError) as caught:
        dotenv("A=1\nhunter22\n", ".env")
    assert str(caught.value) == ".env:2: not a line NAME=VALUE"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\n\n# comment\nexport B = two words \r\n", {"A": "1", "B": "two words"}),
        ("A=x#y # comment\nB=# nothing", {"A": "x#y", "B": ""}),
        ("A='a\\n$b \"c\" # d' # comment\nB=2", {"A": 'a\\n$b "c" # d', "B": "2"}),
        ('A="line\\nbreak \\"q\\" \\$x \\z"', {"A": 'line\nbreak "q" $x \\z'}),
        ("KEY='-----BEGIN-----\nabc\n-----END-----'\nB=2", {"KEY": "-----BEGIN-----\nabc\n-----END-----", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=$B`id`", {"A": "$B`id`"}),
        ("", {}),
    ],
)
def test_secret_files_are_read(text: str, values: dict[str, str]) -> None:
    """The common forms of .env files; nothing is substituted or run."""
    assert dotenv(text, ".env") == values


def test_an_open_quote_is_said() -> None:
    """With the line it begins on, without the value."""
    with pytest.raises(CiError, match=r"^\.env:2: the quote ' is not closed$"):
        dotenv("A=1\nB='hunter22\n\n", ".env")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes it fail in another way."""
    try:
        dotenv(text, ".env")
    except CiError:
        return
