"""Logging in at GitHub, any GitHub Enterprise, Gitea or Forgejo: OAuth 2's authorization code with PKCE.

The forge says who somebody is and what he may do with which repository; a password is never seen here. Called by the
web, which keeps `state` and `verifier` in the browser's session between the two steps. Sources: RFC 6749, RFC 7636,
GitHub, "Authorizing OAuth apps".
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

from ci.access.roles import Role
from ci.forge.body import Body
from ci.forge.client import Client, ForgeError, api_url
from ci.store.users import User

_SCOPE = {"github": "read:user user:email repo"}  # Gitea's applications have no narrower one than all


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What the forge knows this server as."""

    forge: str  # its kind
    forge_url: str
    client_id: str
    client_secret: str = field(repr=False)


class Attempt(NamedTuple):
    """Of one browser to log in; `url` is where it is sent. The others are asked for when it comes back."""

    url: str
    state: str
    verifier: str


class Login:
    """Logging in by one application. Thread-safe."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._pages = Client(application.forge_url)
        self._api = Client(api_url(application.forge, application.forge_url))

    def begin(self, redirect: str) -> Attempt:
        """Where to send the browser, which comes back to `redirect` with a code and the state."""
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        wanted = {
            "client_id": self._application.client_id,
            "redirect_uri": redirect,
            "response_type": "code",
            "scope": _SCOPE.get(self._application.forge, ""),
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Attempt(f"{self._application.forge_url}/login/oauth/authorize?{urlencode(wanted)}", state, verifier)

    def token(self, code: str, redirect: str, verifier: str) -> str:
        """The forge's token for a code. Raises ForgeError."""
        form = {
            "client_id": self._application.client_id,
            "client_secret": self._application.client_secret,
            "code": code,
            "redirect_uri": redirect,
            "grant_type": "authorization_code",
            "code_verifier": verifier,
        }
        body = Body(self._pages.call("POST", "/login/oauth/access_token", body=form).value)
        token = body.text("access_token")
        if not token:  # GitHub says no with the status 200
            reason = body.text("error_description") or body.text("error") or "it gives no token"
            raise ForgeError(f"{self._application.forge_url} refuses the log-in: {reason}", hint="try once more")
        return token

    def user(self, token: str) -> User:
        """Who a token is of; the token itself is not in it. Raises ForgeError."""
        body = Body(self._api.call("GET", "/user", token=token).value)
        identifier, login = body.number("id"), body.text("login")
        if not identifier or not login:
            raise ForgeError(f"{self._application.forge_url} does not say who has logged in")
        return User(
            login=login,
            forge_url=self._application.forge_url,
            forge_id=str(identifier),
            email=body.text("email"),
            avatar_url=_web(body.text("avatar_url")),
        )

    def roles(self, token: str) -> dict[str, Role]:
        """What he may do, by the forge's ids of repositories. Raises ForgeError."""
        found = {}
        for one in self._api.pages("/user/repos", token=token):
            body = Body(one)
            if identifier := body.number("id"):
                found[str(identifier)] = _role(body)
        return found


def _role(repository: Body) -> Role:
    for permission, role in (("admin", Role.ADMIN), ("push", Role.WRITE), ("pull", Role.READ)):
        if repository.at("permissions", permission) is True:
            return role
    return Role.NONE


def _web(url: str) -> str:
    """Nothing but the address of a page: it is shown in one."""
    return url if url.startswith(("https://", "http://")) else ""
