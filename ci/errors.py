"""The errors of the server's domain; the same shape as the engine's, so that every edge prints them alike."""

from __future__ import annotations


class CiError(Exception):
    """Something the caller can act on: `message` (lower case, names the value), `hint`, kebab-case `reference`, exit
    code.
    """

    reference = "ci-error"
    exit_code = 2

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
