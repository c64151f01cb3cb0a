"""Rules of the tree that no linter knows: sizes, names, words, the packages' lists."""

from __future__ import annotations

import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("sandbox", "ci", "runners", "web")
LINES = 500
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
# Put together here, so that this file does not hold what it looks for.
FORBIDDEN = (
    "/" + "work/",
    "/var/" + "tmp/hako",
    "index" + "-url =",
    "FIX" + "ME",
    "XX" + "X:",
    "<<<" + "<<<<",
    ">>>" + ">>>>",
)


def tracked(repository: Path) -> list[Path]:
    """Files that git knows, and those it would take; without git (an unpacked archive) everything beside the caches."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = {name for name in listed.stdout.decode().split("\0") if name}
    return sorted(path for name in names if (path := repository / name).is_file() and not path.is_symlink())


def modules(repository: Path) -> list[Path]:
    """Every Python file of the packages."""
    return [path for name in PACKAGES for path in sorted((repository / name).rglob("*.py"))]


def test_no_file_grows_over_500_lines(repository: Path) -> None:
    """One idea a file: a Python file of more than 500 lines is split."""
    sizes = {path: len(path.read_text().splitlines()) for path in tracked(repository) if path.suffix == ".py"}
    long = {str(path.relative_to(repository)): size for path, size in sizes.items() if size > LINES}
    assert not long, f"split these: {long}"


def test_modules_have_telling_names(repository: Path) -> None:
    """No module or folder is called utils, helpers, common or the like."""
    vague = [
        str(path.relative_to(repository))
        for path in modules(repository)
        if VAGUE & {path.stem, *path.relative_to(repository).parts[:-1]}
    ]
    assert not vague


def test_tests_are_no_packages(repository: Path) -> None:
    """Tests are imported by path (importmode=importlib): an `__init__.py` below tests would change their names."""
    assert not list((repository / "tests").rglob("__init__.py"))


def test_tests_stand_where_the_code_stands(repository: Path) -> None:
    """A folder of tests mirrors a folder of the tree, so that the tests of a module are found by its name."""
    kinds = {"project", "hardening", "examples", "scenarios"}  # of no single package
    tests = repository / "tests"
    astray = [
        str(folder.relative_to(repository))
        for path in tests.rglob("test_*.py")
        if (folder := path.parent).relative_to(tests).parts[:1]
        and folder.relative_to(tests).parts[0] not in kinds
        and not (repository / folder.relative_to(tests)).is_dir()
    ]
    assert not astray


def test_the_wheel_holds_every_package(repository: Path) -> None:
    """Packages are listed in pyproject.toml; one that is not would be missing from an installation."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    listed = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert listed == {path.parent.name for path in repository.glob("*/__init__.py")} - {"bench"}
    assert set(project["tool"]["importlinter"]["root_packages"]) == listed


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_what_the_project_needs(repository: Path, lock: str) -> None:
    """Every dependency of pyproject.toml is in the lock file with an exact version, and every version has hashes."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    if lock == "requirements-dev.lock":
        wanted += [line for line in project["optional-dependencies"]["dev"] if not line.startswith("hako[")]
    text = (repository / lock).read_text()
    pinned = {line.partition("==")[0]: line for line in text.splitlines() if "==" in line and not line.startswith(" ")}
    for requirement in wanted:
        name = requirement.partition(">")[0].strip().lower()
        assert name in pinned, f"{lock} lacks {name}: run `make lock`"
    assert all(line.endswith("\\") for line in pinned.values()), "a version without hashes"
    assert "http" not in text, f"{lock} names an address"


def test_nothing_of_a_single_machine_is_in_the_tree(repository: Path) -> None:
    """No path of the machine that a change was written on, no conflict marker, no note that something is unfinished."""
    found = []
    for path in tracked(repository):
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{path.relative_to(repository)}:{number}: {word}" for word in FORBIDDEN if word in line]
    assert not found
