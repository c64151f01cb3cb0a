"""`ci-run lint`: files in, mistakes and an exit code out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from ci.cli import lint
from ci.errors import CiError

GOOD = "steps: [{name: a, image: b, commands: [c]}]\n"
BAD = "steps: [{name: a, imag: b}]\n"
PROGRAM = """
import argparse, sys
from ci.cli import lint
parser = argparse.ArgumentParser()
lint.configure(parser)
sys.exit(lint.run(parser.parse_args()))
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    """The verb, in this process."""
    parser = ArgumentParser()
    lint.configure(parser)
    return lint.run(parser.parse_args(arguments))


def process(
    *arguments: str, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The verb, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, check=False, env={**os.environ, **(environment or {})}
    )


def test_fine(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name it is `.ci.yml`; a file without mistakes says what it holds."""
    Path(".ci.yml").write_text(GOOD)
    assert run() == 0
    assert capsys.readouterr() == (".ci.yml: no mistakes (1 document, 1 step)\n", "")


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    """Mistakes are shown with their lines, and the exit code is 2; other files are checked all the same."""
    Path("bad.yml").write_text(BAD)
    Path("good.yml").write_text(GOOD + "matrix: {A: [1, 1]}\n")
    assert run("bad.yml", "good.yml") == 2
    out, err = capsys.readouterr()
    assert out == (
        'bad.yml:1:16: error: the step "a" has no image [missing-image]\n'
        " 1 | steps: [{name: a, imag: b}]\n"
        "   |                ^\n"
        '   = write "image:", here or at the top for all steps\n'
        'bad.yml:1:19: error: unknown key "imag" in step "a" [unknown-key]\n'
        " 1 | steps: [{name: a, imag: b}]\n"
        "   |                   ^^^^\n"
        '   = did you mean "image"?\n'
        "bad.yml: 2 errors\n"
        'good.yml:2:17: warning: "1" is here twice; its cells run once [repeated-value]\n'
        " 2 | matrix: {A: [1, 1]}\n"
        "   |                 ^\n"
        "good.yml: 1 warning (1 document, 1 step)\n"
    )
    assert err == ""


def test_warnings_pass() -> None:
    """A warning does not change the exit code."""
    Path(".ci.yml").write_text(GOOD + "matrix: {A: [1, 1]}\n")
    assert run() == 0


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object, with every file and every mistake."""
    Path("bad.yml").write_text(BAD)
    Path("good.yml").write_text(GOOD)
    assert run("--json", "bad.yml", "good.yml", "missing.yml") == 2
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["ok"] is False
    assert [(file["file"], file["ok"]) for file in found["files"]] == [
        ("bad.yml", False),
        ("good.yml", True),
        ("missing.yml", False),
    ]
    assert [one["code"] for one in found["files"][0]["diagnostics"]] == ["missing-image", "unknown-key"]
    assert found["files"][2]["error"] == "there is no file 'missing.yml'"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (".ci.yml", "ci-run: there is no file '.ci.yml' (name a pipeline file, or go to the directory that has one)\n"),
        ("x.yml", "ci-run: there is no file 'x.yml'\n"),
        ("folder", "ci-run: 'folder' is a directory (did you mean 'folder/.ci.yml'?)\n"),
        ("empty", "ci-run: 'empty' is a directory (name a file)\n"),
        ("folder/.ci.yml/x", "ci-run: cannot read 'folder/.ci.yml/x': not a directory\n"),
        ("loop", "ci-run: cannot read 'loop': too many levels of symbolic links\n"),
        ("x" * 300, f"ci-run: cannot read '{'x' * 300}': file name too long\n"),
        ("a\0b", "ci-run: cannot read 'a\\x00b': embedded null byte\n"),
        ("a\x1b[31m", "ci-run: there is no file 'a\\x1b[31m'\n"),
    ],
)
def test_no_file(name: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read is one clear line."""
    Path("folder").mkdir()
    Path("empty").mkdir()
    Path("folder/.ci.yml").write_text(GOOD)
    Path("loop").symlink_to("loop")
    assert run(name) == 2
    assert capsys.readouterr() == ("", line)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_no_permission(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that may not be read is one clear line."""
    Path("x.yml").write_text(GOOD)
    Path("x.yml").chmod(0)
    assert run("x.yml") == 2
    assert capsys.readouterr().err == "ci-run: cannot read 'x.yml': permission denied\n"


def test_endless_file() -> None:
    """A device that never ends is read up to the limit."""
    result = process("/dev/zero")
    assert result.returncode == 2
    assert b"more than 1 MiB" in result.stdout


def test_standard_input() -> None:
    """`-` is standard input."""
    result = process("-", stdin=GOOD.encode())
    assert (result.returncode, result.stdout) == (0, b"<stdin>: no mistakes (1 document, 1 step)\n")


def test_plain_when_piped() -> None:
    """Without a terminal there are no colours."""
    assert b"\x1b" not in process("-", stdin=b"a: 1").stdout


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_poor_terminals(locale: str) -> None:
    """A terminal that cannot show a character gets another one, and no traceback."""
    text = "image: b\nsteps: [{name: 日本}, {name: a, depends_on: c}, {name: c, depends_on: a}]".encode()
    environment = {"LC_ALL": locale, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    result = process("-", stdin=text, environment=environment)
    assert result.returncode == 2
    assert result.stderr == b""
    assert b"dependency-cycle" in result.stdout


def test_fix(capsys: pytest.CaptureFixture[str]) -> None:
    """What is sure is corrected in its place, shown as a diff; the rest is told as ever."""
    file = Path(".ci.yml")
    file.write_text("# mine\nsteps: [{name: a, imag: b, x: y}]  # here\n")
    file.chmod(0o640)
    assert run("--check", ".ci.yml") == 2
    assert "imag: b" in file.read_text()
    checked = capsys.readouterr().out
    assert "-steps: [{name: a, imag: b, x: y}]  # here\n+steps: [{name: a, image: b, x: y}]  # here\n" in checked
    assert run("--fix", ".ci.yml") == 2
    assert file.read_text() == "# mine\nsteps: [{name: a, image: b, x: y}]  # here\n"
    assert file.stat().st_mode & 0o777 == 0o640
    shown = capsys.readouterr().out
    assert shown.startswith(checked)
    assert 'unknown key "x"' in shown
    file.write_text(GOOD)
    assert run("--fix", ".ci.yml") == run("--check", ".ci.yml") == 0
    assert "---" not in capsys.readouterr().out


def test_fix_of_a_template(capsys: pytest.CaptureFixture[str]) -> None:
    """A template of the project is corrected in its own file, once, however often it is included."""
    Path("ci").mkdir()
    file, template = Path(".ci.yml"), Path("ci/check.yml")
    file.write_text(
        "image: b\nsteps:\n- include: ci/check.yml\n  with: {N: a}\n- {include: ci/check.yml, with: {N: b}}\n"
    )
    template.write_text("# theirs\nparameters: {N: x}\nstpes:\n- {name: '${N}', comands: [x]} # c\n")
    assert run("--check", ".ci.yml") == 2
    assert run("--fix", ".ci.yml") == 0
    fixed = "# theirs\nparameters: {N: x}\nsteps:\n- {name: '${N}', commands: [x]} # c\n"
    assert template.read_text() == fixed
    assert file.read_text().startswith("image: b\nsteps:\n- include")
    assert capsys.readouterr().out.count("--- ci/check.yml") == 2


def test_fix_of_a_folder() -> None:
    """All its files are corrected."""
    folder = Path(".woodpecker")
    folder.mkdir()
    for name in ("a.yml", "b.yaml"):
        (folder / name).write_text("pipeline: {a: {image: b}}\n")
    assert run("--fix", str(folder)) == 0
    assert {path.read_text() for path in folder.iterdir()} == {"steps: {a: {image: b}}\n"}


@pytest.mark.parametrize("words", [("--fix", "-"), ("--fix", "--json", "x.yml"), ("--check", "none.yml")])
def test_what_cannot_be_fixed(words: tuple[str, ...]) -> None:
    """Standard input has no place to be written to, a diff is no JSON, and a file must be there."""
    with pytest.raises(CiError):
        run(*words)
