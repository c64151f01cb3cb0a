"""`ci-run convert`: a file in, one of ours out, and what a person has to look at beside it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from ci.cli import convert
from ci.errors import CiError

JOBS = "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: make}, {uses: x/y@v1}]}}\n"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    """The verb, in this process."""
    parser = ArgumentParser()
    convert.configure(parser)
    return convert.run(parser.parse_args(arguments))


def workflow(text: str, name: str = "ci.yml") -> str:
    """A workflow where GitHub looks for it."""
    path = Path(".github/workflows") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_workflow(capsys: pytest.CaptureFixture[str]) -> None:
    """The file is on standard output, the notes with their lines on the other; the only one needs no name."""
    name = workflow(JOBS)
    assert run(name) == run() == 0
    out, err = capsys.readouterr()
    assert out.startswith("name: a\nwhen:\n  event:")
    assert f"{name}:2: there is nothing in place of x/y@v1\n" in err


def test_a_file_of_drone(capsys: pytest.CaptureFixture[str]) -> None:
    """Files of the other systems are known by their names."""
    Path(".drone.yml").write_text("kind: pipeline\nsteps: [{name: a, image: b, commands: [c]}]\n")
    assert run() == 0
    assert "commands:\n      - c" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["a: [", "- a", "", "\x00"])
def test_what_is_no_workflow(text: str) -> None:
    """It is one clear line."""
    with pytest.raises(CiError):
        run(workflow(text))


def test_several_workflows() -> None:
    """One has to be named."""
    workflow(JOBS)
    workflow(JOBS, "b.yaml")
    with pytest.raises(CiError, match="several workflows"):
        run()
