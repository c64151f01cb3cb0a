"""Whole files: golden parses, all mistakes at once, and no input that crashes or takes long."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.dockerfile.diagnostics import render
from sandbox.dockerfile.instructions import From, Instruction
from sandbox.dockerfile.parsing import SIZE_LIMIT, Dockerfile, parse, parse_trigger
from sandbox.errors import InvalidError, LimitError

GOLDEN = Path(__file__).parent / "golden"
WORDS = [
    "FROM",
    "a",
    "AS",
    "RUN",
    "COPY",
    "--from=",
    "--mount=type=cache,",
    "<<EOF",
    "<<-'X'",
    "EOF",
    "\n",
    "\\\n",
    "#",
    "[",
    '"',
    "'",
]
WORDS += [
    "${a:-",
    "}",
    "$",
    "]",
    ",",
    "=",
    "ENV",
    "ONBUILD",
    "HEALTHCHECK",
    "CMD",
    "ARG",
    "\t",
    " ",
    "\r\n",
    "`",
    "\0",
    "é",
    "\ufeff",
]


def plain(value: Any) -> Any:
    """A record as JSON has it: the instruction's name and what is not the default."""
    if isinstance(value, Instruction):
        fields = {one.name: one for one in dataclasses.fields(value)}
        shown = {
            name: plain(getattr(value, name))
            for name, field in fields.items()
            if name not in ("keyword", "text", "span") and getattr(value, name) != field.default
        }
        return {"instruction": value.name, "lines": [value.span.line, value.span.end_line], **shown}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(one) for name, one in value._asdict().items()}
    return [plain(one) for one in value] if isinstance(value, tuple) else value


def outline(dockerfile: Dockerfile) -> Any:
    """A file's parse as JSON."""
    return {
        "directives": {"escape": dockerfile.directives.escape, "syntax": dockerfile.directives.syntax},
        "arguments": plain(dockerfile.global_args),
        "stages": [
            {"name": stage.name, "instructions": plain((stage.base, *stage.instructions))}
            for stage in dockerfile.stages
        ],
        "mistakes": [one.as_json() for one in dockerfile.diagnostics],
    }


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.Dockerfile")))
def test_golden(name: str) -> None:
    """Each file of `golden` is parsed as the JSON beside it says."""
    path = GOLDEN / name
    assert outline(parse(path.read_bytes(), name)) == json.loads(path.with_suffix(".json").read_text())


def test_all_mistakes_are_shown_at_once() -> None:
    """One error with each mistake's place, its line, the mark below it and what was probably meant."""
    dockerfile = parse(b"FROM a\nRUNN x\nCOPY --form=b c d\n")
    with pytest.raises(InvalidError) as caught:
        dockerfile.require()
    assert caught.value.message == (
        "2 errors in Dockerfile\n"
        "Dockerfile:2:1: error: unknown instruction 'RUNN' [unknown-instruction]\n"
        " 2 | RUNN x\n"
        "   | ^^^^\n"
        "   = did you mean RUN?\n"
        "Dockerfile:3:6: error: unknown flag --form of COPY [unknown-flag]\n"
        " 3 | COPY --form=b c d\n"
        "   |      ^^^^^^^^\n"
        "   = did you mean --from?"
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("RUN x\nFROM a", "no-stage"),
        ("ARG A", "no-stage"),
        ("FROM a b", "arguments"),
        ("FROM a AS 1x", "stage-name"),
        ("FROM a\nCMD [1]", "json-strings"),
        ("FROM a\nSHELL sh -c", "shell-form"),
        ("FROM a\nENV a", "arguments"),
        ("FROM a\nENV a=b c", "pair"),
        ("FROM a\nLABEL =b", "pair"),
        ("FROM a\nRUN", "arguments"),
        ("FROM a\nRUN --mount=type=cache true", "mount"),
        ("FROM a\nRUN --mount=type=bind,target=/x,from=$a true", "mount"),
        ("FROM a\nRUN --network=weird true", "flag-value"),
        ("FROM a\nCOPY --link=maybe a b", "flag-value"),
        ("FROM a\nCOPY --from=a --from=b a b", "duplicate-flag"),
        ("FROM a\nCOPY a <<EOF\nEOF", "heredoc"),
        ("FROM a\nHEALTHCHECK --interval=3 CMD x", "duration"),
        ("FROM a\nHEALTHCHECK NONE x", "arguments"),
        ("FROM a\nHEALTHCHECK x", "healthcheck"),
        ("FROM a\nONBUILD FROM b", "on-build"),
        ("FROM a\nONBUILD ONBUILD RUN x", "on-build"),
        ("# escape=x\nFROM a", "invalid-escape"),
        ("# escape=`\n# escape=`\nFROM a", "duplicate-directive"),
        ("# check=foo=bar\nFROM a", "invalid-check"),
    ],
)
def test_mistakes(text: str, code: str) -> None:
    """Each has a code."""
    assert [one.code for one in parse(text.encode()).diagnostics] == [code]


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nCMD [not json",
        "\ufeffFROM a",
        "FROM a\nRUN --mount=type=$kind,target=/x true",
        "FROM a\nRUN -- --not-a-flag",
        "#!/usr/bin/env sandbox\n# syntax = x\nfrom a as b",
        "FROM a\nHEALTHCHECK NONE",
        "FROM a\nENTRYPOINT []",
    ],
)
def test_accepted(text: str) -> None:
    """What BuildKit takes is no mistake."""
    assert not parse(text.encode()).diagnostics


def test_a_file_of_another_kind_is_refused() -> None:
    """Megabytes are no Dockerfile."""
    with pytest.raises(LimitError):
        parse(b"#" * (SIZE_LIMIT + 1))


def test_triggers() -> None:
    """An image's ONBUILD trigger is an instruction, heredoc and all; anything else is refused with the image's name."""
    assert parse_trigger("COPY <<A /x\ny\nA", "base").name == "COPY"
    for text in ("", "FROM a", "RUN a\nRUN b", "ONBUILD RUN x"):
        with pytest.raises(InvalidError, match="base"):
            parse_trigger(text, "base")


@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_any_text_is_parsed_or_reported(words: list[str]) -> None:
    """No combination of the language's words raises anything, and all that is found can be shown."""
    dockerfile = parse(" ".join(words).encode())
    assert all(isinstance(stage.base, From) for stage in dockerfile.stages)
    render(dockerfile.source, dockerfile.diagnostics)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_reported(data: bytes) -> None:
    """Nor do bytes."""
    render((found := parse(b"FROM a\nRUN " + data)).source, found.diagnostics)


def test_long_files_take_time_in_proportion() -> None:
    """A moment is enough for a large file of any kind: no pattern in it makes the parser slow."""
    for unit in (
        "RUN a \\\n",
        "ENV a=b\n",
        "${a:-",
        "<<A ",
        "COPY --a ",
        "[[",
        "'",
        '"',
        "\\",
        "$",
        "# x\n",
        *WORDS,
    ):
        text = ("FROM a\nRUN " + unit * (100_000 // len(unit))).encode()
        started = time.monotonic()
        parse(text)
        assert time.monotonic() - started < 3, unit
