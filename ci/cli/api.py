"""The server that `ci-run`'s verbs talk to by its REST API: which one, and with which token.

`ci-run login` writes both to a file of the user's; HAKO_SERVER_URL and HAKO_TOKEN count before it. Called by the verbs
`repo`, `build` and `secret`.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ci.errors import CiError
from ci.forge.body import Body
from ci.forge.client import Client, ForgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

_API = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A server, and the token for it; both may be empty."""

    url: str = ""
    token: str = field(default="", repr=False)


class Server:
    """The API of a server. What it refuses is a CiError, in its own words."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._client = Client(login.url + _API)

    def get(self, *path: str, **query: str) -> Any:
        """What is there. Empty values of the query are left out."""
        return self._call("GET", path, query={name: value for name, value in query.items() if value})

    def send(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to a request that changes something."""
        return self._call(method, path, body=body)

    def _call(self, method: str, path: tuple[str, ...], **more: Any) -> Any:
        try:
            return self._client.call(method, _path(path), token=self._login.token, **more).value
        except ForgeError as error:
            raise _explained(error) from None


def file(environment: Mapping[str, str]) -> Path:
    """Where the login is kept."""
    base = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '/')}/.config"
    return Path(base) / "hako" / "server.json"


def login(environment: Mapping[str, str]) -> Login:
    """As the environment says, or as it is kept. Raises CiError where no server is known."""
    kept = _read(file(environment))
    url = (environment.get("HAKO_SERVER_URL") or kept.url).rstrip("/")
    if not url:
        raise CiError("no server is known", hint="`ci-run login URL`, or set HAKO_SERVER_URL", reference="no-server")
    # A token is for the server that it was given for.
    token = environment.get("HAKO_TOKEN") or (kept.token if url == kept.url else "")
    return Login(url=url, token=token)


def keep(environment: Mapping[str, str], new: Login) -> Path:
    """Write it, for nobody else to read."""
    path = file(environment)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as written:
        json.dump({"url": new.url, "token": new.token}, written)
    Path(draft).replace(path)
    return path


def server(environment: Mapping[str, str] | None = None) -> Server:
    """The one that is known."""
    return Server(login(os.environ if environment is None else environment))


def _explained(error: ForgeError) -> CiError:
    said = Body(error.said)
    message = said.text("error", "message") or error.message
    hint = said.text("error", "hint") if said.has("error") else error.hint
    if error.status == 401:
        hint = "`ci-run login URL` with a token that is in force"
    return CiError(message, hint=hint, reference="server", exit_code=1)


def _path(parts: tuple[str, ...]) -> str:
    """`/` within a part stays: names of repositories have it."""
    return "/" + "/".join(quote(part, safe="/") for part in parts)


def _read(path: Path) -> Login:
    try:
        found = json.loads(path.read_text("utf-8"))
        return Login(url=str(found["url"]), token=str(found["token"]))
    except FileNotFoundError:
        return Login()
    except (ValueError, KeyError, TypeError):
        raise CiError(f"{path} is damaged", hint="remove it, and log in again", reference="no-server") from None
