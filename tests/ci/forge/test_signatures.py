"""Who a request comes from: decided by raw bytes and a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.forge.signatures import UnsignedError, check, sign

SECRET, BODY = "It's a Secret to Everybody", b"Hello, World!"
HEX = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"  # GitHub's own example
NOW = 1_700_000_000.0


def _standard(secret: bytes, moment: int, identifier: str = "msg_1", body: bytes = BODY) -> dict[str, str]:
    message = f"{identifier}.{moment}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,AAAA v1,{signature} v2,zzz",
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"x-hub-signature-256": f"sha256={HEX}"},
        {"x-gitea-signature": HEX},
        {"x-forgejo-signature": HEX},
        {"x-gitlab-token": SECRET},
        _standard(SECRET.encode(), int(NOW) - 200),
    ],
)
def test_what_is_signed_is_taken(headers: dict[str, str]) -> None:
    """By the present secret, or the former while that is replaced."""
    check(headers, BODY, [SECRET], NOW)
    check(headers, BODY, ["new", SECRET], NOW)
    with pytest.raises(UnsignedError):
        check(headers, BODY, ["new"], NOW)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-hub-signature": "sha1=" + hmac.new(SECRET.encode(), BODY, "sha1").hexdigest()},
        {"x-hub-signature-256": ""},
        {"x-hub-signature-256": "sha256="},
        {"x-hub-signature-256": HEX},
        {"x-hub-signature-256": f"sha256={HEX.upper()}"},
        {"x-hub-signature-256": f"sha256={HEX[:-1]}8"},
        {"x-hub-signature-256": f"sha256={HEX} "},
        {"x-hub-signature-256": "sha256=ä\udcff"},
        {"x-hub-signature-256": "sha256=wrong", "x-gitlab-token": SECRET},
        {"x-gitlab-token": ""},
        _standard(SECRET.encode(), int(NOW) - 400),
        _standard(SECRET.encode(), int(NOW) + 400),
        _standard(SECRET.encode(), int(NOW), body=b"another"),
        _standard(SECRET.encode(), int(NOW)) | {"webhook-id": "msg_2"},
        _standard(SECRET.encode(), int(NOW)) | {"webhook-timestamp": "soon"},
        _standard(SECRET.encode(), int(NOW)) | {"webhook-signature": "v1,*"},
    ],
)
def test_what_is_not_signed_is_refused(headers: dict[str, str]) -> None:
    """Nothing, SHA-1 alone, another form of the right figures, an old time, or a bad signature beside a good token."""
    with pytest.raises(UnsignedError) as caught:
        check(headers, BODY, [SECRET], NOW)
    assert caught.value.reference == "unsigned"
    assert SECRET not in str(caught.value)


def test_a_repository_without_a_secret_takes_nothing() -> None:
    """An empty secret is none, or everybody could sign with it."""
    for secrets in ([], [""]):
        with pytest.raises(UnsignedError, match="has no secret"):
            check({"x-hub-signature-256": sign("", BODY), "x-gitlab-token": ""}, BODY, secrets, NOW)


def test_a_secret_in_the_form_of_the_standard() -> None:
    """`whsec_` and base64 stand for the bytes."""
    secret = "whsec_" + base64.b64encode(b"key").decode()
    check(_standard(b"key", int(NOW)), BODY, [secret], NOW)


@given(st.text(min_size=1), st.binary(max_size=100), st.binary(max_size=100))
def test_a_signature_is_of_one_body(secret: str, body: bytes, other: bytes) -> None:
    """Any secret signs any body, and no other."""
    headers = {"x-hub-signature-256": sign(secret, body)}
    check(headers, body, [secret], NOW)
    if body != other:
        with pytest.raises(UnsignedError):
            check(headers, other, [secret], NOW)
