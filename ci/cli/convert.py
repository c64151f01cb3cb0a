"""`ci-run convert [FILE]`: a pipeline of drone or Woodpecker as one of ours, on standard output.

What could not be taken over is told on standard error, each with its line. Nothing is written to a file: look at it
first. Exit code 2 where the file has mistakes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.cli.files import DEFAULT_FILE, find_file, load_file
from ci.errors import CiError
from ci.pipeline.convert import convert
from ci.pipeline.diagnostics import printable, render

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "write a pipeline of drone or Woodpecker in our own language"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="a .drone.yml, .woodpecker.yml or folder .woodpecker")


def run(arguments: Namespace) -> int:
    """Convert. Raises CiError for a file that cannot be read or run."""
    name = find_file(arguments.file, Path.cwd())
    loaded = load_file(name)
    if not loaded.ok:
        sys.stderr.write(render(loaded.diagnostics))
        raise CiError(f"{name} has mistakes", hint="correct those above first", reference="bad-pipeline")
    if all(not document.rules.whole_file for document in loaded.documents):
        raise CiError(f"{name} is in our own language already", hint=f"it can be called {DEFAULT_FILE}")
    converted = convert(loaded.documents)
    sys.stdout.write(converted.text)
    for line, sentence in converted.notes:
        sys.stderr.write(printable(f"{name}:{line}: {sentence}") + "\n")
    return 0
