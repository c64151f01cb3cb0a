"""`ci-run lint --fix`: what is corrected, and that nothing else is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.fixing import fixed
from ci.pipeline.loading import load

FIXES = [
    # misspelt keys and words, with comments and quotes beside them
    (
        ".ci.yml",
        "stepz: # s\n- {name: a, imege: 'b', commands: [x]}\n",
        "steps: # s\n- {name: a, image: 'b', commands: [x]}\n",
    ),
    (".ci.yml", "steps: [{name: a, image: b, failure: 'ingore'}]", "steps: [{name: a, image: b, failure: ignore}]"),
    (
        ".ci.yml",
        "steps: [{name: a, image: b, when: {event: [pul_request]}}]",
        "steps: [{name: a, image: b, when: {event: [pull_request]}}]",
    ),
    (".ci.yml", "steps: [{name: a, image: b, detach: yes}]", "steps: [{name: a, image: b, detach: true}]"),
    (".ci.yml", "steps: [{name: a, image: b, commands: ['x\u200b']}]", "steps: [{name: a, image: b, commands: ['x']}]"),
    (".drone.yml", "kind: pipeline\nstpes: [{name: a, image: b}]", "kind: pipeline\nsteps: [{name: a, image: b}]"),
    # what is not sure
    (".ci.yml", "steps: [{name: a, image: b, script: [x]}]", None),
    (".ci.yml", "steps: [{name: a, image: b, zz: [x]}]", None),
    (".ci.yml", "steps: [{name: a, image: b, imagee: c}]", None),  # the key is there
    (".ci.yml", "steps: [", None),
    (".ci.yml", "", None),
    (".ci.yml", "\0", None),
    # Woodpecker's older forms
    (".woodpecker.yml", "pipeline:\n  a: {image: b}\n", "steps:\n  a: {image: b}\n"),
    (
        ".woodpecker.yml",
        "branches:\n  - a # x\n\n# y\nsteps: [{image: b}]",
        "when:\n  branch:\n    - a # x\n\n# y\nsteps: [{image: b}]",
    ),
    (
        ".woodpecker.yml",
        "branches:\n- a\n- b\nsteps: [{image: b}]",
        "when:\n  branch:\n  - a\n  - b\nsteps: [{image: b}]",
    ),
    (".woodpecker.yml", "branches: a\nwhen: {event: push}\nsteps: [{image: b}]", None),
    (".woodpecker.yml", "{branches: a, steps: [{image: b}]}", None),
    (
        ".woodpecker.yml",
        "steps:\n- image: b\n  secrets: [x-y]\n",
        "steps:\n- image: b\n  environment:\n    X_Y:\n      from_secret: x-y\n",
    ),
    (
        ".woodpecker.yml",
        "steps:\n- secrets: [x]\n  image: b\n",
        "steps:\n- environment:\n    X:\n      from_secret: x\n  image: b\n",
    ),
    (".woodpecker.yml", "steps:\n- image: b\n  secrets: # mine\n  - x\n", None),
    (".woodpecker.yml", "steps:\n- image: b\n  secrets: [x]\n  environment: {A: b}\n", None),
    (".woodpecker.yml", "x: &x\n  secrets: [x]\nsteps:\n- <<: *x\n  image: b\n", None),
    # tabs, byte order marks, Windows' line breaks
    (".ci.yml", "steps:\n\t- name: a\n\t  image: b\n", "steps:\n  - name: a\n    image: b\n"),
    (
        ".ci.yml",
        "x-a:\n    b: c\nsteps:\n\t- name: a\n\t  image: b\n",
        "x-a:\n    b: c\nsteps:\n    - name: a\n      image: b\n",
    ),
    (".ci.yml", "steps:\n- name: a\n  image: b\n  commands:\n  - |\n    cat <<-X\n    \thi\n    X\n", None),
    (".ci.yml", "\ufeffstepz:\r\n- name: a\r\n  image: b\r\n", "\ufeffsteps:\r\n- name: a\r\n  image: b\r\n"),
    (
        ".woodpecker.yml",
        "platform: a/b\r\nsteps: [{image: b}]\r\n",
        "labels:\r\n  platform: a/b\r\nsteps: [{image: b}]\r\n",
    ),
]


@pytest.mark.parametrize(("name", "text", "expected"), FIXES)
def test_fixes(name: str, text: str, expected: str | None) -> None:
    """Each comes out as it should, or is left alone; and once is enough."""
    data = text.encode()
    after = fixed(data, name).data
    assert after == (data if expected is None else expected.encode())
    assert fixed(after, name).data == after


def test_what_is_hidden_behind_a_mistake_is_corrected_too() -> None:
    """Keys of a step are seen only when the key of the steps is right."""
    before = b"stepz:\n\t- {nmae: a, image: b}\n"
    again = fixed(before, ".ci.yml")
    assert again.data.startswith(b"steps:\n  - {")
    assert not any(one.code in {"yaml-syntax", "missing-key"} for one in again.loaded.diagnostics)


PARTS = [
    *("steps", "stepz", "image", "imagee", "comands", "secrets", "branches", "pipeline", "platform", "when", "evnt"),
    *("- ", ": ", "\n", "  ", "\t", "# c\n", "[", "]", "{", "}", "a", "b", "'", '"', "<<: ", "&x ", "*x", "\r\n", "|"),
]


@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join), st.sampled_from([".ci.yml", ".woodpecker.yml"]))
def test_any_file(text: str, name: str) -> None:
    """No file is made worse, no comment is lost, and a second time changes nothing."""
    before = text.encode()
    after = fixed(before, name).data
    assert fixed(after, name).data == after
    errors = [sum(one.severity == "error" for one in load(data, name).diagnostics) for data in (before, after)]
    syntax = any(one.code == "yaml-syntax" for one in load(before, name).diagnostics)
    assert syntax or errors[1] <= errors[0]
    comments = re.compile(r"(?:^|\s)#.*")
    assert len(comments.findall(after.decode())) >= len(comments.findall(text))
