"""Which pipeline a project has, and what is read of it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from ci.cli.files import find_file, load_file, present, project
from ci.errors import CiError

if TYPE_CHECKING:
    from pathlib import Path

STEP = "steps: [{name: a, image: b}]\n"


def test_the_names_of_all_dialects(tmp_path: Path) -> None:
    """Each system's name is found, ours first."""
    assert present(tmp_path) == ""
    for name in (".drone.yml", ".woodpecker.yaml", ".woodpecker", ".ci.yml"):
        (tmp_path / name).mkdir() if name == ".woodpecker" else (tmp_path / name).touch()
        assert present(tmp_path) == name


def test_from_a_folder_below(tmp_path: Path) -> None:
    """It is looked for above, as far as the work tree goes; a given name is taken."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".drone.yml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_file(None, below) == "../../.drone.yml"
    assert find_file("x.yml", below) == "x.yml"


def test_the_project_of_a_file(tmp_path: Path) -> None:
    """A file of a folder `.woodpecker`, and that folder, are about what is above it."""
    assert project(str(tmp_path / ".drone.yml")) == tmp_path
    assert project(str(tmp_path / ".woodpecker")) == tmp_path
    assert project(str(tmp_path / ".woodpecker" / "test.yml")) == tmp_path


def test_a_folder(tmp_path: Path) -> None:
    """Files that are no YAML by their names are not read; another folder is no pipeline."""
    folder = tmp_path / ".woodpecker"
    folder.mkdir()
    for name in ("b.yml", "a.yaml", "README.md"):
        (folder / name).write_text(STEP)
    assert [document.title for document in load_file(str(folder)).require()] == ["a", "b"]
    with pytest.raises(CiError, match="is a directory") as error:
        load_file(str(tmp_path))
    assert "/.woodpecker'?" in error.value.hint
