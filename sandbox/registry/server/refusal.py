"""What a request is refused with: an error code of the specification, the HTTP status that goes with it, and a detail.

Raised anywhere below the application, which alone makes an answer of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.registry.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# OCI distribution-spec 1.1 "Error Codes" names no statuses; these are those of its sections and of docker's registry.
STATUSES = {
    ErrorCode.BLOB_UNKNOWN: 404,
    ErrorCode.BLOB_UPLOAD_INVALID: 400,
    ErrorCode.BLOB_UPLOAD_UNKNOWN: 404,
    ErrorCode.DIGEST_INVALID: 400,
    ErrorCode.MANIFEST_BLOB_UNKNOWN: 404,
    ErrorCode.MANIFEST_INVALID: 400,
    ErrorCode.MANIFEST_UNKNOWN: 404,
    ErrorCode.NAME_INVALID: 400,
    ErrorCode.NAME_UNKNOWN: 404,
    ErrorCode.SIZE_INVALID: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.DENIED: 403,
    ErrorCode.UNSUPPORTED: 405,
    ErrorCode.TOOMANYREQUESTS: 429,
}


class Refusal(SandboxError):
    """A request that is not carried out, and why."""

    reference = "registry-refusal"

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        detail: object = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        more: Iterable[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.problems = (Problem(code, message, detail), *more)
        self.status = STATUSES[code] if status is None else status
        self.headers = headers or {}
