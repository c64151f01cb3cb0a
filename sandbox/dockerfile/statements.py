"""One function for each instruction: a statement to its record.

`INSTRUCTIONS` is the language's list of words. The functions take what they need from the statement's flags and
arguments, and raise `Mistake` for what cannot be meant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox.dockerfile import instructions as records
from sandbox.dockerfile.arguments import command, duration, pairs, quoted_words, single, words, words_or_json
from sandbox.dockerfile.diagnostics import Mistake, did_you_mean
from sandbox.dockerfile.heredoc import read_heredoc
from sandbox.dockerfile.jsonform import json_words
from sandbox.dockerfile.mounts import MountError, parse_mount

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.dockerfile.arguments import Statement

Fields = dict[str, Any]  # of the record that is being made
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_NETWORKS = ("default", "none", "host")
_SECURITY = ("sandbox", "insecure")


def _from(statement: Statement, fields: Fields) -> records.Instruction:
    found = words(statement)
    if len(found) == 3 and found[1][0].lower() == "as":
        alias = found[2][0].lower()
        if not _STAGE_NAME.fullmatch(alias):
            start = found[2][1]
            hint = "it begins with a letter, and holds letters, figures, . _ and -"
            raise Mistake(
                "stage-name",
                f"invalid name for a build stage: {found[2][0]!r}",
                hint=hint,
                start=start,
                end=start + len(alias),
            )
        fields |= {"alias": alias, "as_keyword": found[1][0], "alias_written": found[2][0]}
    elif len(found) != 1:
        raise statement.mistake(
            "arguments", "FROM requires either one or three arguments", "FROM image, or FROM image AS name"
        )
    return records.From(image=found[0][0], platform=statement.flags.text("platform"), **fields)


def _arg(statement: Statement, fields: Fields) -> records.Instruction:
    found = quoted_words(statement.text, statement.escape)
    if not found:
        raise statement.mistake("arguments", "ARG requires at least one argument")
    definitions = []
    for word in found:
        name, separator, value = word.partition("=")
        if not name:
            raise statement.mistake("pair", "ARG has an empty name before the =")
        definitions.append((name, value if separator else None))
    return records.Arg(definitions=tuple(definitions), **fields)


def _env(statement: Statement, fields: Fields) -> records.Instruction:
    found, legacy = pairs(statement)
    return records.Env(pairs=found, legacy=legacy, **fields)


def _label(statement: Statement, fields: Fields) -> records.Instruction:
    found, legacy = pairs(statement)
    return records.Label(pairs=found, legacy=legacy, **fields)


def _run(statement: Statement, fields: Fields) -> records.Instruction:
    flags = statement.flags
    for flag in flags.all("mount"):
        _check_mount(flag.value or "", flag.start, flag.end)
    made = command(statement)
    if not made.words:
        raise statement.mistake("arguments", "RUN has no command")
    return records.Run(
        command=made,
        mounts=flags.texts("mount"),
        devices=flags.texts("device"),
        network=_one_of(flags.text("network") or "default", _NETWORKS, "--network"),
        security=_one_of(flags.text("security") or "sandbox", _SECURITY, "--security"),
        **fields,
    )


def _check_mount(text: str, start: int, end: int) -> None:
    """Find mistakes that do not depend on variables: what has one is taken for right, the name before `=` apart."""
    if "$" in text.partition("from=")[0]:
        return
    try:
        parse_mount(text, lambda value: value)
    except MountError as error:
        if "$" not in text or "from" in str(error):
            raise Mistake("mount", str(error), hint=error.hint, start=start, end=end) from None


def _one_of(value: str, choices: tuple[str, ...], flag: str) -> str:
    if "$" not in value and value not in choices:
        raise Mistake(
            "flag-value", f"{flag} is one of {', '.join(choices)}, not {value!r}", hint=did_you_mean(value, choices)
        )
    return value


def _transfer(statement: Statement, fields: Fields) -> Fields:
    found = words_or_json(statement)
    if len(found) < 2:
        hint = f"{statement.name} source… destination"
        raise statement.mistake(
            "arguments", f"{statement.name} requires at least two arguments, but has {len(found)}", hint
        )
    flags = statement.flags
    json = json_words(statement.text) is not None
    if not json and read_heredoc(found[-1]) is not None:
        raise statement.mistake("heredoc", f"a here-document cannot be the destination of {statement.name}")
    contents = {heredoc.name: heredoc for heredoc in statement.heredocs}
    sources, heredocs = [], []
    for word in found[:-1]:
        heredoc = None if json else read_heredoc(word)
        if heredoc is None:
            sources.append(word)
        else:
            heredocs.append(contents.get(heredoc.name, heredoc))
    return fields | {
        "sources": tuple(sources),
        "heredocs": tuple(heredocs),
        "destination": found[-1],
        "chown": flags.text("chown"),
        "chmod": flags.text("chmod"),
        "link": bool(flags.switch("link")),
        "exclude": flags.texts("exclude"),
    }


def _copy(statement: Statement, fields: Fields) -> records.Instruction:
    flags = statement.flags
    origin, parents = flags.text("from"), bool(flags.switch("parents"))
    if "$" in origin:
        hint = "name a stage FROM the variable's image, and use its name"
        raise Mistake("copy-from", "--from of COPY cannot hold variables", hint=hint)
    return records.Copy(origin=origin, parents=parents, **_transfer(statement, fields))


def _add(statement: Statement, fields: Fields) -> records.Instruction:
    flags = statement.flags
    special: Fields = {
        "checksum": flags.text("checksum"),
        "keep_git_dir": flags.switch("keep-git-dir"),
        "unpack": flags.switch("unpack"),
    }
    return records.Add(**special, **_transfer(statement, fields))


def _cmd(statement: Statement, fields: Fields) -> records.Instruction:
    return records.Cmd(command=command(statement), **fields)


def _entrypoint(statement: Statement, fields: Fields) -> records.Instruction:
    return records.Entrypoint(command=command(statement), **fields)


def _shell(statement: Statement, fields: Fields) -> records.Instruction:
    found = json_words(statement.text)
    if not found:
        raise statement.mistake("shell-form", "SHELL requires the JSON form", 'such as SHELL ["/bin/bash", "-c"]')
    return records.Shell(words=found, **fields)


def _user(statement: Statement, fields: Fields) -> records.Instruction:
    return records.User(user=single(statement), **fields)


def _workdir(statement: Statement, fields: Fields) -> records.Instruction:
    return records.Workdir(path=single(statement), **fields)


def _expose(statement: Statement, fields: Fields) -> records.Instruction:
    found = tuple(word for word, _ in words(statement))
    if not found:
        raise statement.mistake("arguments", "EXPOSE requires at least one argument")
    return records.Expose(ports=found, **fields)


def _volume(statement: Statement, fields: Fields) -> records.Instruction:
    found = words_or_json(statement)
    if not found:
        raise statement.mistake("arguments", "VOLUME requires at least one argument")
    if not all(path.strip() for path in found):
        raise statement.mistake("volume", "a volume's path cannot be empty")
    return records.Volume(paths=found, **fields)


def _stop_signal(statement: Statement, fields: Fields) -> records.Instruction:
    return records.StopSignal(signal=single(statement), **fields)


def _maintainer(statement: Statement, fields: Fields) -> records.Instruction:
    return records.Maintainer(author=single(statement), **fields)


def _healthcheck(statement: Statement, fields: Fields) -> records.Instruction:
    kind, rest = (*statement.text.split(None, 1), "", "")[:2]
    if kind.upper() == "NONE":
        if rest:
            raise statement.mistake("arguments", "HEALTHCHECK NONE takes no arguments")
        return records.Healthcheck(command=None, **fields)
    flags = statement.flags
    names = ("interval", "timeout", "start-period", "start-interval")
    times: Fields = {
        name.replace("-", "_"): duration(text, name) if (text := flags.text(name)) else 0 for name in names
    }
    retries = flags.text("retries")
    if retries and not (retries.isdecimal() and len(retries) < 10):
        raise Mistake("flag-value", f"--retries is a number, not {retries!r}")
    if kind.upper() != "CMD":
        raise statement.mistake(
            "healthcheck",
            f"HEALTHCHECK is followed by CMD or NONE, not {kind!r}" if kind else "HEALTHCHECK requires CMD or NONE",
        )
    made = command(statement, rest)
    if not made.words:
        raise statement.mistake("healthcheck", "HEALTHCHECK CMD has no command")
    return records.Healthcheck(command=made, retries=int(retries or 0), **times, **fields)


INSTRUCTIONS: dict[str, Callable[[Statement, Fields], records.Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
