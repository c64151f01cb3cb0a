"""Parser directives: the comments at the very top that say how the rest is read.

`escape` names the escape character, `syntax` an image that would translate the file (noted, never fetched: this parser
is the translator), `check` configures the build checks. They end at the first line that is none; a name appears once.
See "Parser directives" in docker's Dockerfile reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.dockerfile.diagnostics import did_you_mean
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from sandbox.dockerfile.diagnostics import Report
    from sandbox.dockerfile.source import Source

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(\S.*?)\s*$")
_NAMES = ("escape", "syntax", "check")
_CHECK_KEYS = ("skip", "error", "experimental")


class CheckOptions(NamedTuple):
    """What `# check=` says: rules that are left out, rules on trial that are wanted, whether a finding fails the build.

    `skip` and `experimental` hold rule names, or `all`.
    """

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False


class Directives(NamedTuple):
    """All of a file's directives, with the defaults of those that are absent; `lines` is how many lines they take."""

    escape: str = "\\"
    syntax: str = ""
    check: CheckOptions = CheckOptions()
    lines: int = 0


def read_directives(source: Source, report: Report) -> Directives:
    """The directives at the top of the file; mistakes in them go into the report."""
    found: dict[str, str] = {}
    result = Directives()
    for number, line in enumerate(source.lines, 1):
        if number == 1 and line.startswith("#!"):
            continue  # an executable Dockerfile
        match = _DIRECTIVE.match(line)
        name = match[1].lower() if match else ""
        if match is None or name not in _NAMES:
            break
        result = result._replace(lines=number)
        span = source.line_span(number)
        if name in found:
            report.error("duplicate-directive", span, f"only one {name} parser directive can be used")
            continue
        found[name] = value = match[2]
        if name == "escape":
            if value in ("\\", "`"):
                result = result._replace(escape=value)
            else:
                report.error("invalid-escape", span, f"invalid escape character {value!r}", r"it is \ or `")
        elif name == "syntax":
            result = result._replace(syntax=value)
        else:
            try:
                result = result._replace(check=parse_check_options(value))
            except ValueError as error:
                report.error("invalid-check", span, str(error))
    return result


def parse_check_options(text: str) -> CheckOptions:
    """`skip=NAME,NAME;experimental=all;error=true` as a record. ValueError says what is wrong with it."""
    result = CheckOptions()
    for part in text.split(";"):
        key, separator, value = part.strip().partition("=")
        if not separator:
            raise ValueError(f"invalid check option {part.strip()!r}: it is written key=value")
        names = frozenset(
            "all" if name.strip().lower() == "all" else name.strip() for name in value.split(",") if name.strip()
        )
        if key == "skip":
            result = result._replace(skip=names)
        elif key == "experimental":
            result = result._replace(experimental=names)
        elif key == "error" and value.strip().lower() in ("true", "false", "1", "0"):
            result = result._replace(error=value.strip().lower() in ("true", "1"))
        elif key == "error":
            raise ValueError(f"invalid value {value!r} of the check option error: it is true or false")
        else:
            hint = did_you_mean(key, _CHECK_KEYS)
            raise ValueError(f"unknown check option {key!r}" + (f" ({hint})" if hint else ""))
    return result
