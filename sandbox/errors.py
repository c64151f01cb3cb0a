"""The errors of the engine.

Everything below `sandbox/` raises these for what a person can act on; `OSError` stays for what the kernel says and
nobody foresaw. Only the edges (`sandbox/cli`, `sandbox/api`, `runners`) turn them into a line on the terminal, an
exit code or an HTTP status.
"""

from __future__ import annotations


class SandboxError(Exception):
    """Something the caller can act on.

    `message` is lower case and names the path or value; `hint` says what to do; `reference` is a kebab-case word that
    tests and machine-readable output rely on. `exit_code` follows docker: 125 the engine could not do it, 126 the
    command is not executable, 127 it was not found.
    """

    reference = "sandbox-error"
    exit_code = 125

    def __init__(
        self, message: str, *, hint: str = "", reference: str | None = None, exit_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if reference is not None:
            self.reference = reference
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class NotFoundError(SandboxError):
    """A named image, container, network or volume does not exist."""

    reference = "not-found"


class ConflictError(SandboxError):
    """The name is taken, or the object's state forbids what was asked."""

    reference = "conflict"


class InvalidError(SandboxError):
    """A value that the caller gave is malformed."""

    reference = "invalid"


class UnsupportedError(SandboxError):
    """The host's kernel or set-up lacks what was asked for."""

    reference = "unsupported"


class LimitError(SandboxError):
    """Untrusted input went past a limit; nothing of it was kept."""

    reference = "limit-exceeded"
