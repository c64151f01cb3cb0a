"""Reports of tests that a step has left in the workspace: JUnit's XML and TAP → counts, and what failed.

A report is written by whatever ran in the step, so it is read with limits, without following links, and never more
than counted: documents with a DOCTYPE, which alone can define entities, are refused. JUnit's XML has no specification;
what is read is common to all that write it (`testcase` with `failure`, `error` or `skipped`). TAP is that of
https://testanything.org, versions 12 to 14. Called by `runners.stage`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from runners.artifacts import chosen
from runners.inventory import inventory
from sandbox.errors import SandboxError
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FILE_LIMIT = 10 << 20  # bytes
FILES_LIMIT = 200  # of one step
TESTS_LIMIT = 200_000
KEPT = 100  # failures that are told one by one
_TEXT_LIMIT = 300  # characters of a name, and of a message
_DEPTH_LIMIT = 50
_LINE_LIMIT = 1000  # characters of a line of TAP that are looked at
_TAP_TEST = re.compile(r"(not )?ok\b(?:[ \t]+\d+)?(?:[ \t]*-)?(.*?)(?:[ \t]#[ \t]*(skip|todo)(.*))?", re.IGNORECASE)
_TAP_PLAN = re.compile(r"1\.\.(\d{1,9})[ \t]*(?:#.*)?")
_TAP_MESSAGE = re.compile(r"[ \t]+message:[ \t]*['\"]?(.*?)['\"]?[ \t]*")


class ReportError(ValueError):
    """A file that is no report, or beyond the limits; the message does not name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A test that failed, and the first line of what it said."""

    name: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What reports say. `failures` are the first KEPT of the `failed`; errors are failures."""

    total: int
    failed: int = 0
    skipped: int = 0
    failures: tuple[Failure, ...] = ()

    def mapped(self, change: Callable[[str], str]) -> Tally:
        """The same with all texts changed."""
        failures = (Failure(name=change(one.name), message=change(one.message)) for one in self.failures)
        return Tally(total=self.total, failed=self.failed, skipped=self.skipped, failures=tuple(failures))


@dataclass(slots=True)
class _Count:
    """The tests so far."""

    total: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, name: str, *, failed: bool = False, skipped: bool = False, message: str = "") -> None:
        if self.total == TESTS_LIMIT:
            raise ReportError(f"there are more than {TESTS_LIMIT} tests")
        self.total += 1
        self.failed += failed
        self.skipped += skipped and not failed
        if failed and len(self.failures) < KEPT:
            self.failures.append(Failure(name=_line(name) or "(without a name)", message=_line(message)))


def collect(patterns: Sequence[str], workspace: Path) -> tuple[Tally | None, tuple[str, ...]]:
    """All reports that patterns choose, counted together, and a sentence on each that could not be read.

    None where there is no report at all.
    """
    count, problems, read = _Count(), [], 0
    paths = sorted(chosen(patterns, inventory(workspace)))
    if len(paths) > FILES_LIMIT:
        problems.append(f"of {len(paths)} reports the first {FILES_LIMIT} are read")
    with Root(workspace) as root:
        for path in paths[:FILES_LIMIT]:
            name = path.decode("utf-8", "replace")
            try:
                data = root.read_regular(path.decode("utf-8", "surrogateescape"), FILE_LIMIT)
                _read(data, count)
                read += 1
            except ReportError as error:
                problems.append(f"{name}: {error}")
            except (OSError, SandboxError):
                problems.append(f"{name}: cannot be read, or is larger than {FILE_LIMIT >> 20} MiB")
    if not paths:
        problems.append(f"there is no report: {', '.join(patterns)}")
    if not read:
        return None, tuple(problems)
    tests = Tally(total=count.total, failed=count.failed, skipped=count.skipped, failures=tuple(count.failures))
    return tests, tuple(problems)


def _read(data: bytes, count: _Count) -> None:
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        _JUnit(count).read(data)
    else:
        _tap(data.decode("utf-8", "replace"), count)


class _JUnit:
    """Reads one XML document."""

    def __init__(self, count: _Count) -> None:
        self._count = count
        self._depth = 0
        self._suite = ""
        self._case: dict[str, Any] | None = None
        self._text: list[str] | None = None

    def read(self, data: bytes) -> None:
        """Count its test cases. Raises ReportError."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise ReportError(f"line {error.lineno} is no XML: {expat.ErrorString(error.code)}") from None
        except LookupError:
            raise ReportError("is in an encoding that is not known") from None

    def _doctype(self, *_: object) -> None:
        raise ReportError("has a DOCTYPE, which reports have no use for")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise ReportError("is nested too deep")
        if self._depth == 1 and name not in {"testsuites", "testsuite"}:
            raise ReportError(f"is no report of tests: it begins with <{name[:50]}>")
        if name == "testsuite":
            self._suite = attributes.get("name", "")
        elif name == "testcase":
            where = attributes.get("classname") or self._suite
            title = attributes.get("name", "")
            self._case = {"name": f"{where}: {title}" if where else title}
        elif self._case is not None and name in {"failure", "error"} and "failed" not in self._case:
            self._case |= {"failed": True, "message": attributes.get("message", "")}
            self._text = []
        elif self._case is not None and name == "skipped":
            self._case["skipped"] = True

    def _characters(self, text: str) -> None:
        if self._text is not None and len(self._text) < _DEPTH_LIMIT:
            self._text.append(text[:_TEXT_LIMIT])

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._case is None:
            return
        if name in {"failure", "error"} and self._text is not None:
            self._case["message"] = self._case["message"] or "".join(self._text)
            self._text = None
        elif name == "testcase":
            self._count.add(**self._case)
            self._case = None


def _tap(text: str, count: _Count) -> None:
    """Lines of TAP; those of subtests, which are indented, are in the test that they belong to."""
    planned, seen, failed = -1, 0, ""
    before = count.total
    for whole in text.splitlines():
        line = whole[:_LINE_LIMIT]
        if plan := _TAP_PLAN.fullmatch(line):
            planned = int(plan[1])
        elif test := _TAP_TEST.fullmatch(line):
            if failed:
                count.add(failed, failed=True)
            is_failed = bool(test[1]) and not test[3]  # what is still to be done may fail
            name = test[2].strip()
            failed = (name or f"test {seen + 1}") if is_failed else ""
            seen += 1
            if not is_failed:
                count.add(name, skipped=bool(test[3]))
        elif failed and (message := _TAP_MESSAGE.fullmatch(line)):
            count.add(failed, failed=True, message=message[1])
            failed = ""
        elif line.startswith("Bail out!"):
            count.add("Bail out!", failed=True, message=line.removeprefix("Bail out!"))
    if failed:
        count.add(failed, failed=True)
    if planned < 0 and count.total == before:
        raise ReportError("is neither JUnit's XML nor TAP")
    if planned > seen:
        count.add("the plan", failed=True, message=f"{planned} tests were planned, and {seen} ran")


def _line(text: str) -> str:
    """The first line that says something, without what a terminal would take for a command."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "".join(one if one.isprintable() else "\ufffd" for one in first[:_TEXT_LIMIT])
