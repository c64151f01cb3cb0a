"""A pipeline of several files: names across files, and mistakes in the file that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event
from ci.pipeline.folder import load_folder

if TYPE_CHECKING:
    from ci.pipeline.loading import Loaded

STEP = "steps: [{name: a, image: b}]\n"


def load(**files: str) -> Loaded:
    """A folder of these files."""
    named = [(f".woodpecker/{name}.yml", text.encode()) for name, text in files.items()]
    return load_folder(named, ".woodpecker")


def found(loaded: Loaded) -> list[tuple[str, str, int]]:
    """Where there is what."""
    return [(one.code, one.filename, one.position.column) for one in loaded.diagnostics]


def test_files_are_stages() -> None:
    """Each file is a Stage that is called as the file is, and waits for those that it names."""
    loaded = load(build=STEP, test=STEP + "depends_on: build", deploy=STEP + "depends_on: [test]\nwhen: {event: tag}")
    assert loaded.ok
    stages = compile_all(loaded.require(), Event(branch="main"))
    assert [(stage.name, stage.number, stage.depends_on) for stage in stages] == [
        ("build", 1, ()),
        ("test", 2, ("build",)),
    ]


def test_names_across_files() -> None:
    """A name that no file has is shown where it is written."""
    assert found(load(build=STEP, test=STEP + "depends_on: biuld")) == [
        ("unknown-dependency", ".woodpecker/test.yml", 13)
    ]
    assert found(load(build=STEP + "depends_on: build")) == [("dependency-cycle", ".woodpecker/build.yml", 13)]


def test_a_cycle_of_files() -> None:
    """It is shown once, in the first file of it."""
    loaded = load(a=STEP + "depends_on: [b]", b=STEP + "depends_on: c", c=STEP + "depends_on: a", d=STEP)
    assert found(loaded) == [("dependency-cycle", ".woodpecker/a.yml", 14)]
    assert "a → b → c → a" in loaded.diagnostics[0].message


def test_mistakes_of_all_files() -> None:
    """Every file's mistakes are there, with its name; a folder without files is one."""
    assert found(load(a="steps: [{name: x}]", b="\0")) == [
        ("missing-image", ".woodpecker/a.yml", 16),
        ("bad-character", ".woodpecker/b.yml", 1),
    ]
    assert found(load()) == [("empty-file", ".woodpecker", 1)]
