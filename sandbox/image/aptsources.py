"""Where this host's apt gets Debian's packages, said again for another suite.

Pure, but for the two functions named `host_…`. Both forms of sources.list are read; deb822 is written. Entries of
others (an editor's repository, a cloud's) are left out: an image gets Debian's packages. Source: sources.list(5),
apt.conf(5).
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_DEFAULT_URI = "http://deb.debian.org/debian"
_DEFAULT_SECURITY_URI = "http://deb.debian.org/debian-security"
_OLD_SECURITY = frozenset(("jessie", "stretch", "buster"))  # these call it buster/updates
_ROLLING = frozenset(("sid", "unstable", "experimental"))  # these have no updates and no security
_ALIASES = ("stable", "testing", "oldstable", "unstable")
# apt's settings that make a mirror reachable or its dates acceptable; none that weakens the check of signatures.
_OPTIONS = (
    "acquire::check-valid-until",
    "acquire::check-date",
    "acquire::max-futuretime",
    "acquire::min-validtime",
    "acquire::max-validtime",
    "acquire::retries",
    "acquire::forceipv4",
    "acquire::forceipv6",
    "acquire::languages",
)
_OPTION_PREFIXES = ("acquire::http::", "acquire::https::")
_PROGRAMS = ("::proxy-auto-detect", "::proxyautodetect")  # would be run inside the image


class AptSource(NamedTuple):
    """One entry: what deb822 calls a stanza. `options` are its further fields in deb822's names, in lower case."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str]


def host_sources(apt: Path) -> tuple[AptSource, ...]:
    """The entries of this host's /etc/apt."""
    found: list[AptSource] = []
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if path.suffix == ".sources":
            found += parse_deb822(text)
        elif path.suffix == ".list":
            found += parse_one_line(text)
    return tuple(found)


def host_options() -> dict[str, str]:
    """The host's apt settings that an image needs too; none with a password in it, as images travel."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return select_options(dump)


def select_options(dump: str) -> dict[str, str]:
    """The settings of an `apt-config dump` that are carried over."""
    chosen: dict[str, str] = {}
    for line in dump.splitlines():
        name, _, value = line.partition(" ")
        value = value.strip().removesuffix(";").strip('"')
        key = name.rstrip(":").lower()
        wanted = key in _OPTIONS or key.startswith(_OPTION_PREFIXES)
        if not value or not wanted or key.endswith(_PROGRAMS) or '"' in value or "\\" in value:
            continue
        if "@" in value or value.startswith("/"):  # a password, or a file that only this host has
            continue
        chosen[name.rstrip(":") if not name.endswith("::") else name] = value
    return chosen


def parse_deb822(text: str) -> list[AptSource]:
    """Enabled `deb` stanzas."""
    found = []
    for stanza in _stanzas(text):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without", "disable"):
            continue
        if "deb" not in stanza.get("types", "").split():
            continue
        options = {
            key: value
            for key, value in stanza.items()
            if key not in ("types", "uris", "suites", "components", "enabled", "architectures")
        }
        found.append(
            AptSource(
                tuple(stanza.get("uris", "").split()),
                tuple(stanza.get("suites", "").split()),
                tuple(stanza.get("components", "").split()),
                options,
            )
        )
    return found


def parse_one_line(text: str) -> list[AptSource]:
    """`deb [option=value …] uri suite component …` lines."""
    found = []
    for line in text.splitlines():
        fields = line.partition("#")[0].strip()
        if not fields.startswith(("deb ", "deb\t")):
            continue
        fields = fields[3:].strip()
        options: dict[str, str] = {}
        if fields.startswith("["):
            inside, _, fields = fields[1:].partition("]")
            for option in inside.split():
                name, _, value = option.partition("=")
                options[name.lower()] = value.replace(",", " ")
            options.pop("arch", None)
        uri, *rest = fields.split()
        if rest:
            found.append(AptSource((uri,), (rest[0],), tuple(rest[1:]), options))
    return found


def for_suite(sources: Iterable[AptSource], suite: str, host: str) -> str:
    """deb822 text of Debian's entries for `suite`, taken from those of a host that runs `host`.

    Where the host has none (it is no Debian), Debian's own mirror network is used.
    """
    stanzas: list[str] = []
    own = (host, *_ALIASES)
    for source in sources:
        suites: list[str] = []
        for name in source.suites:
            base, suffix = _split_suite(name)
            if base in own and suffix is not None and (renamed := _suite(suite, suffix)) and renamed not in suites:
                suites.append(renamed)
        if suites:
            stanzas.append(_stanza(source._replace(suites=tuple(suites))))
    if not stanzas:
        names = [suite, *filter(None, (_suite(suite, "-updates"),))]
        stanzas.append(_stanza(AptSource((_DEFAULT_URI,), tuple(names), ("main",), {})))
        if security := _suite(suite, "-security"):
            stanzas.append(_stanza(AptSource((_DEFAULT_SECURITY_URI,), (security,), ("main",), {})))
    return "\n".join(stanzas)


def _split_suite(name: str) -> tuple[str, str | None]:
    """The release of a suite and which of its parts it is; `None` for a part that images do not take (backports)."""
    base, slash, _ = name.partition("/")
    if slash:
        return base, "-security" if name == f"{base}/updates" else None
    base, dash, part = name.partition("-")
    if not dash:
        return base, ""
    return base, f"-{part}" if part in ("updates", "security") else None


def _suite(suite: str, part: str) -> str:
    """The name of a part of `suite`, empty if it has none."""
    if part and suite in _ROLLING:
        return ""
    if part == "-security" and suite in _OLD_SECURITY:
        return f"{suite}/updates"
    return suite + part


def _stanza(source: AptSource) -> str:
    lines = [
        "Types: deb",
        f"URIs: {' '.join(source.uris)}",
        f"Suites: {' '.join(source.suites)}",
        f"Components: {' '.join(source.components)}",
    ]
    for name, value in source.options.items():
        lines.append(f"{'-'.join(part.capitalize() for part in name.split('-'))}: {value}")
    return "\n".join(lines) + "\n"


def _stanzas(text: str) -> list[dict[str, str]]:
    """The paragraphs of an RFC 822-like text; continued lines keep their line breaks (a key in `Signed-By`)."""
    found: list[dict[str, str]] = []
    current: dict[str, str] = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if current:
                found.append(current)
            current, key = {}, ""
        elif line[0] in " \t":
            if key:
                current[key] += "\n" + line
        else:
            name, colon, value = line.partition(":")
            if colon:
                key = name.strip().lower()
                current[key] = value.strip()
    return found
