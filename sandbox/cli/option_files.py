"""Small text files that options name: variables, labels, a seccomp profile. Used by `run`, `create` and `exec`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli import values
from sandbox.cli.options import UsageError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments

_FILE_LIMIT = 1 << 20


def entries(arguments: Arguments, key: str) -> list[str]:
    """The lines of the files that an option names."""
    found: list[str] = []
    for path in arguments.texts(key):
        text = read(path, f"--{key}")
        found += values.lines(text, path, f"--{key}")
    return found


def read(path: str, option: str) -> str:
    """The text of a file that the user names; raises UsageError."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (pathlib is not loaded yet)
            data = file.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{option} {path}: {(error.strerror or '').lower()}", hint="name a file") from None
    if len(data) > _FILE_LIMIT:
        raise UsageError(f"{option} {path}: the file is larger than 1 MiB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{option} {path} is not UTF-8 text") from None
