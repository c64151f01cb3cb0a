"""Where a repository is fetched from, and with what header: by the server's mirror and by runners."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ci.mirror.transport import Remote
from ci.store import forgekeys

if TYPE_CHECKING:
    from ci.secrets.keyring import Keyring
    from ci.store.repositories import Repository

# Whom a token logs in as: what each forge documents for HTTP's basic authentication.
_USERS = {"github": "x-access-token", "gitlab": "oauth2"}


def remote(repository: Repository, keyring: Keyring, url: str = "") -> Remote:
    """`url`: where the repository has none of its own. The token only goes where the repository itself says."""
    if not repository.clone_url:
        return Remote(url=url)
    token = forgekeys.token(keyring, repository)
    if not token or not repository.clone_url.startswith("https://"):
        return Remote(url=repository.clone_url)
    pair = f"{_USERS.get(repository.forge, 'token')}:{token}"
    return Remote(url=repository.clone_url, header=f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
