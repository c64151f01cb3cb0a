"""Showing a server who we are: basic, or a token of the token server that it names, one for each set of scopes.

Nothing is sent before a server asks for it; what it then asks for is kept for the next requests. Thread-safe: downloads
that run side by side share tokens, and one of them fetches a new one. A password goes without TLS only to a server that
a person has said is to be spoken to so, or to this host (`hosts`). Source: distribution, docs/spec/auth/token.md
and oauth.md; docker's `login` for identity tokens.
"""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from sandbox.registry.client.challenge import parse
from sandbox.registry.client.dockerconfig import Credential
from sandbox.registry.client.failures import RegistryError, refused, wrong
from sandbox.registry.client.hosts import Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.registry.client.challenge import Challenge
    from sandbox.registry.client.hosts import Endpoint
    from sandbox.registry.client.transport import Answer, Transport

    Scopes = frozenset[str]

_CLIENT = "hako"
_DOCUMENT = 1 << 20  # bytes of a token server's answer
_NO_POST = frozenset((404, 405))  # of token servers that know the older way alone


def scope(path: str, *actions: str) -> str:
    """What a token is for: `repository:library/busybox:pull`."""
    return f"repository:{path}:{','.join(actions)}"


class Authorizer:
    """For one server. `credential` is asked once, when the server first wants to know."""

    def __init__(self, transport: Transport, endpoint: Endpoint, credential: Callable[[], Credential | None]) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._ask = credential
        self._known: Credential | None = None
        self._asked = False
        self._basic = ""
        self._tokens: dict[Scopes, str] = {}
        self._lock = threading.Lock()

    def header(self, scopes: Scopes) -> str:
        """The Authorization of a request; empty as long as nobody has asked for one."""
        token = self._tokens.get(scopes)
        return f"Bearer {token}" if token else self._basic

    def meet(self, answer: Answer, scopes: Scopes, sent: str) -> bool:
        """Do what an answer with status 401 asks for; whether another try with a new `header` makes sense. `sent` is
        the header that was not enough. Raises RegistryError where the token server gives none.
        """
        challenges = parse(answer.headers("WWW-Authenticate"))
        with self._lock:
            if self.header(scopes) != sent:  # another thread has been here
                return True
            for challenge in challenges:
                if challenge.scheme == "bearer":
                    self._tokens[scopes] = self._token(challenge, scopes)
                    return True
            for challenge in challenges:
                credential = self._credential()
                if challenge.scheme == "basic" and credential is not None and credential.password:
                    self._basic = _basic(credential)
                    return self._basic != sent
            return False

    def log_in(self, answer: Answer) -> Credential:
        """Check the credential with an answer to a request without one: what to keep of it, an identity token where the
        token server gives one. Raises RegistryError.
        """
        credential = self._credential() or Credential()
        for challenge in parse(answer.headers("WWW-Authenticate")):
            if challenge.scheme == "bearer":
                token = self._offline_token(challenge, credential)
                if token is None:
                    self._token(challenge, frozenset())
                return Credential(credential.username, "", token) if token else credential
        return credential

    def _credential(self) -> Credential | None:
        if not self._asked:
            self._known, self._asked = self._ask(), True
        return self._known

    def _token(self, challenge: Challenge, scopes: Scopes) -> str:
        realm = self._realm(challenge)
        wanted = sorted({*scopes, *challenge.parameters.get("scope", "").split()})
        fields = [("service", challenge.parameters["service"])] if challenge.parameters.get("service") else []
        credential = self._credential()
        if credential is not None and credential.identity_token:
            form = {
                **dict(fields),
                "grant_type": "refresh_token",
                "refresh_token": credential.identity_token,
                "client_id": _CLIENT,
                "scope": " ".join(wanted),
            }
            return self._granted(self._post(realm, form), "access_token", "token")
        headers = {}
        if credential is not None and credential.username:
            headers["Authorization"] = _basic(credential)
            fields.append(("account", credential.username))
        query = urlencode([*fields, *(("scope", one) for one in wanted)])
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}"
        answer = self._transport.send("GET", url, trust=self._trust(realm), headers=headers)
        return self._granted(answer, "token", "access_token")

    def _offline_token(self, challenge: Challenge, credential: Credential) -> str | None:
        """A token for the place of the password; None where the server does not know of such, empty where it gives
        none.
        """
        form = {
            "grant_type": "password",
            "access_type": "offline",
            "client_id": _CLIENT,
            "service": challenge.parameters.get("service", ""),
            "username": credential.username,
            "password": credential.password,
        }
        answer = self._post(self._realm(challenge), form)
        if answer.status in _NO_POST:
            answer.close()
            return None
        return self._granted(answer, "refresh_token", needed=False)

    def _post(self, realm: str, form: Mapping[str, str]) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode("ascii")
        return self._transport.send("POST", realm, trust=self._trust(realm), headers=headers, body=body)

    def _granted(self, answer: Answer, *names: str, needed: bool = True) -> str:
        with answer:
            if answer.status != 200:
                raise self._not_granted(answer)
            body = answer.whole(_DOCUMENT)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise wrong(f"the token server {answer.host} answers with something else than a token")
        for name in names:
            token = document.get(name)
            if isinstance(token, str) and token and token.isascii() and token.isprintable():
                return token
        if needed:
            raise wrong(f"the token server {answer.host} answers without a token")
        return ""

    def _not_granted(self, answer: Answer) -> RegistryError:
        body = answer.beginning(_DOCUMENT)
        known = self._credential()
        if answer.status in (400, 401, 403) and known is not None:
            who = f" of {known.username}" if known.username else ""
            return RegistryError(
                f"registry {self._endpoint.host} does not accept the login{who}",
                hint=f"log in anew: sandbox login {self._endpoint.host}",
                reference="registry-unauthorized",
                status=401,
            )
        return refused(answer.status, body, "a token", answer.host, answer.header("Retry-After"))

    def _realm(self, challenge: Challenge) -> str:
        realm = challenge.parameters.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise wrong(f"registry {self._endpoint.host} names no token server that can be asked")
        if parts.scheme == "http" and urlsplit(self._endpoint.url).scheme == "https":
            raise wrong(f"registry {self._endpoint.host} wants its token from {parts.netloc} without TLS")
        return realm

    def _trust(self, realm: str) -> Trust:
        trust = self._endpoint.trust
        if urlsplit(realm).netloc == self._endpoint.host:
            return trust
        return Trust(verify=trust.verify, authorities=trust.authorities)


def _basic(credential: Credential) -> str:
    text = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode("ascii")
    return f"Basic {text}"
