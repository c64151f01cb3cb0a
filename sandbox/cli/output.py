"""Writing to this process's standard output and error, whatever they are: pipes, files, terminals, a full disk."""

from __future__ import annotations

import os
from contextlib import suppress

from sandbox.errors import SandboxError
from sandbox.kernel.polling import writable


def say(text: str) -> None:
    """Write to standard output, at once."""
    write(1, text.encode("utf-8", "surrogateescape"))


def tell(line: str) -> None:
    """A line on standard error; where nobody can hear it, it is not said."""
    with suppress(OSError, SandboxError):
        write(2, f"{line}\n".encode("utf-8", "surrogateescape"))


def write(descriptor: int, data: bytes) -> None:
    """Write everything, blocking. Raises BrokenPipeError when nobody reads any more, else SandboxError."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # made non-blocking by somebody who shares it with us
            writable(descriptor)
        except OSError as error:
            raise unwritable(descriptor, error) from error


def unwritable(descriptor: int, error: OSError) -> Exception:
    """The error to raise for a failed write."""
    if isinstance(error, BrokenPipeError):
        return error
    name = "standard error" if descriptor == 2 else "standard output"
    return SandboxError(f"cannot write to {name}: {(error.strerror or '').lower()}", reference="output")
