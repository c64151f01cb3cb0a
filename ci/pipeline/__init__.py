"""Pipeline files: text → document with positions → diagnostics → compiled Stages.

Pure: no files, no clock, no environment. The way through: `load` (here) reads and checks a file;
`ci.pipeline.compile.compile_all` makes the Stages that its documents are for an event; `ci.pipeline.script.script`
writes the script of a step. The imports are inside of the functions because runners need only `ci.pipeline.spec`, and
quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci.pipeline.diagnostics import Diagnostic
    from ci.pipeline.includes import Library
    from ci.pipeline.loading import Loaded


def load(text: bytes | str, filename: str = ".ci.yml", library: Library | None = None) -> Loaded:
    """Read and check a pipeline file. Never raises for what is in it; `filename` is for messages only."""
    from ci.pipeline.loading import load as read  # noqa: PLC0415

    return read(text, filename, library)


def check(text: bytes | str, filename: str = ".ci.yml") -> tuple[Diagnostic, ...]:
    """All that is wrong, or good to know, with a pipeline file, in the file's order."""
    return load(text, filename).diagnostics
