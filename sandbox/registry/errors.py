"""The errors of the OCI Distribution specification 1.1 ("Error Codes"): their codes, and the body that carries them.

The server writes them, the client reads them.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple

_MOST = 10  # of one answer that are read
_LONGEST = 300  # characters of a message that are kept


class ErrorCode(StrEnum):
    """What a registry's answer may say is wrong."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    SIZE_INVALID = "SIZE_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"


class Problem(NamedTuple):
    """One entry of `errors`. `code` may be one that nobody has written down."""

    code: str
    message: str = ""
    detail: object = None


def dump(*problems: Problem) -> bytes:
    """The body of an answer."""
    entries = []
    for problem in problems:
        entry: dict[str, object] = {"code": str(problem.code), "message": problem.message}
        if problem.detail is not None:
            entry["detail"] = problem.detail
        entries.append(entry)
    return json.dumps({"errors": entries}).encode("utf-8")


def parse(body: bytes) -> tuple[Problem, ...]:
    """The problems of a body, none for one of another form: what stands in front of a registry answers with pages.

    Messages are one printable line, cut.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    listed = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    return tuple(
        Problem(_line(entry.get("code")), _line(entry.get("message")), entry.get("detail"))
        for entry in listed[:_MOST]
        if isinstance(entry, dict)
    )


def _line(value: object) -> str:
    """A text of a stranger, fit for a terminal."""
    if not isinstance(value, str):
        return ""
    return "".join(one if one.isprintable() else " " for one in value[:_LONGEST])
