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
        ("{{range .Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
        ("{{range $i, $e := .Env}}{{$i}}:{{$e}} {{end}}", "0:A=1 1:B=2 "),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a.x=1;b=2;"),
        ("{{range .Labels}}{{.}}{{end}}", "12"),
        ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
        ("{{range .Env}}{{if eq . `A=1`}}{{continue}}{{end}}{{.}}{{break}}{{end}}", "B=2"),
        ("{{if .Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Paused}}p{{else if eq .Pid 7}}seven{{else}}x{{end}}", "seven"),
        ("{{if and .Running (not .Paused)}}yes{{end}}", "yes"),
        ("{{if or .Missing .Paused}}yes{{else}}no{{end}}", "no"),
        ("{{with .State}}{{.Status}}{{$.Id}}{{end}}", "exitedabc"),
        ("{{with .Missing}}x{{else}}{{.Id}}{{end}}", "abc"),
        ("{{$x := .State}}{{$x.Status}}", "exited"),
        ("{{$n := 1}}{{range .Env}}{{$n = 2}}{{end}}{{$n}}", "2"),
        ("{{(index .Env 0)}} {{len (split .Id `b`)}}", "A=1 2"),
        (
            "{{title .State.Status}} {{slice .Id 1}} {{slice .Id 0 1}} {{truncate .Id 2}}|{{pad .Id 1 2}}|",
            "Exited bc a ab| abc  |",
        ),
        ('{{printf "%s-%05d %q %x %.2f %%" .Id .Pid .Id 255 1.5}}', 'abc-00007 "abc" ff 1.50 %'),
        ('{{printf "%-5s|%5s|%v" .Id .Id .Env}}', "abc  |  abc|[A=1 B=2]"),
        ("{{println .Id}}", "abc\n"),
        ("a {{- .Id -}} b", "aabcb"),
        ("{{/* nothing */}}x", "x"),
        ("{{if lt .Pid 8}}{{if ge .Pid 7}}{{ne .Pid 7}}{{end}}{{end}}", "false"),
        ('{{"}}"}}', "}}"),
        ("{{(index .Env 1) | lower}}", "b=2"),
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
        ("{{range .Env}}{{.}}", "{{end}} is missing"),
        ("{{end}}", "{{end}}"),
        ("{{else}}", "{{else}}"),
        ("{{break}}", "{{break}}"),
        ("{{if}}x{{end}}", "not understood"),
        ("{{if .Id}}x{{else foo}}{{end}}", "{{else foo}}"),
        ("{{define `x`}}{{end}}", "{{define `x`}}"),
        ("{{(.Id}}", "not understood"),
        ("{{.Id)}}", "not understood"),
        ("{{$a, $b, $c := .Env}}", "not understood"),
        ("{{if .Id}}" * 60 + "{{end}}" * 60, "nested"),
        ("{{" + "(" * 60 + ".Id" + ")" * 60 + "}}", "nested"),
        ("x" * 70_000, "longer"),
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
    """The rest of the language, and what is no template, is refused before anything is printed."""
    with pytest.raises(UsageError) as caught:
        Template(text)
    assert named in str(caught.value)


def test_a_field_of_what_has_none() -> None:
    """`{{.Id.Deep}}` is a mistake in the template, not an absent value."""
    with pytest.raises(UsageError, match="Deep"):
        Template("{{.Id.Deep}}").render(DATA)


@pytest.mark.parametrize(
    "text", ["{{$x}}", "{{$x = 1}}", "{{range .Id}}{{end}}", "{{index .Env 9}}", "{{lt .Id 1}}", "{{1x}}"]
)
def test_mistakes_that_show_when_it_is_used(text: str) -> None:
    """One line."""
    with pytest.raises(UsageError, match="--format"):
        Template(text).render(DATA)


def test_output_is_bounded() -> None:
    """Loops in loops do not fill the memory."""
    loops = "{{range $.L}}" * 5 + "{{printf `%1000s` 1}}" + "{{end}}" * 5
    with pytest.raises(UsageError, match="prints more"):
        Template(loops).render({"L": list(range(40))})


@given(st.text(alphabet='{}.|"`ajson indexIdEv10-$:=(),rgef', max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    """Any text is understood or refused."""
    with contextlib.suppress(UsageError):
        Template(text).render(DATA)
