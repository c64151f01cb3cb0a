"""What our own dialect adds to steps and services: what lint says of it."""

from __future__ import annotations

import pytest

from tests.ci.pipeline.test_lint import codes

STEP = "steps: [{name: s, image: b}]"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("healthcheck: {tets: pg_isready}", [("missing-key", 1, 45), ("unknown-key", 1, 46)]),
        ("healthcheck: [x, y], wait: soon", [("bad-duration", 1, 59)]),
        ("healthcheck: {command: x, interval: 0}", [("bad-duration", 1, 68)]),
        ("healthcheck: {command: x, timeout: 1x}", [("bad-duration", 1, 67)]),
        ("wait: 5s", [("nothing-to-wait-for", 1, 38)]),
        ("ports: [1], wait: 5s", []),
        ('healthcheck: ""', [("missing-key", 1, 45)]),
        ("healthcheck: 'a ${NAME}'", [("undefined-variable", 1, 48)]),
        ("helthcheck: x", [("unknown-key", 1, 32)]),
    ],
)
def test_what_says_that_a_service_is_ready(service: str, expected: list[tuple[str, int, int]]) -> None:
    """Wrong forms of a healthcheck, times that are none, and a wait for nothing."""
    assert codes(f"services: [{{name: a, image: b, {service}}}]\n{STEP}") == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("{a: {}, b: {environment: {V: {from_output: a.v}}}}", []),
        ("{b: {environment: {V: {from_output: a.v}}}, a: {}}", [("bad-output", 2, 44)]),
        ("{a: {environment: {V: {from_output: a.v}}}}", [("bad-output", 2, 44)]),
        ("{build: {}, b: {environment: {V: {from_output: biuld.v}}}}", [("unknown-output", 2, 55)]),
        ("{a: {}, b: {environment: {V: {from_output: a}}}}", [("bad-output", 2, 51)]),
        ("{a: {}, b: {environment: {1V: {from_output: a.v}}}}", [("bad-variable-name", 2, 34)]),
        ("{a: {}, b: {secrets: v, environment: {V: {from_output: a.v}}}}", [("duplicate-variable", 2, 46)]),
        ("{a: {}, b: {environment: {V: {from_outpu: a.v}}}}", [("unknown-key", 2, 38)]),
        ("{a: {}, b: {depends_on: a}, c: {depends_on: b, environment: {V: {from_output: a.v}}}}", []),
        ("{a: {}, b: {depends_on: [], environment: {V: {from_output: a.v}}}}", [("bad-output", 2, 67)]),
    ],
)
def test_outputs_are_read_after_they_are_written(steps: str, expected: list[tuple[str, int, int]]) -> None:
    """A step reads what those before it wrote, in its own environment."""
    assert codes(f"image: b\nsteps: {steps}") == expected


def test_reports_are_in_the_workspace() -> None:
    """They are patterns, as artifacts are."""
    assert codes("steps: [{name: a, image: b, report: [/x, '../y', '[', ok.xml]}]") == [
        ("bad-artifact", 1, 38),
        ("bad-artifact", 1, 42),
        ("bad-artifact", 1, 50),
    ]


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ("[node_modules, /root/.npm]", []),
        ("{paths: a, key: 'x-{{ checksum b }}', fallback: x-}", []),
        ("{path: a}", [("missing-key", 1, 36), ("unknown-key", 1, 37)]),
        (
            "[., ../x, /proc, ~/.npm, .git/x]",
            [
                ("bad-cache", 1, 37),
                ("bad-cache", 1, 40),
                ("bad-cache", 1, 46),
                ("bad-cache", 1, 53),
                ("bad-cache", 1, 61),
            ],
        ),
        ("{paths: a, key: 'x-{{ checksum', fallback: '{{ y }}'}", [("bad-cache", 1, 52), ("bad-cache", 1, 79)]),
        ("{paths: a, key: '${NAME}'}", [("undefined-variable", 1, 53)]),
        ("[{paths: a}, b]", [("wrong-type", 1, 49)]),
    ],
)
def test_caches(cache: str, expected: list[tuple[str, int, int]]) -> None:
    """Paths that may be kept, and templates of keys."""
    assert codes(f"steps: [{{name: a, image: b, cache: {cache}}}]") == expected


