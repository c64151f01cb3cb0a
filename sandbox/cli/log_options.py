"""`--log-opt`: how much of a container's output is kept. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli import values
from sandbox.cli.options import Option, UsageError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments

OPTION = Option(("--log-opt",), "max-size=10m, max-file=3, labels=…, env=… of its log", "NAME=VALUE", many=True)
_LEAST = 1 << 12  # bytes: a file holds some records at least
_MOST_FILES = 1000
_IGNORED = ("compress", "mode", "max-buffer-size", "tag", "labels-regex", "env-regex")


def log_options(arguments: Arguments) -> dict[str, str]:
    """What the line asks for; sizes in bytes. Raises UsageError."""
    found: dict[str, str] = {}
    for text in arguments.texts("log-opt"):
        name, equals, value = text.partition("=")
        what = f"--log-opt {text!r}"
        if name == "max-size" and equals:
            size = values.size(value, "--log-opt max-size")
            if size < _LEAST:
                raise UsageError(f"{what} is too little", hint="4k at least")
            found[name] = str(size)
        elif name == "max-file" and equals:
            if not (value.isascii() and value.isdigit() and 0 < int(value) <= _MOST_FILES):
                raise UsageError(f"{what} is not a number of files", hint=f"from 1 to {_MOST_FILES}")
            found[name] = value
        elif name in ("labels", "env") and equals:
            found[name] = value
        elif name not in _IGNORED:
            raise UsageError(f"{what} is unknown", hint="max-size, max-file, labels, env")
    if "max-file" in found and "max-size" not in found:
        raise UsageError("--log-opt max-file needs max-size", hint="such as --log-opt max-size=10m")
    return found
