"""Templates: their steps in the place of an include, and every mistake where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.diagnostics import render
from ci.pipeline.event import Event
from ci.pipeline.includes import LibraryError
from tests.processor_time import at_most

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.loading import Loaded
    from ci.pipeline.spec import StageSpec


class Files:
    """Templates by path, those of a reference as `ref:path`."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def read(self, path: str, ref: str) -> bytes:
        """As in Library."""
        name = f"{ref}:{path}" if ref else path
        if name not in self.files:
            raise LibraryError(f'there is no file "{name}"')
        return self.files[name].encode("utf-8", "surrogatepass")


def load(text: str, **files: str) -> Loaded:
    """A file beside templates `name.yml`."""
    return ci.pipeline.load(text, ".ci.yml", Files({f"{name}.yml": content for name, content in files.items()}))


def stage(text: str, **files: str) -> StageSpec:
    """Its one Stage."""
    (compiled,) = compile_all(load(text, **files).require(), Event(branch="main"))
    return compiled


def found(text: str, **files: str) -> list[tuple[str, str, int, int]]:
    """The diagnostics: code, file, line, column."""
    return [(one.code, one.filename, one.position.line, one.position.column) for one in load(text, **files).diagnostics]


def test_steps_services_and_volumes() -> None:
    """Steps come in the place of the include, services and volumes behind the document's own."""
    it = stage(
        "image: b\nservices: [{name: cache, image: c}]\nvolumes: [v]\n"
        "steps: [{name: first, commands: [a]}, {include: t.yml}, {name: last, commands: [z]}]",
        t="services: [{name: db, image: d}]\nvolumes: [v, w]\n"
        "steps: [{name: one, commands: [b]}, {name: two, commands: [c]}]",
    )
    assert [step.name for step in it.steps] == ["first", "one", "two", "last"]
    assert [step.depends_on for step in it.steps] == [(), ("first",), ("one",), ("two",)]
    assert ([service.name for service in it.services], it.volumes) == (["cache", "db"], ("v", "w"))
    assert [step.line for step in it.steps] == [4, 4, 4, 4]


def test_parameters() -> None:
    """In values and names, as variables of commands, as whole lists; what is no parameter is left alone."""
    it = stage(
        "matrix: {V: ['1']}\nsteps: [{include: t.yml, with: {PACKAGE: core, NEEDS: [], LEVEL: 3}}]",
        t="parameters: {PACKAGE: , NEEDS: [x], LEVEL: 1, MODE: fast}\n"
        "steps:\n- name: test-${PACKAGE}\n  image: go:${V}\n  depends_on: ${NEEDS}\n  retries: ${LEVEL}\n"
        "  commands: ['echo ${PACKAGE} $${x}']\n"
        "  environment: {MODE: own, AT: '${CI_COMMIT_BRANCH}-${PACKAGE}-$${PACKAGE}'}\n",
    )
    (step,) = it.steps
    assert (step.name, step.image, step.depends_on, step.retries) == ("test-core", "go:1", (), 3)
    assert step.commands == ("echo ${PACKAGE} $${x}",)
    names = ("PACKAGE", "LEVEL", "MODE", "AT")
    assert [step.environment[name] for name in names] == ["core", "3", "own", "main-core-${PACKAGE}"]


def test_an_environment_that_is_a_list() -> None:
    """Parameters come before its own entries, but for those that it sets."""
    it = stage(
        "steps: [{include: t.yml}]",
        t="parameters: {A: x, B: y}\nsteps: [{name: a, image: b, environment: [B=own]}]",
    )
    assert (it.steps[0].environment["A"], it.steps[0].environment["B"]) == ("x", "own")


def test_templates_include_others() -> None:
    """With parameters handed on, and from the same reference."""
    files = {
        "v1:a.yml": "parameters: {N: }\nsteps: [{include: b.yml, with: {M: '${N}!'}}]",
        "v1:b.yml": "parameters: {M: }\nsteps: [{name: s, image: i, environment: {X: '${M}'}}]",
        "b.yml": "steps: [{name: wrong, image: i}]",
    }
    loaded = ci.pipeline.load("steps: [{include: a.yml, ref: v1, with: {N: hi}}]", ".ci.yml", Files(files))
    (compiled,) = compile_all(loaded.require(), Event())
    assert [(step.name, step.environment["X"]) for step in compiled.steps] == [("s", "hi!")]


