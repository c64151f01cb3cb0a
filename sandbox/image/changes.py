"""Dockerfile instructions that change an image's configuration, applied to an `ImageConfig`. Pure.

`import --change` and `commit --change` hand over lines of text; the builder hands over what its parser made of a
Dockerfile (`apply`). A form in JSON is taken as it is, any other is for the shell. Source: Docker's Dockerfile
reference.
"""

from __future__ import annotations

import json
import posixpath
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.image.config import Healthcheck, ImageConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_SHELL = ("/bin/sh", "-c")
_MAX_LINE = 1 << 16
_UNITS: Mapping[str, float] = MappingProxyType(
    {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}
)
_FLAGS = {"interval": "interval", "timeout": "timeout", "start-period": "start_period"}
_FLAGS["start-interval"] = "start_interval"


def apply_lines(config: ImageConfig, lines: Iterable[str]) -> ImageConfig:
    """Apply each line (`ENV A=b`) in turn. Raises InvalidError that names the line."""
    for line in lines:
        config = apply(config, *_split(line))
    return config


def apply(config: ImageConfig, instruction: str, rest: str) -> ImageConfig:
    """Apply one instruction; `rest` is the text after its name. Raises InvalidError."""
    change = _INSTRUCTIONS.get(instruction.upper())
    if change is None:
        raise _wrong(instruction, rest, f"there are {', '.join(_INSTRUCTIONS)}")
    rest = rest.strip()
    if not rest:
        raise _wrong(instruction, rest, "it says nothing")
    try:
        return change(config, rest)
    except _MistakeError as mistake:
        raise _wrong(instruction, rest, str(mistake)) from None


def words(text: str) -> list[str]:
    """Words as a Dockerfile's ENV and LABEL have them: quotes of both kinds, a backslash before any character."""
    found: list[str] = []
    word, quote, begun, escaped = "", "", False, False
    for character in text:
        if escaped:
            word += character if quote != '"' or character in '"\\$' else "\\" + character
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = begun = True
        elif quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character in "\"'":
            quote, begun = character, True
        elif character.isspace():
            if begun:
                found.append(word)
            word, begun = "", False
        else:
            word, begun = word + character, True
    if quote:
        raise _MistakeError(f"a {quote} is not closed")
    if begun:
        found.append(word)
    return found


class _MistakeError(Exception):
    """What is wrong with the text of an instruction."""


def _split(line: str) -> tuple[str, str]:
    if len(line) > _MAX_LINE:
        raise InvalidError(f"a change is longer than {_MAX_LINE} characters", reference="invalid-change")
    name, _, rest = line.strip().partition(" ")
    # docker takes `CMD=x` and `ENV=A=b` for what they mean, too
    if "=" in name and name.partition("=")[0].upper() in _INSTRUCTIONS:
        name, _, more = name.partition("=")
        rest = f"{more} {rest}".strip()
    return name, rest


def _wrong(instruction: str, rest: str, why: str) -> InvalidError:
    text = f"{instruction} {rest}".strip()
    return InvalidError(f"change {text[:200]!r} is not understood: {why}", reference="invalid-change")


def _json_list(text: str) -> tuple[str, ...] | None:
    """The words of a form in JSON; `None` for the shell's form."""
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _command(config: ImageConfig, text: str) -> tuple[str, ...]:
    found = _json_list(text)
    return found if found is not None else (*(config.shell or _SHELL), text)


