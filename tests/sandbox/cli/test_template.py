"""The part of Go's templates that `--format` understands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cli.options import UsageError
from sandbox.cli.template import Template

DATA = {
    "Id": "abc",
    "Running": True,
    "Paused": False,
    "Pid": 7,
    "Nothing": None,
    "State": {"Status": "exited", "ExitCode": 3},
    "Env": ["A=1", "B=2"],
    "Labels": {"b": "2", "a.x": "1"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{.Id}}", "abc"),
        ("{{ .Id }}", "abc"),
        ("{{- .Id -}}", "abc"),
        (r"<{{.State.Status}}>\t{{.State.ExitCode}}", "<exited>\t3"),
        ("{{.Running}} {{.Paused}}", "true false"),
        ("{{.Nothing}}", "<nil>"),
        ("{{.Missing}}", "<no value>"),
        ("{{.Missing.Deep}}", "<no value>"),
        ("{{.Env}}", "[A=1 B=2]"),
        ("{{.Labels}}", "map[a.x:1 b:2]"),
        ("{{json .State}}", '{"Status":"exited","ExitCode":3}'),
        ("{{.State | json}}", '{"Status":"exited","ExitCode":3}'),
        ("{{json .Missing}}", "null"),
        ('{{index .Labels "a.x"}}', "1"),
        ("{{index .Labels `a.x`}}", "1"),
        ('{{index .Labels "none"}}', ""),
        ("{{index .Env 1}}", "B=2"),
        ("{{len .Env}} {{len .Id}}", "2 3"),
        ('{{join .Env ", "}}', "A=1, B=2"),
        ("{{upper .Id}} {{lower .State.Status}}", "ABC exited"),
        ('{{.Id}}{{"\\t"}}{{.Pid}}', "abc\t7"),
        ("{{upper .Id | json}}", '"ABC"'),
    ],
)
def test_what_is_understood(text: str, expected: str) -> None:
    """Fields print as Go prints them."""
    assert Template(text).render(DATA) == expected


def test_everything_as_json() -> None:
    """`{{json .}}` is the whole object."""
    assert Template("{{json .}}").render({"a": [1]}) == '{"a":[1]}'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{range .Env}}{{.}}{{end}}", "'range'"),
        ("{{if .Running}}yes{{end}}", "'if'"),
        ("{{$x}}", "$x"),
        ("{{}}", "{{}}"),
        ("{{.Id", "without }}"),
        ("{{json}}", "json"),
        ("{{json .Id .Id}}", "json"),
        ('{{json "}}', "not understood"),
        ("{{.Id | shout}}", "'shout'"),
        ("{{json .Id |}}", "not understood"),
        ("{{.Id .Pid}}", "'.Id'"),
    ],
)
def test_what_is_not(text: str, named: str) -> None:
    """The rest of the language is refused by name, before anything is printed."""
    with pytest.raises(UsageError) as caught:
        Template(text)
    assert named in str(caught.value)


def test_a_field_of_what_has_none() -> None:
    """`{{.Id.Deep}}` is a mistake in the template, not an absent value."""
    with pytest.raises(UsageError, match="Deep"):
        Template("{{.Id.Deep}}").render(DATA)


@given(st.text(alphabet='{}.|"`ajson indexIdEv10-', max_size=30))
def test_no_text_breaks_it(text: str) -> None:
    """Any text is understood or refused."""
    with contextlib.suppress(UsageError):
        Template(text).render(DATA)