STEP = "steps: [{name: a, image: b}]"
ONE = "steps:\n- {include: t.yml}"
HERE, THERE = ".ci.yml", "t.yml"
MISTAKES: list[tuple[str, dict[str, str], list[tuple[str, str, int, int]]]] = [
    ("steps: [{include: t.yml}]", {}, [("bad-include", HERE, 1, 10), ("empty-value", HERE, 1, 8)]),
    (
        "steps: [{include: t.yml}, {name: a}]",
        {"t": "a: ["},
        [("missing-image", HERE, 1, 34), ("yaml-syntax", THERE, 1, 4)],
    ),
    (ONE, {"t": "steps:\n- {name: a, imagee: b, image: c}"}, [("unknown-key", THERE, 2, 13)]),
    (ONE, {"t": "steps:\n- {name: a, image: B}"}, [("bad-image", THERE, 2, 20)]),
    (ONE, {"t": f"stepz: []\n{STEP}"}, [("unknown-key", THERE, 1, 1)]),
    ("steps:\n- {include: t.yml, whith: {}}", {"t": STEP}, [("unknown-key", HERE, 2, 20)]),
    ("steps:\n- {include: t.yml, with: {A: 1}}", {"t": STEP}, [("unknown-parameter", HERE, 2, 27)]),
    (ONE, {"t": f"parameters: {{A: }}\n{STEP}"}, [("missing-parameter", HERE, 2, 4)]),
    (
        ONE,
        {"t": f"parameters: {{A-b: 1}}\n{STEP}"},
        [("bad-variable-name", THERE, 1, 14), ("bad-variable-name", THERE, 1, 19)],
    ),
    (ONE, {"t": "parameters: {A: [1]}\nsteps: [{name: a, image: 'b${A}'}]"}, [("wrong-type", THERE, 2, 26)]),
    (ONE, {"t": "- a"}, [("bad-include", HERE, 2, 4), ("empty-value", HERE, 2, 1)]),
    (f"{ONE}\n- {{include: t.yml}}", {"t": STEP}, [("duplicate-name", THERE, 1, 16)]),
    (
        f"{ONE}\nservices: {{x: {{image: y}}}}",
        {"t": f"services: [{{name: x, image: b}}]\n{STEP}"},
        [("bad-include", HERE, 3, 1)],
    ),
    ("steps:\n- include: [t.yml]", {}, [("empty-value", HERE, 2, 1), ("wrong-type", HERE, 2, 12)]),
]


@pytest.mark.parametrize(("text", "files", "expected"), MISTAKES)
def test_mistakes(text: str, files: dict[str, str], expected: list[tuple[str, str, int, int]]) -> None:
    """Each is where it has to be corrected: in the file, or in the template."""
    assert sorted(found(text, **files)) == sorted(expected)


def test_a_mistake_in_a_template_names_who_includes_it() -> None:
    """The line of the template is shown, and that of the include told."""
    shown = render(load("steps:\n- include: t.yml", t="steps:\n- {name: a, image: B}").diagnostics)
    assert "t.yml:2:20" in shown
    assert "- {name: a, image: B}" in shown
    assert "included in .ci.yml:2" in shown


def test_cycles_and_depth() -> None:
    """Templates that include each other, or too many, are said at the include that goes too far."""
    for other in ("a", "b"):
        it = found("steps: [{include: a.yml}]", a=f"steps: [{{include: {other}.yml}}]", b="steps: [{include: a.yml}]")
        assert ("include-cycle", "b.yml" if other == "b" else "a.yml", 1, 10) in it
    chain = {f"t{n}": f"steps: [{{include: t{n + 1}.yml}}]" for n in range(20)}
    assert "too-deep" in [one[0] for one in found("steps: [{include: t0.yml}]", **chain)]


PATHS = ["/etc/x.yml", "../x.yml", "a/../../x.yml", "a\\b.yml", "C:/x.yml", "a\0.yml", "x.txt", ".yml/..", "a\nb.yml"]


@pytest.mark.parametrize("path", [*PATHS, "x" * 600 + ".yml", "http://x/y.yml"])
def test_hostile_paths(path: str) -> None:
    """What is more than a path below the project is refused before anybody looks for it."""
    written = "".join(f"\\u{ord(one):04x}" for one in path)
    codes = {one[0] for one in found(f'steps: [{{include: "{written}"}}]')}
    assert codes & {"bad-include", "bad-character"}


REFERENCES = ["-x", "--upload-pack=x", "a..b", "@{1}", "HEAD~1", "a^{tree}", ":/x", "a b", "a.lock", "x/", "a//b", "é"]


@pytest.mark.parametrize("ref", [*REFERENCES, "x" * 300])
def test_hostile_references(ref: str) -> None:
    """What git would read as more than a name is refused."""
    assert "bad-include" in [one[0] for one in found(f'steps: [{{include: a.yml, ref: "{ref}"}}]', a="steps: []")]


def test_bombs_are_quick() -> None:
    """Parameters that grow, files that are large, many includes: one clear error, at once."""
    many = "steps:\n" + "- {name: a, image: b, commands: ${X}}\n" * 2000
    big = "[" + ",".join(["x"] * 2000) + "]"
    wide = {"t": f"parameters: {{X: {big}}}\n{many}"}
    forty = ", ".join(["'${X}'"] * 40)
    nested = {
        f"t{n}": f"parameters: {{X: []}}\nsteps: [{{include: t{n + 1}.yml, with: {{X: [{forty}]}}}}]" for n in range(7)
    }
    nested["t7"] = "parameters: {X: }\nsteps: [{name: a, image: b, commands: '${X}'}]"
    same = {"t": "steps:\n" + "- {include: u.yml}\n" * 90, "u": "#" * 100_000 + "\nsteps: [{name: a, image: b}]"}
    for text, files in (("t.yml", wide), ("t0.yml", nested), ("t.yml", same)):
        with at_most(3):
            loaded = load(f"steps: [{{include: {text}}}]", **files)
            render(loaded.diagnostics)
        assert not loaded.ok


@given(
    st.text(alphabet="include: t.yml\n-{}[]${A}stepparmw", max_size=60),
    st.text(alphabet="steps: []{}&*a\n-${}", max_size=60),
)
def test_any_input(text: str, template: str) -> None:
    """Nothing raises."""
    render(load("steps:\n- include: t.yml\n" + text, t="parameters: {A: 1}\nsteps:\n" + template).diagnostics)


def test_without_a_library() -> None:
    """A file that comes from nowhere has no templates, which is said."""
    assert [one.code for one in ci.pipeline.check("steps: [{include: a.yml}, {name: a, image: b}]")] == ["bad-include"]
