"""Tokens: docker's token specification with an issuer of our own, in the same place as the registry.

A client that is refused asks the realm of the challenge for a token, with its password or without, and sends it along
from then on. The token lists repositories and actions (a JSON Web Token, RFC 7519), signed with a key that every
process of the registry has; it is looked at by the registry alone, so HMAC (HS256) does. What the token's own header
says of keys and algorithms is never followed (CVE-2025-24976). Source: distribution "Token Authentication
Specification", "Token Scope Documentation", "OAuth2 Token Authentication".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from typing import TYPE_CHECKING, Any

from sandbox.registry import names
from sandbox.registry.server import durable
from sandbox.registry.server.access import (
    ALL,
    ANONYMOUS,
    NOTHING,
    Action,
    Caller,
    Scope,
    account_caller,
    basic,
    unauthorized,
)
from sandbox.registry.server.routes import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.registry.server.access import Accounts
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.refusal import Refusal

LIFETIME = 300  # seconds; docker's clients count on 60 at least
_SCOPES = 50  # of one token
_LONGEST = 64 << 10  # bytes of a header
_HEADER = {"typ": "JWT", "alg": "HS256"}


class TokenGate:
    """Admits tokens; and passwords, too, which are simpler to type. `service` names the registry in its tokens."""

    def __init__(
        self,
        accounts: Accounts,
        key: bytes,
        *,
        service: str = "registry",
        lifetime: int = LIFETIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounts = accounts
        self._key = key
        self._service = service
        self._lifetime = lifetime
        self._clock = clock

    def admit(self, authorization: str, base: str) -> Caller:
        """The caller that a token or password is of; anybody without either, with the rights of anybody."""
        if not authorization:
            return account_caller(self._accounts, ANONYMOUS, proven=False)
        account = basic(authorization, self._accounts)
        if account is not None:
            return account_caller(self._accounts, account)
        scheme, _, token = authorization.partition(" ")
        claims = self._verify(token.strip()) if scheme.lower() == "bearer" else None
        if claims is None:
            raise unauthorized(self._challenge(base, "", "invalid_token"), "the token is invalid or too old")
        name = claims["sub"]
        allowed = {scope.repository: scope.actions for scope in _scopes(claims["access"])}
        return Caller(
            name=name,
            rights=lambda repository: allowed.get(repository, NOTHING),
            sees=lambda repository: Action.PULL in self._accounts.rights(name, repository),
            final=False,
        )

    def refuse(self, base: str, scope: str = "", *, shown: bool = False) -> Refusal:
        """The challenge that says where tokens are to be had (RFC 6750 §3.1)."""
        if shown:
            return unauthorized(self._challenge(base, scope, "insufficient_scope"), "the token does not allow this")
        return unauthorized(self._challenge(base, scope))

    def issue(self, account: str, scopes: Iterable[str]) -> dict[str, Any]:
        """The answer of the token endpoint: of what is asked for, what the account may."""
        access = []
        for scope in _parse_scopes(scopes):
            actions = scope.actions & self._accounts.rights(account, scope.repository)
            access.append({"type": "repository", "name": scope.repository, "actions": sorted(actions)})
        now = int(self._clock())
        claims = {
            "iss": self._service,
            "sub": account,
            "aud": self._service,
            "iat": now,
            "nbf": now,
            "exp": now + self._lifetime,
            "jti": os.urandom(12).hex(),
            "access": access,
        }
        signed = f"{_encode(_dump(_HEADER))}.{_encode(_dump(claims))}"
        token = f"{signed}.{_encode(self._sign(signed))}"
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        return {"token": token, "access_token": token, "expires_in": self._lifetime, "issued_at": issued}

    def account(self, authorization: str) -> str:
        """Who asks the endpoint for a token. Raises Refusal for a wrong password."""
        return basic(authorization, self._accounts) or ANONYMOUS

    def check(self, account: str, password: str) -> str | None:
        """Who it is, where the password came in a form; None where it is wrong."""
        return self._accounts.check(account, password) if account != ANONYMOUS else None

    def _challenge(self, base: str, scope: str, error: str = "") -> str:
        fields = {"realm": f"{base}{TOKEN_PATH}", "service": self._service, "scope": scope, "error": error}
        return "Bearer " + ",".join(f'{key}="{value}"' for key, value in fields.items() if value)

    def _sign(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("ascii"), hashlib.sha256)

    def _verify(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that we signed, that is meant for us and is valid now."""
        signed, _, signature = token.rpartition(".")
        if (
            len(token) > _LONGEST
            or not token.isascii()
            or not hmac.compare_digest(_decode(signature), self._sign(signed))
        ):
            return None
        claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
        now = self._clock()
        return claims if claims["aud"] == self._service and claims["nbf"] <= now + 1 and now < claims["exp"] else None


def secret(layout: Layout) -> bytes:
    """The key of a registry's directory; made by whoever needs it first."""
    path = layout.root / "secret"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        fresh = layout.root / "tmp" / f"image-{os.urandom(8).hex()}"
        durable.make_directory(fresh.parent)
        fresh.touch(mode=0o600)
        fresh.write_bytes(os.urandom(32))
        durable.link(fresh, path)
        fresh.unlink()
        return path.read_bytes()


def _parse_scopes(texts: Iterable[str]) -> list[Scope]:
    """The scopes of a request: each parameter has one or several. What is no repository's is left out, as docker's
    issuers do.
    """
    found = []
    for text in " ".join(texts).split()[:_SCOPES]:
        kind, _, rest = text.partition(":")
        repository, _, actions = rest.rpartition(":")
        if kind == "repository" and names.is_repository(repository):
            wanted = frozenset(actions.split(","))
            found.append(Scope(repository, ALL if "*" in wanted else ALL & wanted))
    return found


def _scopes(access: Iterable[dict[str, Any]]) -> list[Scope]:
    return [Scope(entry["name"], frozenset(Action(action) for action in entry["actions"])) for entry in access]


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
