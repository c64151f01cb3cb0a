"""Who we are at which registry: docker's `config.json`, shared with docker, podman's `login` and the rest.

`auths` (with `identitytoken`), `credHelpers` and `credsStore` are read; `login` and `logout` write. The file is the
user's: what we do not know of it stays, and it is replaced whole, readable by its owner alone. Source: docker's manual
of `login`, "Credential stores"; containers-auth.json(5) for names with a path.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import InvalidError, SandboxError
from sandbox.image.reference import DEFAULT_DOMAIN, LEGACY_DOMAIN
from sandbox.registry.client import credential_helper
from sandbox.registry.client.hosts import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HUB_KEY = "https://index.docker.io/v1/"  # what docker calls its own registry in the file
_FILE_LIMIT = 8 << 20  # bytes
_HUB = frozenset((DEFAULT_DOMAIN, LEGACY_DOMAIN, DOCKER_HUB))


class Credential(NamedTuple):
    """A name and a password, or an identity token, which a token server takes in place of them."""

    username: str = ""
    password: str = ""
    identity_token: str = ""


class DockerConfig:
    """One `config.json`. A missing one is empty. Read when it is asked, so that a login elsewhere counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> DockerConfig:
        """$REGISTRY_AUTH_FILE (podman's), $DOCKER_CONFIG/config.json, ~/.docker/config.json."""
        if given := environment.get("REGISTRY_AUTH_FILE"):
            return cls(Path(given))
        if given := environment.get("DOCKER_CONFIG"):
            return cls(Path(given, "config.json"))
        return cls(Path(environment.get("HOME") or Path("~").expanduser(), ".docker", "config.json"))

    def find(self, domain: str, path: str = "") -> Credential | None:
        """Who we are at a registry, for a repository in it; None: nobody. Raises SandboxError (file, helper)."""
        document = self._read()
        helpers = document.get("credHelpers")
        for key in _keys(domain, path):
            helper = helpers.get(key) if isinstance(helpers, dict) else None
            if isinstance(helper, str) and helper:
                return _from_helper(helper, _server(domain))
        found = _find(document.get("auths"), domain, path)
        if found is not None:
            return found
        store = document.get("credsStore")
        return _from_helper(store, _server(domain)) if isinstance(store, str) and store else None

    def save(self, domain: str, credential: Credential) -> str:
        """Remember who we are; where that is kept, for a person."""
        document = self._read()
        helper = self._helper(document, domain)
        if helper:
            username = credential.username if not credential.identity_token else credential_helper.TOKEN
            secret = credential.identity_token or credential.password
            credential_helper.store(helper, _server(domain), username, secret)
            return f"docker-credential-{helper}"
        entry: dict[str, str] = {"auth": _encoded(credential.username, credential.password)}
        if credential.identity_token:
            entry = {"auth": _encoded(credential.username, ""), "identitytoken": credential.identity_token}
        document.setdefault("auths", {})[_server(domain)] = entry
        self._write(document)
        return str(self.path)

    def forget(self, domain: str) -> bool:
        """Forget who we are; whether we were anybody."""
        document = self._read()
        helper = self._helper(document, domain)
        known = credential_helper.erase(helper, _server(domain)) if helper else False
        entries = document.get("auths")
        if isinstance(entries, dict):
            kept = {key: entry for key, entry in entries.items() if key not in set(_keys(domain, ""))}
            if kept != entries:
                self._write({**document, "auths": kept})
                return True
        return known

    def _helper(self, document: Mapping[str, Any], domain: str) -> str:
        helpers = document.get("credHelpers")
        named = helpers.get(_server(domain)) if isinstance(helpers, dict) else None
        helper = named or document.get("credsStore")
        return helper if isinstance(helper, str) else ""

    def _read(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                data = file.read(_FILE_LIMIT)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise SandboxError(f"cannot read {self.path}: {(error.strerror or '').lower()}") from None
        try:
            document = json.loads(data or b"{}")
        except (ValueError, RecursionError) as error:
            raise InvalidError(f"{self.path} is not JSON: {error}", reference="docker-config") from None
        if not isinstance(document, dict):
            raise InvalidError(f"{self.path} is not an object", reference="docker-config")
        return document

    def _write(self, document: Mapping[str, Any]) -> None:
        target = self.path.resolve()  # it may be a link, which stays
        part = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123  (a descriptor)
                    json.dump(document, file, indent="\t")
                    file.write("\n")
                part.replace(target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise SandboxError(f"cannot write {self.path}: {(error.strerror or '').lower()}") from None


class GivenLogins:
    """Logins for one pull or push alone, which go before the user's own: texts of `config.json`, as pipelines' secrets
    for images (`image_pull_secrets`) have them, or of docker's older `.dockercfg`.

    Helpers that such a text names are not called: it may do no more than say who we are. InvalidError for a text that
    is none, without what is in it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._entries: list[dict[str, Any]] = []
        for number, text in enumerate(texts, 1):
            try:
                document = json.loads(text)
                entries = document.get("auths", document)
            except (ValueError, RecursionError, AttributeError):
                entries = None
            if not isinstance(entries, dict):
                raise InvalidError(f"login {number} is no docker config.json", reference="docker-config") from None
            self._entries.append(entries)

    def find(self, domain: str, path: str = "") -> Credential | None:
        """Who we are at a registry, for a repository in it; None: nobody."""
        found = (_find(entries, domain, path) for entries in self._entries)
        return next((credential for credential in found if credential is not None), None)


def _find(entries: object, domain: str, path: str) -> Credential | None:
    """The login of the closest name."""
    if not isinstance(entries, dict):
        return None
    found = (_entry(entries.get(key)) for key in _keys(domain, path))
    return next((credential for credential in found if credential is not None), None)


def _server(domain: str) -> str:
    return HUB_KEY if domain in _HUB else domain


def _keys(domain: str, path: str) -> Iterator[str]:
    """The names under which a registry may stand in the file, the closest first."""
    parts = path.split("/") if path else []
    for count in range(len(parts), 0, -1):
        yield "/".join((domain, *parts[:count]))
    if domain in _HUB:
        yield from (HUB_KEY, DEFAULT_DOMAIN, LEGACY_DOMAIN, DOCKER_HUB)
        return
    yield domain
    for scheme in ("https", "http"):
        yield from (f"{scheme}://{domain}{end}" for end in ("", "/", "/v1/", "/v2/", "/v1", "/v2"))


def _entry(entry: object) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    username, password, token = (_text(entry.get(key)) for key in ("username", "password", "identitytoken"))
    if text := _text(entry.get("auth")):
        try:
            decoded = base64.b64decode(text, validate=True).decode("utf-8").rstrip("\0")
        except (binascii.Error, UnicodeDecodeError):
            return None
        username, _, password = decoded.partition(":")
    return Credential(username, password, token) if token or (username and password) else None


def _from_helper(helper: str, server: str) -> Credential | None:
    found = credential_helper.get(helper, server)
    if found is None:
        return None
    username, secret = found
    return Credential(identity_token=secret) if username == credential_helper.TOKEN else Credential(username, secret)


def _encoded(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
