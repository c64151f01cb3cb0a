"""The front door: any text is loaded, and what is wrong with it is said once, at its place, quickly."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.compile import CompileError, compile_all
from ci.pipeline.diagnostics import render
from ci.pipeline.dialects.hako import DOCUMENT_KEYS, SERVICE_KEYS, STEP_KEYS
from ci.pipeline.event import Event
from ci.pipeline.loading import PipelineError
from tests.processor_time import at_most


def test_fine() -> None:
    """A file without mistakes gives its documents."""
    loaded = ci.pipeline.load(b"steps: [{name: a, image: b}]", "x.yml")
    assert loaded.ok
    assert loaded.diagnostics == ()
    assert [document.title for document in loaded.require()] == ["default"]
    assert ci.pipeline.check("steps: [{name: a, image: b}]") == ()


def test_warnings_do_not_stop() -> None:
    """A file with warnings and infos can be run."""
    loaded = ci.pipeline.load("{matrix: {A: [1, 1]}, steps: [{name: a, image: b, privileged: true}]}")
    assert [one.code for one in loaded.diagnostics] == ["repeated-value", "needs-trust"]
    assert loaded.require()


def test_require() -> None:
    """Documents of a file with errors are not to be had, and the error tells the way."""
    with pytest.raises(PipelineError, match=r"x\.yml: 1 error") as error:
        ci.pipeline.load("steps: [{name: a}]", "x.yml").require()
    assert "missing-image" in error.value.rendered()


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        (b"", "empty-file", (1, 1)),
        (b"\xef\xbb\xbf", "empty-file", (1, 1)),
        (b"# nothing\n---\n", "empty-file", (1, 1)),
        (b"- a\n- b", "not-a-mapping", (1, 1)),
        (b"\n  hello", "not-a-mapping", (2, 3)),
        (b"\x7fELF\0\xff", "not-utf8", (1, 6)),
        (b"a: \0", "bad-character", (1, 4)),
        (b"a" * (10 << 20), "file-too-large", (1, 1)),
        (b"a: [" + b"1," * 500_000 + b"]", "too-large", (1, 200_003)),
        (b"[" * 500_000, "too-deep", (1, 51)),
        (b"x" * 1_000_000, "not-a-mapping", (1, 1)),
        (b"\n" * 1_000_000, "empty-file", (1, 1)),
        (
            b"image: b\nsteps: [{name: a}]\nmatrix: {%s}" % b", ".join(b"A%d: [1, 2, 3]" % n for n in range(5000)),
            "matrix-too-large",
            (3, 1),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_one_clear_diagnostic(text: bytes, code: str, place: tuple[int, int]) -> None:
    """What is no pipeline at all is one diagnostic, in less than a second."""
    with at_most(1):
        loaded = ci.pipeline.load(text)
        rendered = render(loaded.diagnostics)
    assert [(one.code, one.position[:2]) for one in loaded.diagnostics] == [(code, place)]
    assert len(rendered) < 1500


GOOD_STEPS = "steps: [{name: a, image: b}]"
ODDITIES: list[tuple[bytes | str, list[str], str]] = [
    # encodings
    ("\ufeff" + GOOD_STEPS, [], ""),
    ("\ufeff\ufeff" + GOOD_STEPS, ["bad-character"], "U+FEFF"),
    (GOOD_STEPS.encode("utf-16"), ["not-utf8"], "UTF-16"),
    (GOOD_STEPS.encode("utf-16-le"), ["bad-character"], "UTF-16"),
    (GOOD_STEPS.encode("utf-16-be"), ["bad-character"], "UTF-16"),
    (GOOD_STEPS.encode("utf-32"), ["not-utf8"], "UTF-16"),
    (b"caf\xe9: x", ["not-utf8"], "0xe9"),
    (b"steps: [{name: \xed\xa0\x80}]", ["not-utf8"], "0xed"),  # half of a pair
    (b"steps: [{name: \xc0\xaf}]", ["not-utf8"], "0xc0"),  # a slash in two bytes
    # characters that no file may hold
    ("steps: ['\ud800']", ["bad-character"], "U+D800"),
    ('steps: ["\\ud800"]', ["yaml-syntax"], "half of a character"),
    ('steps: [{name: a, image: b, commands: ["\\0"]}]', ["bad-character"], "NUL"),
    ("a\x00b", ["bad-character"], "U+0000"),
    ("a: b\x85c: d", ["bad-character"], "U+0085"),
    ("a: b\u2028c: d", ["bad-character"], "U+2028"),
    (GOOD_STEPS + "\x1a", ["bad-character"], "U+001A"),
    ("a: \x1b[31m", ["bad-character"], "U+001B"),
    # what is not seen, or not what it looks like
    ("steps: [{name: a, image: b, commands: [a\u202eb]}]", ["invisible-character"], "U+202E"),
    ("steps: [{name: a, image: b, commands: ['a\u00adb']}]", ["invisible-character"], "U+00AD"),
    ("# \U000e0041\n" + GOOD_STEPS, ["invisible-character"], "U+E0041"),
    ("steps:\u00a0[{name: a, image: b}]", ["yaml-syntax"], "column 7, U+00A0, looks like a blank"),
    ("steps:\n\u3000- {name: a, image: b}", ["yaml-syntax"], "column 1, U+3000, looks like a blank"),
    ("steps\uff1a\n- name: a", ["yaml-syntax"], 'line 1: the character in column 6, U+FF1A, looks like ":"'),
    ("\u0455teps: [{name: a, image: b}]", ["missing-key", "unknown-key"], 'did you mean "steps"? "\u0455" is U+0455'),
    ("ste\u0301ps: [{name: a, image: b}]", ["missing-key", "unknown-key"], 'did you mean "steps"?'),
    ("steps: [{name: a, image: b, when: {event: pu\u0455h}}]", ["bad-condition"], 'did you mean "push"? "\u0455"'),
    ("steps: [{name: \U0001f600, image: b}]", ["bad-name"], "is not a name"),
    # line breaks of all times
    ("steps:\r- {name: a, image: b}\r", [], ""),
    ("steps:\r\n- {name: a, image: B}\r\n", ["bad-image"], "2:20"),
]


@pytest.mark.parametrize(("text", "codes", "words"), ODDITIES)
def test_oddities_of_unicode(text: bytes | str, codes: list[str], words: str) -> None:
    """Each is fine, or told with the character and its place."""
    with at_most(1):
        loaded = ci.pipeline.load(text)
        shown = render(loaded.diagnostics)
    assert sorted(one.code for one in loaded.diagnostics) == codes
    assert words in shown


def bomb(levels: int, width: int, merge: str = "- ") -> str:
    """Aliases of aliases: each level names the one before many times."""
    lines = ["a0: &a0 {x: y}" if merge == "<<: " else "a0: &a0 [x, x]"]
    for level in range(1, levels):
        others = ", ".join([f"*a{level - 1}"] * width)
        lines.append(
            f"a{level}: &a{level} {{<<: [{others}]}}" if merge == "<<: " else f"a{level}: &a{level} [{others}]"
        )
    return "\n".join(lines) + "\nsteps: [{name: a, image: b}]\n"


BOMBS = {
    "aliases of lists": (bomb(40, 10), "too-large"),
    "aliases of merged maps": (bomb(40, 10, "<<: "), "too-large"),
    "an alias of itself": ("a: &a [*a]\n" + GOOD_STEPS, "recursive-alias"),
    "steps that are aliases": (
        f"x-s: &s {{image: b, commands: [{'a, ' * 300}b]}}\nsteps: [{'*s, ' * 900}*s]",
        "too-large",
    ),
    "deep braces": ("{a: " * 60_000, "too-deep"),
    "deep indentation": ("\n".join(" " * depth + "a:" for depth in range(1000)), "too-deep"),
    "many anchors": ("\n".join(f"a{n}: &b{n} x" for n in range(20_000)), "unknown-key"),
    "a product of many axes": (
        "steps: [{name: a, image: b}]\nmatrix: {" + ", ".join(f"A{n}: [1, 2]" for n in range(64)) + "}",
        "matrix-too-large",
    ),
    "one long key": ("k" * 500_000 + ": 1", "yaml-syntax"),
    "one long line of commands": ("steps: [{name: a, image: b, comands: ['" + "x" * 900_000 + "']}]", "unknown-key"),
    "quotes without an end": ("a: '" + "''" * 400_000, "yaml-syntax"),
    "comments": ("#" * 1_000_000, "empty-file"),
    "documents": ("---\n" * 100_000, "empty-file"),
}


@pytest.mark.parametrize(("text", "code"), BOMBS.values(), ids=BOMBS.keys())
def test_bombs(text: str, code: str) -> None:
    """Small files that would become large are one clear answer, at once."""
    with at_most(3):
        loaded = ci.pipeline.load(text)
        shown = render(loaded.diagnostics)
    assert code in [one.code for one in loaded.diagnostics]
    assert len(shown) < 400_000


SLOW = {
    "misspelt names": "image: b\nsteps: [{name: a}"
    + "".join(f", {{name: step-{n}, depends_on: [stap-{n}]}}" for n in range(3000))
    + "]",
    "cells": "image: b\nmatrix: {A: ["
    + ",".join(map(str, range(500)))
    + "]}\nsteps: ["
    + ", ".join(f"{{name: s{n}, timeout: '${{A}}{n}s', environment: {{X: '${{A}}', Y: '${{B}}'}}}}" for n in range(800))
    + "]",
    "a circle": "image: b\nsteps:\n"
    + "\n".join(f"- {{name: s{n}, depends_on: [s{(n + 1) % 3000}]}}" for n in range(3000)),
    "variables": "image: '" + "${A}" * 100_000 + "'\nsteps: [{name: a}]",
    "patterns": "image: b\nsteps: ["
    + ", ".join(f"{{name: s{n}, when: {{path: ['{'**/{a,b,' * 20 + '}' * 20}']}}}}" for n in range(1000))
    + "]",
    "expressions": "steps: [{name: a, image: b, commands: ['" + "${A:-${B:0:8}}" * 30_000 + "']}]",
    "open expressions": "steps: [{name: a, image: b, commands: ['" + "${A:-" * 100_000 + "']}]",
    "braces": "# " + "${" * 400_000 + "\nsteps: [{name: a, image: b}]",
    "unknown keys": "steps: []\n" + "\n".join(f"stepz{n}: 1" for n in range(40_000)),
}


@pytest.mark.parametrize("name", [".ci.yml", ".drone.yml", ".woodpecker.yml"])
@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW.keys())
def test_hostile_files_are_quick(text: str, name: str) -> None:
    """Files that ask for much work, each in its own way, take less than a second and a half."""
    with at_most(1.5):
        render(ci.pipeline.load(text if name != ".drone.yml" else "kind: pipeline\n" + text, name).diagnostics)


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        (".drone.yml", "drone"),
        ("a/.drone.yaml", "drone"),
        (".woodpecker.yml", "Woodpecker"),
        ("a/.woodpecker.yaml", "Woodpecker"),
        (".woodpecker/test.yml", "Woodpecker"),
        (".ci.yml", "Hako"),
        ("drone.yml", "Hako"),
        (".drone.yml.orig", "Hako"),
    ],
)
def test_dialects(name: str, dialect: str) -> None:
    """The name of a file tells its dialect."""
    loaded = ci.pipeline.load("kind: pipeline\nsteps: [{name: a, image: b}]", name)
    if dialect == "Hako":
        assert [one.code for one in loaded.diagnostics] == ["unknown-key"]
    assert [document.rules.dialect for document in loaded.documents] == [dialect]


def test_invisible_characters() -> None:
    """A character that reorders the line is pointed at."""
    found = ci.pipeline.check("steps: [{name: a, image: b, commands: ['a \u202e b']}]")
    assert [(one.code, one.position.column) for one in found] == [("invisible-character", 43)]


# Files that are nearly right: the keys there are, with values of any shape.
OTHER_WORDS = [
    "a",
    "b",
    "1",
    "10m",
    "1g",
    "${A}",
    "${CI_STEP_NAME}",
    "/a",
    "a:/b",
    "**",
    "{a",
    "push",
    "include",
    "exclude",
    "from_secret",
    "true",
    "~",
    "event",
    "branch",
    "status",
    "failure",
    "ignore",
    "<<",
    "x-a",
    "name",
    "steps",
]
WORDS = st.sampled_from([*DOCUMENT_KEYS, *STEP_KEYS, *SERVICE_KEYS, *OTHER_WORDS])
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(0, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=15,
)
STEP_VALUES = {key: VALUES for key in STEP_KEYS if key != "name"}
STEPS = st.lists(st.fixed_dictionaries({"name": WORDS}, optional=STEP_VALUES), max_size=4)
DOCUMENTS = st.fixed_dictionaries({"steps": STEPS}, optional={key: VALUES for key in DOCUMENT_KEYS if key != "steps"})


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(DOCUMENTS | VALUES, min_size=1, max_size=2))
def test_nearly_right_files(documents: list[object]) -> None:
    """Keys with values of any shape never raise; and what has no errors compiles, or says why not."""
    loaded = ci.pipeline.load(yaml.safe_dump_all(documents, allow_unicode=True))
    render(loaded.diagnostics)
    for one in loaded.diagnostics:
        assert one.position.line >= 1
    if loaded.ok:
        try:
            compile_all(loaded.documents, Event(branch="main"))
        except CompileError as error:
            assert error.position.line


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_input(text: str | bytes) -> None:
    """No text, and no bytes, make load raise."""
    loaded = ci.pipeline.load(text)
    assert loaded.diagnostics or loaded.documents


GOOD = """\
name: a
image: b:${A}
matrix:
  A: [x, 'y']
steps:
  - name: s
    when: {branch: [m, "r/*"]}
    commands: |
      a
"""


@given(st.data())
def test_damaged_files(data: st.DataObject) -> None:
    """A good file with characters taken out, put in or doubled never makes load raise."""
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        new = data.draw(st.sampled_from([*"\n\t:-{]!'\" ", "", "&a", "*a", "${", "<<: ", text[:at]]))
        text = text[:at] + new + text[at + data.draw(st.integers(0, 3)) :]
    render(ci.pipeline.load(text).diagnostics, colour=True)
