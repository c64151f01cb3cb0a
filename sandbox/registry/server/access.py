"""Who may do what: the accounts behind a registry, and the gate that a request passes.

`Accounts` is what a deployment brings: `htpasswd` for `sandbox registry serve`, the server's own accounts for `web`. A
`Gate` finds out who sends a request. The error for somebody unknown carries the challenge that makes clients ask for a
password or a token (RFC 9110 §11.6.1).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

ANONYMOUS = ""
REALM = "registry"


class Action(StrEnum):
    """What may be done with a repository; the words of docker's token scopes."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


NOTHING: frozenset[Action] = frozenset()
ALL = frozenset(Action)


class Accounts(Protocol):
    """Accounts and their rights. Called by many threads at once, for each request: answers are to be quick."""

    def check(self, account: str, password: str) -> str | None:
        """As whom `rights` are asked for then: the account, or a name for it with what this password allows alone. None
        for a wrong password. Takes as long for an account that does not exist.
        """

    def rights(self, account: str, repository: str) -> frozenset[Action]:
        """What an account (`ANONYMOUS`: anybody) may do with a repository, whether or not that exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request."""

    name: str = ANONYMOUS
    rights: Callable[[str], frozenset[Action]]  # by repository
    sees: Callable[[str], bool]  # whether a repository stands in the caller's catalog
    proven: bool = True  # credentials were shown, or nobody wants any
    final: bool = True  # to ask for other credentials would change nothing


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token allows: `repository:team/app:pull,push` (docker's token specification, "Resource Scope")."""

    repository: str
    actions: frozenset[Action]

    def __str__(self) -> str:
        return f"repository:{self.repository}:{','.join(action for action in Action if action in self.actions)}"


CATALOG_SCOPE = "registry:catalog:*"


class Gate(Protocol):
    """Finds the caller of a request."""

    def admit(self, authorization: str, base: str) -> Caller:
        """The caller by the header `Authorization`, empty where there is none; `base` is the address of the registry.
        Raises Refusal for one that is wrong.
        """

    def refuse(self, base: str, scope: str = "", *, shown: bool = False) -> Refusal:
        """The error that asks for credentials; `scope` is what a token has to allow. `shown`: there were some, which do
        not allow it.
        """


class OpenGate:
    """Everybody may do everything: a registry without accounts."""

    def admit(self, authorization: str, base: str) -> Caller:  # noqa: ARG002
        """Whoever it is: clients send the passwords that they keep for an address unasked."""
        return Caller(rights=lambda _: ALL, sees=lambda _: True)

    def refuse(self, base: str, scope: str = "", *, shown: bool = False) -> Refusal:  # noqa: ARG002
        """Never called: there is nothing that somebody may not."""
        return Refusal(ErrorCode.DENIED, "nobody may do that")


@dataclass(frozen=True, slots=True)
class BasicGate:
    """A name and a password with each request. Nobody passes without: docker asks for passwords only where its first
    request was refused, so that a registry half open would be one that nobody can push to.
    """

    accounts: Accounts

    def admit(self, authorization: str, base: str) -> Caller:
        """The account whose password it is."""
        account = basic(authorization, self.accounts)
        if account is None:
            raise self.refuse(base)
        return account_caller(self.accounts, account)

    def refuse(self, base: str, scope: str = "", *, shown: bool = False) -> Refusal:  # noqa: ARG002
        """The challenge for a password."""
        return unauthorized(f'Basic realm="{REALM}", charset="UTF-8"')


def account_caller(accounts: Accounts, account: str, *, proven: bool = True) -> Caller:
    """A caller with the rights that an account has now."""
    return Caller(
        name=account,
        rights=lambda repository: accounts.rights(account, repository),
        sees=lambda repository: Action.PULL in accounts.rights(account, repository),
        proven=proven,
        final=proven,
    )


def basic(authorization: str, accounts: Accounts) -> str | None:
    """The account of an `Authorization: Basic` header (RFC 7617); `None` for another header, or none. Raises Refusal
    for a wrong password.
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        account, colon, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        raise unauthorized(f'Basic realm="{REALM}"', "the credentials are garbled") from None
    known = accounts.check(account, password) if colon and account != ANONYMOUS else None
    if known is None:
        raise unauthorized(f'Basic realm="{REALM}"', "wrong name or password")
    return known


def unauthorized(challenge: str, message: str = "this takes a login") -> Refusal:
    """The error that asks for credentials. With the message that docker's own registry has and no detail, docker's
    client would take the error for one that goes away, and try for a minute.
    """
    return Refusal(ErrorCode.UNAUTHORIZED, message, headers={"WWW-Authenticate": challenge})
