"""What a repository and its forge know each other by: the secret of its webhook, and the forge's token. Encrypted."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import sqlalchemy as sql

from ci.store.schema import repositories

if TYPE_CHECKING:
    from ci.secrets.keyring import Keyring
    from ci.store.repositories import Repository

_BYTES = 32


def hook_secrets(keyring: Keyring, repository: Repository) -> tuple[str, ...]:
    """What its webhook may be signed with: the present secret, and the former one while it is replaced."""
    kept = (repository.hook_secret, repository.former_hook_secret)
    return tuple(keyring.decrypt(one, _hook(repository.id)) for one in kept if one)


def renew_hook_secret(connection: sql.Connection, keyring: Keyring, repository_id: int, secret: str = "") -> str:
    """Give it a new secret, by default one of chance; the present one is good until the next time."""
    made = secret or secrets.token_urlsafe(_BYTES)
    connection.execute(
        sql.update(repositories)
        .where(repositories.c.id == repository_id)
        .values(hook_secret=keyring.encrypt(made, _hook(repository_id)), former_hook_secret=repositories.c.hook_secret)
    )
    return made


def token(keyring: Keyring, repository: Repository) -> str:
    """The forge's token for it; empty where there is none."""
    return keyring.decrypt(repository.token, _token(repository.id)) if repository.token else ""


def set_token(connection: sql.Connection, keyring: Keyring, repository_id: int, text: str) -> None:
    """Keep a token for it, or, with an empty text, none any more."""
    kept = keyring.encrypt(text, _token(repository_id)) if text else ""
    connection.execute(sql.update(repositories).where(repositories.c.id == repository_id).values(token=kept))


def _hook(repository_id: int) -> str:
    return f"repository {repository_id}, webhook"


def _token(repository_id: int) -> str:
    return f"repository {repository_id}, token of the forge"
