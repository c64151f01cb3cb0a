"""Whether a request comes from who knows the secret: decided by its raw bytes, before anything of it is read.

GitHub, Gitea and Forgejo sign the body with HMAC-SHA256. GitLab does since version 19 (after the Standard Webhooks
specification, with a time against replays); before, it can only send the secret itself, which is taken where a
repository has been told to. SHA-1 is not looked at. Sources: GitHub, "Validating webhook deliveries"; Standard
Webhooks, "Verifying webhook authenticity".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HEX_HEADERS = (
    ("x-hub-signature-256", "sha256="),
    ("x-forgejo-signature", ""),
    ("x-gitea-signature", ""),
)
_TOLERANCE = 300.0  # seconds that the clocks of a signed time may differ


class UnsignedError(CiError):
    """A request that nobody with the secret has made."""

    reference = "unsigned"


def check(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
    """Raise UnsignedError unless one of `secrets` (the present one, and the former while it is replaced) has signed it.

    `headers` have lower-case names.
    """
    keys = [secret.encode() for secret in secrets if secret]
    if not keys:
        raise UnsignedError("the repository has no secret for its webhook", hint="set one up")
    for name, prefix in _HEX_HEADERS:
        if name in headers:
            given = headers[name].encode("utf-8", "surrogateescape")
            _require(name, (prefix.encode() + _digest(key, body).hex().encode() for key in keys), [given])
            return
    if "webhook-signature" in headers:
        _require("webhook-signature", *_standard(headers, body, keys, now))
        return
    if "x-gitlab-token" in headers:
        given = headers["x-gitlab-token"].encode("utf-8", "surrogateescape")
        _require("x-gitlab-token", keys, [given])
        return
    raise UnsignedError(
        "the request is not signed", hint="give the forge the secret that the repository's settings show"
    )


def sign(secret: str, body: bytes) -> str:
    """What `X-Hub-Signature-256` is for a body."""
    return f"sha256={_digest(secret.encode(), body).hex()}"


def _standard(
    headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], now: float
) -> tuple[list[bytes], list[bytes]]:
    """By the Standard Webhooks specification: what the signature may be, and those given, of which there are several
    while a secret is replaced.
    """
    try:
        moment = int(headers.get("webhook-timestamp", ""))
        given = [
            base64.b64decode(text, validate=True)
            for version, _, text in (one.partition(",") for one in headers["webhook-signature"].split())
            if version == "v1"
        ]
    except (ValueError, binascii.Error):
        return [], []
    if abs(now - moment) > _TOLERANCE:
        return [], []
    message = f"{headers.get('webhook-id', '')}.{moment}.".encode("utf-8", "surrogateescape") + body
    return [_digest(_standard_key(key), message) for key in keys], given


def _standard_key(secret: bytes) -> bytes:
    """`whsec_…` is base64 of the key; any other text is the key."""
    if secret.startswith(b"whsec_"):
        try:
            return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret


def _digest(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _require(header: str, expected: Iterable[bytes], given: Sequence[bytes]) -> None:
    # All are compared, each in constant time: how long it takes tells nothing.
    matches = [hmac.compare_digest(one, other) for one in expected for other in given]
    if not any(matches):
        raise UnsignedError(
            f"{header} does not fit the body and the secret", hint="does the forge have the repository's secret?"
        )
