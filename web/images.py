"""The registry of images of the server, below `/v2`: `docker login`, push and pull with the server's accounts.

Images are called like the repository that they belong to, in small letters: `octo/hello`, and whatever is below it. Who
may read that pulls them, who may write pushes them, its administrators delete them; a public repository's images are
anybody's to pull. The password of a login is one of the account's tokens, which allows no more here than elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.access import roles
from ci.access.roles import Role
from ci.errors import CiError
from ci.store import permissions, repositories, tokens, users
from sandbox.registry.server.access import ANONYMOUS, Action
from sandbox.registry.server.application import Registry
from sandbox.registry.server.layout import Layout
from sandbox.registry.server.tokens import TokenGate, secret

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from web.services import Services

EXTENSION = "images"  # where Flask's application has it
_PREFIX = "/v2"
_NEEDED = {Action.PULL: Role.READ, Action.PUSH: Role.WRITE, Action.DELETE: Role.ADMIN}


class Images:
    """The application with the registry before it: whatever begins with `/v2` is the registry's."""

    def __init__(self, application: WSGIApplication, services: Services) -> None:
        root = services.settings.images
        gate = TokenGate(Members(services), secret(Layout(root)), clock=services.clock)
        self._application = application
        self.registry = Registry(root, gate=gate, public=services.settings.server_url)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        path = str(environ.get("PATH_INFO", ""))
        is_registry = path == _PREFIX or path.startswith(f"{_PREFIX}/")
        return (self.registry if is_registry else self._application)(environ, start_response)


class Members:
    """The server's accounts as the registry wants them. A caller is called `ID:ROLE`, after the account and after what
    its token allows at most: for as long as a token of the registry is valid, five minutes, nothing else is asked.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def check(self, account: str, password: str) -> str | None:
        """See `Accounts`: the name is that of the token's account."""
        now = self._services.clock()
        with self._services.database.read() as connection:
            found = tokens.user(connection, password, now)
        if found is None or found[0].login != account:
            return None
        user, token, stale = found
        if stale:
            with self._services.database.write() as connection:
                tokens.note(connection, token.id, now)
        return f"{user.id}:{token.role}"

    def rights(self, account: str, repository: str) -> frozenset[Action]:
        """See `Accounts`."""
        role = self._role(account, "/".join(repository.split("/")[:2]))
        return frozenset(action for action, needed in _NEEDED.items() if role.covers(needed))

    def _role(self, account: str, name: str) -> Role:
        with self._services.database.read() as connection:
            found = repositories.of_images(connection, name)
            if found is None:
                return Role.NONE
            if account == ANONYMOUS:
                return roles.role(found, None, Role.NONE)
            identifier, _, limit = account.partition(":")
            try:
                user = users.get(connection, int(identifier))
            except CiError:  # removed since
                return roles.role(found, None, Role.NONE)
            given = permissions.of(connection, user.id, found.id)
        return roles.role(found, user, given).within(Role(limit))
