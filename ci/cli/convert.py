"""`ci-run convert [FILE]`: a pipeline of drone, Woodpecker or GitHub Actions as one of ours, on standard output.

What could not be taken over is told on standard error, each with its line. Nothing is written to a file: look at it
first. Exit code 2 where the file has mistakes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.cli.files import find_file, load_file, present, read_file
from ci.errors import CiError
from ci.pipeline.convert import convert
from ci.pipeline.diagnostics import printable, render
from ci.pipeline.filenames import DEFAULT_FILE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ci.pipeline.convert import Converted

HELP = "write a pipeline of drone, Woodpecker or GitHub in our own language"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a .drone.yml, .woodpecker.yml, folder .woodpecker, or a workflow in .github/workflows",
    )


def run(arguments: Namespace) -> int:
    """Convert. Raises CiError for a file that cannot be read or run."""
    name = arguments.file or _only_workflow() or find_file(None, Path.cwd())
    if _is_workflow(name):
        return _show(name, _workflow(name))
    loaded = load_file(name)
    if not loaded.ok:
        sys.stderr.write(render(loaded.diagnostics))
        raise CiError(f"{name} has mistakes", hint="correct those above first", reference="bad-pipeline")
    if all(not document.rules.whole_file for document in loaded.documents):
        raise CiError(f"{name} is in our own language already", hint=f"it can be called {DEFAULT_FILE}")
    return _show(name, convert(loaded.documents))


def _only_workflow() -> str:
    """The workflow of a project that has one and no other pipeline; else empty."""
    found = [] if present(Path()) else sorted(Path(".github/workflows").glob("*.y*ml"))
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise CiError("there are several workflows", hint=f"name one: {names}", reference="usage")
    return str(found[0]) if found else ""


def _is_workflow(name: str) -> bool:
    """Whether a file is one of GitHub's: they are in one folder."""
    folder = Path(name).resolve().parent
    return folder.name == "workflows" and folder.parent.name == ".github"


def _workflow(name: str) -> Converted:
    """A workflow of GitHub Actions. Raises CiError for what is none."""
    from ci.pipeline import github  # noqa: PLC0415  (the other kinds need none of it)
    from ci.pipeline.diagnostics import Report  # noqa: PLC0415
    from ci.pipeline.nodes import Mapping  # noqa: PLC0415
    from ci.pipeline.source import SourceError, read  # noqa: PLC0415
    from ci.pipeline.yaml import parse  # noqa: PLC0415

    try:
        source = read(read_file(name), name)
        report = Report(source)
        nodes = parse(source, report)
    except SourceError as error:
        report, nodes = Report(error.source), ()
        report.error(error.code, error.position, error.message, error.hint)
    if report.failed:
        sys.stderr.write(render(report.diagnostics))
        raise CiError(f"{name} has mistakes", hint="correct those above first", reference="bad-pipeline")
    if len(nodes) != 1 or not isinstance(nodes[0], Mapping):
        raise CiError(f"{name} is no workflow: it has no jobs", reference="bad-pipeline")
    return github.convert(nodes[0])


def _show(name: str, converted: Converted) -> int:
    sys.stdout.write(converted.text)
    for line, sentence in converted.notes:
        sys.stderr.write(printable(f"{name}:{line}: {sentence}") + "\n")
    return 0
