"""`ci-run cache ls|rm|prune`: the caches that steps have kept on this machine, of all projects or of this one."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline import values
from ci.pipeline.glob import Glob, GlobError
from runners import remembering
from runners.cachestore import LIMIT, CacheStore, Entry, amount
from sandbox.runtime.engine import default_home

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping, Sequence

HELP = "list and remove the caches of steps"
LIMIT_VARIABLE = "HAKO_CACHE_LIMIT"
_KEY_WIDTH = 60


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verbs.add_parser("ls", help="list them, the one used last first")
    rm = verbs.add_parser("rm", help="remove some")
    rm.add_argument("key", nargs="*", metavar="KEY", help="a key, or a pattern of keys")
    rm.add_argument("--project", metavar="PATH", help="only those of a project")
    rm.add_argument("--all", action="store_true", help="every key")
    prune = verbs.add_parser("prune", help="remove what has not been used for long, results of --incremental too")
    prune.add_argument("--older-than", metavar="TIME", default="30d", help="not used for so long (30d)")
    prune.add_argument("--limit", metavar="SIZE", help=f"leave so much at most (${LIMIT_VARIABLE}, or 10g)")


def run(arguments: Namespace) -> int:
    """Do it; returns the exit code."""
    store = open_store(default_home(), os.environ)
    if arguments.action == "ls":
        sys.stdout.write(_table(store.all(), time.time()))
        return 0
    from sandbox.kernel.idmap import become_root  # noqa: PLC0415

    become_root()  # an ordinary user's containers have left files of other ids
    removed: Sequence[Entry] = (
        _remove(store, arguments) if arguments.action == "rm" else _prune(store, arguments, os.environ)
    )
    count = len(removed)
    freed = amount(sum(entry.size for entry in removed))
    sys.stdout.write(f"removed {count} cache{'s' if count != 1 else ''}, {freed}\n")
    return 0


def open_store(home: Path, environment: Mapping[str, str]) -> CacheStore:
    """The caches of this machine, with the limit that the environment says. Raises CiError."""
    return CacheStore(home, limit=_limit(environment.get(LIMIT_VARIABLE) or str(LIMIT), LIMIT_VARIABLE))


def _limit(text: str, name: str) -> int:
    try:
        return values.size(text)
    except values.BadValue as error:
        raise CiError(f"{name}: {error.message}", hint=error.hint, reference="usage") from None


def _table(entries: tuple[Entry, ...], now: float) -> str:
    rows = [("key", "paths", "size", "used", "project")]
    for one in entries:
        key = one.key if len(one.key) <= _KEY_WIDTH else one.key[: _KEY_WIDTH - 1] + "…"
        rows.append((key, ", ".join(one.paths), amount(one.size), _ago(now - one.used), one.project))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def _ago(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _remove(store: CacheStore, arguments: Namespace) -> list[Entry]:
    if not arguments.key and not arguments.all:
        raise CiError("which caches?", hint="name keys or patterns, or say --all", reference="usage")
    project = str(Path(arguments.project).resolve()) if arguments.project else ""
    known = [one for one in store.all() if project in ("", one.project)]
    chosen = known if arguments.all else []
    for pattern in arguments.key:
        found = [one for one in known if one.key == pattern or _fits(pattern, one.key)]
        if not found:
            raise CiError(f"no cache has the key {pattern!r}", hint="`ci-run cache ls` lists them")
        chosen += [one for one in found if one not in chosen]
    removed = [one for one in chosen if store.remove(one)]
    for one in chosen:
        if one not in removed:
            sys.stderr.write(f"ci-run: {one.key} is in use, and stays\n")
    return removed


def _fits(pattern: str, key: str) -> bool:
    try:
        return Glob(pattern).matches(key)
    except GlobError as error:
        raise CiError(f"{pattern!r}: {error}", reference="usage") from None


def _prune(store: CacheStore, arguments: Namespace, environment: Mapping[str, str]) -> tuple[Entry, ...]:
    try:
        age = values.duration(arguments.older_than)
    except values.BadValue as error:
        raise CiError(f"--older-than: {error.message}", hint=error.hint, reference="usage") from None
    limit = _limit(arguments.limit or environment.get(LIMIT_VARIABLE) or str(LIMIT), "--limit")
    before = time.time() - age
    results = CacheStore(default_home(), folder=remembering.FOLDER)
    return (*store.prune(limit=limit, before=before), *results.prune(limit=remembering.LIMIT, before=before))