def _pairs(text: str) -> dict[str, str]:
    """`A=b C="d e"`, or the old form `A the rest`."""
    first = text.split(None, 1)
    if "=" not in first[0]:
        if len(first) < 2:
            raise _MistakeError("a value is missing: NAME=value")
        return {first[0]: first[1]}
    pairs = {}
    for word in words(text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise _MistakeError(f"{word!r} is not NAME=value")
        pairs[name] = value
    return pairs


def _environment(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(environment={**config.environment, **_pairs(text)})


def _labels(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(labels={**config.labels, **_pairs(text)})


def _entrypoint(config: ImageConfig, text: str) -> ImageConfig:
    # a new entrypoint does not know what to do with the arguments of the old one
    return config._replace(entrypoint=_command(config, text), command=())


def _cmd(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(command=_command(config, text))


def _ports(config: ImageConfig, text: str) -> ImageConfig:
    ports = list(config.exposed_ports)
    for word in words(text):
        span, _, protocol = word.partition("/")
        first, _, last = span.partition("-")
        numbers = [first, last or first]
        if not all(part.isascii() and part.isdigit() and 0 < int(part) < 65536 for part in numbers):
            raise _MistakeError(f"{word!r} is not a port")
        if protocol.lower() not in ("", "tcp", "udp", "sctp"):
            raise _MistakeError(f"{protocol!r} is not tcp, udp or sctp")
        for number in range(int(first), int(numbers[1]) + 1):
            port = f"{number}/{protocol.lower() or 'tcp'}"
            if port not in ports:
                ports.append(port)
    return config._replace(exposed_ports=tuple(ports))


def _volumes(config: ImageConfig, text: str) -> ImageConfig:
    paths = _json_list(text)
    added = paths if paths is not None else tuple(words(text))
    if not all(added):
        raise _MistakeError("a path is empty")
    return config._replace(volumes=tuple(dict.fromkeys((*config.volumes, *added))))


def _user(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(user=_single(text))


def _working_dir(config: ImageConfig, text: str) -> ImageConfig:
    path = posixpath.normpath(posixpath.join("/", config.working_dir, _single(text)))
    return config._replace(working_dir=path)


def _stop_signal(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(stop_signal=_single(text))


def _single(text: str) -> str:
    found = words(text)
    if len(found) != 1 or not found[0]:
        raise _MistakeError("it takes one word")
    return found[0]


def _shell(config: ImageConfig, text: str) -> ImageConfig:
    found = _json_list(text)
    if not found:
        raise _MistakeError('it takes a list in JSON, such as ["/bin/bash", "-c"]')
    return config._replace(shell=found)


def _on_build(config: ImageConfig, text: str) -> ImageConfig:
    name = text.partition(" ")[0].upper()
    if name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise _MistakeError(f"{name} cannot be put off")
    return config._replace(on_build=(*config.on_build, text))


def _healthcheck(config: ImageConfig, text: str) -> ImageConfig:
    numbers: dict[str, int] = {}
    while text.startswith("--"):
        flag, _, text = text.partition(" ")
        name, _, value = flag[2:].partition("=")
        if name == "retries" and value.isascii() and value.isdigit():
            numbers["retries"] = int(value)
        elif name in _FLAGS:
            numbers[_FLAGS[name]] = _nanoseconds(value)
        else:
            raise _MistakeError(f"{flag!r} is no option of it")
        text = text.lstrip()
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE" and not rest:
        return config._replace(healthcheck=Healthcheck(test=("NONE",)))
    if kind.upper() != "CMD" or not rest.strip():
        raise _MistakeError("it is HEALTHCHECK [OPTIONS] CMD command, or NONE")
    found = _json_list(rest.strip())
    test = ("CMD", *found) if found is not None else ("CMD-SHELL", rest.strip())
    return config._replace(
        healthcheck=Healthcheck(
            test,
            interval=numbers.get("interval", 0),
            timeout=numbers.get("timeout", 0),
            start_period=numbers.get("start_period", 0),
            start_interval=numbers.get("start_interval", 0),
            retries=numbers.get("retries", 0),
        )
    )


def _nanoseconds(text: str) -> int:
    """Go's durations: `1m30s`, `500ms`."""
    total, rest = 0.0, text
    while rest:
        figures = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(figures) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµmsh"))]
        rest = rest[len(unit) :]
        if unit not in _UNITS or not figures or figures.count(".") > 1 or figures == ".":
            raise _MistakeError(f"{text!r} is not a duration such as 30s")
        total += float(figures) * _UNITS[unit]
    if not text:
        raise _MistakeError("a duration is missing")
    return round(total)


_INSTRUCTIONS: Mapping[str, Callable[[ImageConfig, str], ImageConfig]] = MappingProxyType(
    {
        "CMD": _cmd,
        "ENTRYPOINT": _entrypoint,
        "ENV": _environment,
        "EXPOSE": _ports,
        "HEALTHCHECK": _healthcheck,
        "LABEL": _labels,
        "ONBUILD": _on_build,
        "SHELL": _shell,
        "STOPSIGNAL": _stop_signal,
        "USER": _user,
        "VOLUME": _volumes,
        "WORKDIR": _working_dir,
    }
)


def known() -> Sequence[str]:
    """The instructions that are understood."""
    return tuple(_INSTRUCTIONS)
