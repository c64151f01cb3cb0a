"""`ci-run lint --fix` and `--check`: mistakes that correct themselves, shown as a diff. Called by `lint`.

The bytes of a file outside of the corrections stay as they are. A file is written in its place, so links to it and its
rights stay, too; the diff tells what was there.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.cli.files import members, project, read_file
from ci.errors import CiError
from ci.pipeline.diagnostics import printable
from ci.pipeline.fixing import fixed
from ci.templates import ProjectLibrary

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_RESET = "\x1b[0m"


def fix(name: str, *, write: bool, colour: bool) -> bool:
    """Correct a file with its templates, or all files of a folder; returns whether there was anything to correct.

    Raises CiError.
    """
    if name == "-":
        raise CiError("standard input cannot be corrected", hint="name a file", reference="usage")
    changed = False
    for filename in members(name):
        before = read_file(filename)
        found = fixed(before, filename, ProjectLibrary(project(filename)))
        after = {filename: found.data} if found.data != before else {}
        after |= {str(Path(filename).parent / path): data for path, data in found.templates.items()}
        for path, data in after.items():
            changed = True
            sys.stdout.writelines(_diff(path, read_file(path), data, colour=colour))
            if write:
                _write(path, data)
    return changed


def _write(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CiError(f"cannot write {path!r}: {reason}", reference="cannot-write") from None


def _diff(filename: str, before: bytes, after: bytes, *, colour: bool) -> Iterator[str]:
    old, new = (data.decode("utf-8").splitlines() for data in (before, after))
    for line in difflib.unified_diff(old, new, filename, filename, lineterm=""):
        shown = printable(line)
        accent = _COLOURS.get(line[:1], "") if colour and not line.startswith(("+++", "---")) else ""
        yield f"{accent}{shown}{_RESET if accent else ''}\n"
