"""What lint finds: every code once, at its place; and what is right is left alone."""

from __future__ import annotations

import textwrap

import pytest

import ci.pipeline

STEP = "steps: [{name: a, image: b}]"


def codes(text: str) -> list[tuple[str, int, int]]:
    """Codes and places of what is wrong."""
    found = ci.pipeline.check(textwrap.dedent(text).lstrip("\n"))
    return [(one.code, one.position.line, one.position.column) for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Keys and shapes
        ("step: 1", [("unknown-key", 1, 1), ("missing-key", 1, 1)]),
        ("steps: 1", [("wrong-type", 1, 8)]),
        ("steps: []", [("empty-value", 1, 8)]),
        ("steps:", [("empty-value", 1, 1)]),
        ("steps: [a]", [("wrong-type", 1, 9)]),
        ("steps: {a: b}", [("wrong-type", 1, 12)]),
        ("steps: [{image: b}]", [("missing-name", 1, 9)]),
        ("steps: [{a: {image: b}}]", [("missing-name", 1, 10)]),
        ("steps: {a: {name: b, image: c}}", [("duplicate-key", 1, 13)]),
        ("steps: [{name: a, image: }]", [("empty-value", 1, 19), ("missing-image", 1, 16)][::-1]),
        ("steps: [{name: a, image: [b]}]", [("missing-image", 1, 16), ("wrong-type", 1, 26)]),
        ("steps: [{name: a, image: b, privileged: yes}]", [("wrong-type", 1, 41)]),
        ("steps: [{name: a, image: b, failure: ignored}]", [("bad-value", 1, 38)]),
        ("steps: [{name: a, image: b, directory: c, working_dir: d}]", [("duplicate-key", 1, 29)]),
        ("steps: [{name: a, image: b, ports: [1]}]", [("unknown-key", 1, 29)]),
        ("services: [{name: s, image: b, depends_on: c}]\n" + STEP, [("unknown-key", 1, 32)]),
        # Commands
        ("steps: [{name: a, image: b, commands: []}]", [("empty-commands", 1, 29)]),
        ("steps: [{name: a, image: b, commands: ['', c]}]", [("empty-commands", 1, 40)]),
        ("steps: [{name: a, image: b, commands: [c, ~]}]", [("empty-value", 1, 43)]),
        ("steps: [{name: a, image: b, commands: [{c: d}]}]", [("wrong-type", 1, 40)]),
        ("steps: [{name: a, image: b, commands: [c], entrypoint: [d]}]", [("entrypoint-and-commands", 1, 57)]),
        # Images and names
        (STEP.replace("b", "B"), [("bad-image", 1, 26)]),
        ("services: [{name: s}]\nimage: b\nsteps: [{name: a}]", [("missing-image", 1, 19)]),
        ("steps: [{name: a, image: b}, {name: a, image: b}]", [("duplicate-name", 1, 37)]),
        ("steps: [{name: a, image: b}]\nservices: [{name: a, image: b}]", [("duplicate-name", 2, 19)]),
        ("steps: [{name: 'a b', image: b}]", [("bad-name", 1, 16)]),
        ("steps: [{name: '', image: b}]", [("missing-name", 1, 16)]),
        ("steps: {'': {image: b}}", [("missing-name", 1, 9)]),
        (f"services: [{{name: A, image: b}}]\n{STEP}", [("bad-name", 1, 19)]),
        (f"name: a/b\n{STEP}", [("bad-name", 1, 7)]),
        # Dependencies
        ("steps: [{name: a, image: b, depends_on: a}]", [("dependency-cycle", 1, 41)]),
        (
            "image: b\nsteps: [{name: a, depends_on: [c]}, {name: c, depends_on: [a]}]",
            [("dependency-cycle", 2, 32)],
        ),
        ("steps: [{name: a, image: b, depends_on: [c]}]", [("unknown-dependency", 1, 42)]),
        (f"services: [{{name: s, image: b}}]\n{STEP[:-2]}, depends_on: s}}]", [("unknown-dependency", 2, 41)]),
        # Values
        (f"timeout: x\n{STEP}", [("bad-duration", 1, 10)]),
        (f"{STEP[:-2]}, timeout: 0}}]", [("bad-duration", 1, 38)]),
        (f"{STEP[:-2]}, memory: 12}}]", [("bad-size", 1, 37)]),
        (f"{STEP[:-2]}, cpus: '0'}}]", [("bad-cpus", 1, 35)]),
        (f"{STEP[:-2]}, user: 'a b'}}]", [("bad-user", 1, 35)]),
        (f"{STEP[:-2]}, shell: tclsh}}]", [("bad-shell", 1, 36)]),
        (f"{STEP[:-2]}, directory: ../x}}]", [("bad-path", 1, 40)]),
        (f"workspace: x\n{STEP}", [("bad-path", 1, 12)]),
        (f"workspace: /\n{STEP}", [("bad-path", 1, 12)]),
        (f"services: [{{name: s, image: b, ports: ['80:80']}}]\n{STEP}", [("bad-port", 1, 40)]),
        (f"labels: {{a b: c, d: 'e f'}}\n{STEP}", [("bad-label", 1, 10), ("bad-label", 1, 21)]),
        # Environment and secrets
        (f"environment: {{1: x}}\n{STEP}", [("bad-variable-name", 1, 15)]),
        (f"environment: {{A: [x]}}\n{STEP}", [("wrong-type", 1, 18)]),
        (f"environment: [A=1, B]\n{STEP}", [("wrong-type", 1, 20)]),
        (f"environment: [A=1, A=2]\n{STEP}", [("duplicate-variable", 1, 20)]),
        (f"environment: {{CI_COMMIT_SHA: x}}\n{STEP}", [("reserved-variable", 1, 15)]),
        (f"environment: {{A: {{from_sekret: x}}}}\n{STEP}", [("unknown-key", 1, 19)]),
        (f"environment: {{A: {{from_secret: '$x'}}}}\n{STEP}", [("bad-secret-name", 1, 32)]),
        (
            f"secrets: [a b, {{source: c, target: 1}}, {{target: x}}]\n{STEP}",
            [("bad-secret-name", 1, 11), ("bad-variable-name", 1, 36), ("missing-key", 1, 40)],
        ),
        (f"secrets: [a]\nenvironment: {{A: x}}\n{STEP}", [("duplicate-variable", 1, 11)]),
        # Volumes
        (f"{STEP[:-2]}, volumes: ['x:/y']}}]", [("unknown-volume", 1, 40)]),
        (f"volumes: [x, x]\n{STEP}", [("duplicate-name", 1, 14)]),
        (
            f"volumes: [x]\n{STEP[:-2]}, volumes: ['x:y', 'x:/../y', 'x:/', 'x:/proc/1']}}]",
            [("bad-volume", 2, column) for column in (42, 49, 60, 67)],
        ),
        (
            f"volumes: [x]\n{STEP[:-2]}, volumes: ['x', 'x:/a:zz', ':/a', 'x:/a', 'x:/a/']}}]",
            [("bad-volume", 2, column) for column in (39, 44, 55, 73)],
        ),
        (f"volumes: [x]\n{STEP[:-2]}, volumes: [x:/hako/src]}}]", [("hides-workspace", 2, 41)]),
        (
            f"{STEP[:-2]}, volumes: [/h:/h, ./c:/c]}}]",
            [("needs-trust", 1, 39), ("bad-volume", 1, 46), ("needs-trust", 1, 46)],
        ),
        (
            f"{STEP[:-2]}, volumes: [{{name: x, host: /h, target: /t}}, {{host: /h}}]}}]",
            [("bad-volume", 1, 39), ("missing-key", 1, 72)],
        ),
        (f"{STEP[:-2]}, privileged: true}}]", [("needs-trust", 1, 41)]),
        # Matrix
        (f"matrix: [1]\n{STEP}", [("wrong-type", 1, 9)]),
        (f"matrix: {{A: []}}\n{STEP}", [("empty-matrix", 1, 10)]),
        (f"matrix: {{A: [1], exclude: [{{A: 1}}]}}\n{STEP}", [("empty-matrix", 1, 1)]),
        (f"matrix: {{a-b: [1]}}\n{STEP}", [("bad-variable-name", 1, 10)]),
        (f"matrix: {{CI: [1]}}\n{STEP}", [("reserved-variable", 1, 10)]),
        (f"matrix: {{A: [1, 2, 1]}}\n{STEP}", [("repeated-value", 1, 20)]),
        (
            f"matrix: {{A: [1], exclude: [{{B: 1}}, {{A: 2}}]}}\n{STEP}",
            [("undefined-variable", 1, 29), ("excludes-nothing", 1, 40)],
        ),
        (f"matrix: {{A: [{', '.join(map(str, range(501)))}]}}\n{STEP}", [("matrix-too-large", 1, 1)]),
        # Substitution
        ("steps: [{name: a, image: 'b:${A}'}]", [("undefined-variable", 1, 29)]),
        ("steps: [{name: a, image: 'b:${CI_COMIT_SHA}'}]", [("undefined-variable", 1, 29)]),
        ("matrix: {include: [{A: 1}, {B: 1}]}\nsteps: [{name: a, image: 'b:${A}'}]", [("undefined-variable", 2, 29)]),
        ("steps: [{name: a, image: 'b:${A:-x}'}]", [("bad-substitution", 1, 29)]),
        ("matrix: {A: [1, x]}\nsteps: [{name: a, image: b, timeout: '${A}m'}]", [("bad-duration", 2, 38)]),
        # Conditions
        (f"when: push\n{STEP}", [("wrong-type", 1, 7)]),
        (f"when: []\n{STEP}", [("empty-value", 1, 7)]),
        (f"when: {{event: psuh}}\n{STEP}", [("bad-condition", 1, 15)]),
        (f"when: {{event: 'pu*', status: ok}}\n{STEP}", [("bad-condition", 1, 15), ("bad-condition", 1, 30)]),
        (f"when: {{branch: '[a', path: {{include: '{{a'}}}}\n{STEP}", [("bad-pattern", 1, 16), ("bad-pattern", 1, 38)]),
        (f"when: {{branches: a}}\n{STEP}", [("unknown-key", 1, 8)]),
        (f"when: {{branch: {{}}, tag: []}}\n{STEP}", [("empty-value", 1, 16), ("empty-value", 1, 25)]),
        (f"when: {{matrix: {{A: 1}}}}\n{STEP}", [("undefined-variable", 1, 17)]),
        (f"services: [{{name: s, image: b, when: {{status: failure}}}}]\n{STEP}", [("bad-condition", 1, 39)]),
        # Documents
        (f"{STEP}\n---\n{STEP}", [("missing-name", 1, 1), ("missing-name", 3, 1)]),
        (f"name: a\n{STEP}\n---\nname: a\n{STEP}", [("duplicate-name", 4, 7)]),
        (f"name: a\ndepends_on: b\n{STEP}", [("unknown-dependency", 2, 13)]),
        (
            f"name: a\ndepends_on: b\n{STEP}\n---\nname: b\ndepends_on: [a]\n{STEP}",
            [("dependency-cycle", 2, 13)],
        ),
        (f"name: a\n{STEP}\n---\n- x", [("not-a-mapping", 4, 1)]),
    ],
)
def test_mistakes(text: str, expected: list[tuple[str, int, int]]) -> None:
    """Each mistake has one code and one place, and no other is made of it."""
    assert codes(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("steps: [{name: a, image: b, script: [c]}]", '"commands"'),
        ("steps: [{name: a, image: b, on: push}]", '"when"'),
        ("pipeline: [{name: a, image: b}]", '"steps"'),
        ("steps: [{name: a, image: b, needs: c}]", '"depends_on"'),
        ("steps: [{name: a, image: b, comands: c}]", '"commands"'),
        ("steps: [{name: a, image: b, when: {evnet: push}}]", '"event"'),
        ("steps: [{name: a, image: b, when: {event: pull-request}}]", '"pull_request"'),
        ("steps: [{name: a, image: b, commands: [echo a: b]}]", "quote the command"),
        ("steps: [{name: a, image: b, privileged: yes}]", "write true"),
        ("steps: [{name: a, image: Debian}]", '"debian"'),
        ("volumes: [cache]\nsteps: [{name: a, image: b, volumes: [cahce:/c]}]", '"cache"'),
        ("steps: [{name: a, image: b, environment: {A: '${HOME}'}}]", '"$${HOME}"'),
    ],
)
def test_hints(text: str, hint: str) -> None:
    """The hint names what was meant."""
    assert any(hint in one.hint for one in ci.pipeline.check(text)), ci.pipeline.check(text)