def test_outputs_are_for_steps() -> None:
    """Neither services nor the document can have any: they begin before all steps."""
    text = "environment: {V: {from_output: a.v}}\nimage: b\nsteps: {a: {}}\n"
    text += "services: {s: {image: b, environment: {V: {from_output: a.v}}}}"
    assert codes(text) == [("bad-output", 1, 32), ("bad-output", 4, 57)]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("build: .", []),
        ("build: {context: a, args: {A: 1}, tags: x}", []),
        ("build: ., image: b", [("build-and-commands", 1, 36)]),
        ("build: ., commands: [make]", [("build-and-commands", 1, 40)]),
        ("build: {push: true}", [("not-supported", 1, 27)]),
        ("build: {file: D}", [("unknown-key", 1, 27)]),
        ("build: /etc", [("bad-path", 1, 26)]),
        ("build: {dockerfile: ../D}", [("bad-path", 1, 39)]),
        ("build: {args: {1A: x}, tags: [UP]}", [("bad-variable-name", 1, 34), ("bad-image", 1, 49)]),
        ("build: [a]", [("wrong-type", 1, 26)]),
    ],
)
def test_builds(step: str, expected: list[tuple[str, int, int]]) -> None:
    """Paths in the workspace, names of images, and nothing that only a container has."""
    assert codes(f"steps: [{{name: a, {step}}}]") == expected


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("{A: {from_output: plan/list.x}, B: [1]}", []),
        ("{from_output: plan/list.x, A: [1], exclude: [{B: 2}]}", []),
        ("{A: {from_output: list.x}}", ["unknown-output"]),
        ("{A: {from_output: plan/list}}", ["bad-output"]),
        ("{A: {from_output: paln/list.x}}", ["unknown-output"]),
        ("{A: {from_output: plan/lits.x}}", ["unknown-output"]),
        ("{A: {from_output: cells/one.x}}", ["bad-output"]),
        ("{A: {from_output: later/one.x}}", ["bad-output"]),
        ("{A: {from_outputs: plan/list.x}}", ["wrong-type", "empty-matrix"]),
        ("{1A: {from_output: plan/list.x}}", ["bad-variable-name"]),
    ],
)
def test_a_matrix_of_outputs(matrix: str, expected: list[str]) -> None:
    """It is written by a step of a stage that is over by then and runs once; its variables may be used meanwhile."""
    text = f"""
name: plan
steps: [{{name: list, image: b}}]
---
name: cells
matrix: {{N: [1, 2]}}
steps: [{{name: one, image: b}}]
---
name: later
steps: [{{name: one, image: b}}]
---
name: use
depends_on: [plan, cells]
matrix: {matrix}
steps: [{{name: s, image: b, environment: {{X: "x"}}}}]
"""
    assert sorted(code for code, _, _ in codes(text)) == sorted(expected)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("plan/list.x", []),
        ("plan/list", ["bad-output"]),
        ("paln/list.x", ["unknown-output"]),
        ("plan/lits.x", ["unknown-output"]),
        ("cells/one.x", ["bad-output"]),
        ("later/one.x", ["bad-output"]),
    ],
)
def test_outputs_of_other_stages(output: str, expected: list[str]) -> None:
    """A step reads those of a stage that its own waits for and that runs once."""
    text = f"""
name: plan
steps: [{{name: list, image: b}}]
---
name: cells
matrix: {{N: [1, 2]}}
steps: [{{name: one, image: b}}]
---
name: later
steps: [{{name: one, image: b}}]
---
name: use
depends_on: [plan, cells]
steps: [{{name: s, image: b, environment: {{V: {{from_output: {output}}}}}}}]
"""
    assert [code for code, _, _ in codes(text)] == expected


def test_variables_of_outputs() -> None:
    """Of an axis, that name and no other; of a whole matrix, any."""
    head = "name: plan\nsteps: [{name: list, image: b}]\n---\nname: use\ndepends_on: plan\n"
    steps = "steps: [{name: s, image: 'b:${A}', memory: '${A}m', when: {matrix: {A: x}}}, {name: t, image: '${B}'}]\n"
    assert codes(head + "matrix: {A: {from_output: plan/list.x}}\n" + steps) == [("undefined-variable", 7, 96)]
    assert codes(head + "matrix: {from_output: plan/list.x}\n" + steps) == []
