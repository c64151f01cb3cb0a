"""`ci-run lint [FILE…]`: all mistakes of pipeline files, before anything runs.

Prints each mistake with its line, or with `--format` one JSON object, or a SARIF log. Exit code 0: the files can be
run; 2: they cannot, or could not be read; or `--check` found something to correct. Warnings and infos do not count.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ci.cli.files import load_file, present
from ci.errors import CiError
from ci.pipeline.diagnostics import printable, render, summary
from ci.pipeline.filenames import DEFAULT_FILE
from ci.pipeline.loading import load
from ci.pipeline.source import SIZE_LIMIT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ci.pipeline.loading import Loaded

HELP = "show all mistakes of a pipeline file"
EXIT_MISTAKES = 2


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help=f"a pipeline file, a folder .woodpecker, or - for standard input ({DEFAULT_FILE})",
    )
    parser.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="how to print (text)")
    parser.add_argument("--fix", action="store_true", help="correct what is sure, in the file; shows what it changes")
    parser.add_argument("--check", action="store_true", help="show what --fix would change, and change nothing")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def run(arguments: Namespace) -> int:
    """Check the files; returns the exit code."""
    gc.disable()  # a short process that makes many small records and no cycles: collecting is a third of its time
    names = arguments.files or [present(Path()) or DEFAULT_FILE]
    to_fix = _fix(names, arguments) if arguments.fix or arguments.check else False
    if to_fix and arguments.check:
        return EXIT_MISTAKES
    results = [_check(name) for name in names]
    if arguments.format == "json":
        import json  # noqa: PLC0415

        files = [_as_json(name, result) for name, result in results]
        ok = all(file["ok"] for file in files)
        _write(json.dumps({"ok": ok, "files": files}, indent=2) + "\n")
        return 0 if ok else EXIT_MISTAKES
    if arguments.format == "sarif":
        return _print_sarif(results)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    ok = True
    for name, result in results:
        if isinstance(result, CiError):
            hint = f" ({result.hint})" if result.hint else ""
            sys.stderr.write(printable(f"ci-run: {result.message}{hint}") + "\n")
            ok = False
        else:
            _write(render(result.diagnostics, colour=colour) + f"{printable(name)}: {_verdict(result)}\n")
            ok = ok and result.ok
    return 0 if ok else EXIT_MISTAKES


def _fix(names: list[str], arguments: Namespace) -> bool:
    """Whether anything was to be corrected."""
    from ci.cli.fixing import fix  # noqa: PLC0415  (most often nobody asks)

    if arguments.format != "text":
        raise CiError("--fix and --check print a diff, and no other format", reference="usage")
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    changed = [fix(name, write=not arguments.check, colour=colour) for name in names]
    return any(changed)


def _print_sarif(results: list[tuple[str, Loaded | CiError]]) -> int:
    """Print one log of all files; one that cannot be read has no place in it, and is told as ever."""
    import json  # noqa: PLC0415
    from importlib.metadata import version  # noqa: PLC0415

    from ci.pipeline.sarif import sarif  # noqa: PLC0415

    loaded = [result for _, result in results if not isinstance(result, CiError)]
    log = sarif((one for result in loaded for one in result.diagnostics), version=version("hako"))
    _write(json.dumps(log, indent=2) + "\n")
    for _, result in results:
        if isinstance(result, CiError):
            sys.stderr.write(printable(f"ci-run: {result}") + "\n")
    ok = len(loaded) == len(results) and all(result.ok for result in loaded)
    return 0 if ok else EXIT_MISTAKES


def _check(name: str) -> tuple[str, Loaded | CiError]:
    if name == "-":
        return "<stdin>", load(sys.stdin.buffer.read(SIZE_LIMIT + 1), "<stdin>")
    try:
        return name, load_file(name)
    except CiError as error:
        return name, error


def _verdict(loaded: Loaded) -> str:
    if not loaded.ok:
        return summary(loaded.diagnostics)
    documents, steps = len(loaded.documents), sum(len(document.steps) for document in loaded.documents)
    counts = f"{documents} document{'s' if documents > 1 else ''}, {steps} step{'s' if steps > 1 else ''}"
    return f"{summary(loaded.diagnostics)} ({counts})"


def _as_json(name: str, result: Loaded | CiError) -> dict[str, object]:
    if isinstance(result, CiError):
        return {"file": name, "ok": False, "error": result.message, "hint": result.hint, "diagnostics": []}
    return {"file": name, "ok": result.ok, "diagnostics": [one.as_json() for one in result.diagnostics]}


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))  # a Latin-1 terminal gets "?" and no traceback