def test_all_at_once() -> None:
    """Mistakes of every kind are found in one go, in the file's order."""
    found = codes(
        """
        nme: x
        timeout: soon
        steps:
          - name: a
            image: b
            timeout: never
            when: {event: psuh}
          - name: a
            depends_on: [c]
            volumes: [v:/v]
        """
    )
    assert [code for code, _, _ in found] == [
        "unknown-key",
        "bad-duration",
        "bad-duration",
        "bad-condition",
        "missing-image",
        "duplicate-name",
        "unknown-dependency",
        "unknown-volume",
    ]
    assert found == sorted(found, key=lambda one: one[1:])


def test_a_long_way_is_cut() -> None:
    """Of a cycle of a hundred the beginning and the end are shown."""
    steps = ", ".join(f"{{name: s{n}, depends_on: s{(n + 1) % 100}}}" for n in range(100))
    (found,) = ci.pipeline.check(f"image: b\nsteps: [{steps}]")
    assert found.message.startswith("these wait for each other: s0 → s1 →")
    assert found.message.endswith("… → s0")


def test_what_is_right() -> None:
    """Every form that is allowed, without a word."""
    assert (
        codes(
            """
        x-anchors: &go {image: golang:1.22, environment: {GOFLAGS: -v}}
        variables: [&cmd make test, 1]
        name: everything
        image: registry.example.org:5000/team/app:1.0
        timeout: 1h
        workspace: /src
        volumes: cache
        labels: {arch: amd64, zone: eu-1}
        depends_on: []
        when:
          - event: [push, pull_request]
            branch: {include: [main, "release/**"], exclude: release/old}
            path: ["src/**", "*.md"]
          - {event: tag, tag: "v*", ref: "refs/tags/*", repo: team/*, platform: linux/*, instance: "*", cron: x}
        environment: [A=1, B=x=y]
        secrets: token
        matrix:
          GO: [1.20, "1.21"]
          DB: pg
          include: [{GO: "1.22", DB: my}]
          exclude: [{GO: 1.20, DB: pg}]
        steps:
          build: {<<: *go, commands: [*cmd, "echo ${X:-y} $$"], shell: bash, timeout: "${GO}m"}
          test:
            commands: |
              first line
              second line
            depends_on: build
            failure: fail
            privileged: false
            environment: {EMPTY: , N: 1, B: true, URL: "http://${DB}:${GO}/$$x?$y"}
            secrets: [a, {source: b, target: C}]
            user: 1000:1000
            directory: sub
            memory: 512m
            cpus: 1.5
            volumes: [cache:/c, "cache:/d:ro", {name: cache, target: /e, read_only: true}]
            when: {matrix: {GO: "1.2*", DB: {exclude: my}}, status: [success, failure]}
        services:
          pg: {image: "postgres:${GO}", ports: [5432], environment: {P: {from_secret: pw}}, when: {event: push}}
        """
        )
        == []
    )
