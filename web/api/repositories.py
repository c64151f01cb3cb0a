"""The API's operations on repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ci.access.roles import Role
from ci.mirror import transport
from ci.store import forgekeys, permissions, repositories
from ci.trigger import rules
from web.access import gate
from web.access.identity import identity
from web.api import shapes
from web.api.operation import Operations
from web.refusals import ForbiddenError
from web.services import current

if TYPE_CHECKING:
    from ci.store.repositories import Repository

operations = Operations("repositories")
_Text = Annotated[str, msgspec.Meta(max_length=1024)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[\w.-]+(/[\w.-]+)+$", max_length=400)]


class NewRepository(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A repository to build. `forge_id` is what the forge calls it by; a repository of no forge has its name there."""

    name: _Name
    clone_url: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    forge: Annotated[str, msgspec.Meta(pattern="^(github|gitea|forgejo|gitlab|git)$")] = "git"
    forge_url: _Text = ""
    forge_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    ssh_url: _Text = ""
    default_branch: _Text = "main"
    private: bool = True


class ChangedRepository(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be otherwise. `settings` are merged with those that there are; `null` takes one away.

    `trusted` is for administrators of the server: such a repository's steps may reach out of their containers.
    """

    active: bool | None = None
    private: bool | None = None
    trusted: bool | None = None
    default_branch: _Text | None = None
    clone_url: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] | None = None
    settings: dict[str, Any] | None = None


class ForgeToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the forge's."""

    token: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]*$", max_length=1024)]


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`q`: words that the names have in them."""

    q: str = ""


@operations.add("GET", "/repos", "The repositories that you may see", query=Search, answer=list[shapes.Repository])
def list_repositories(query: Search) -> list[shapes.Repository]:
    """All of them, by name."""
    words = query.q.lower().split()
    with current().database.read() as connection:
        found = permissions.readable(connection, identity().user)
    return [_shown(one) for one in found if all(word in one.name.lower() for word in words)]


@operations.add(
    "POST", "/repos", "Build a repository", body=NewRepository, answer=shapes.Repository, status=201, public=False
)
def add_repository(body: NewRepository) -> shapes.Repository:
    """For administrators of the server."""
    gate.administrator()
    services = current()
    transport.check_url(body.clone_url, files=services.settings.files)
    new = repositories.Repository(
        forge=body.forge,
        forge_url=body.forge_url.rstrip("/"),
        forge_id=body.forge_id or body.name,
        name=body.name,
        clone_url=body.clone_url,
        ssh_url=body.ssh_url,
        default_branch=body.default_branch,
        private=body.private,
        created=services.clock(),
    )
    with services.database.write() as connection:
        added = repositories.add(connection, new)
        forgekeys.renew_hook_secret(connection, services.keyring, added.id)
    return _shown(added)


@operations.add("GET", "/repos/<path:name>", "One repository", answer=shapes.Repository)
def show_repository(name: str) -> shapes.Repository:
    """With its settings for who may change something of it."""
    return _shown(gate.repository(name))


@operations.add(
    "PATCH",
    "/repos/<path:name>",
    "Change a repository",
    body=ChangedRepository,
    answer=shapes.Repository,
    public=False,
)
def change_repository(name: str, body: ChangedRepository) -> shapes.Repository:
    """For who has the role admin for it."""
    repository = gate.repository(name, Role.ADMIN)
    services = current()
    if body.trusted is not None and not gate.member().admin:
        raise ForbiddenError("only administrators of the server say whom to trust")
    if body.clone_url is not None:
        transport.check_url(body.clone_url, files=services.settings.files)
    names = ("active", "private", "trusted", "default_branch", "clone_url")
    changes = {one: getattr(body, one) for one in names if getattr(body, one) is not None}
    if body.settings is not None:
        merged = {**repository.settings, **body.settings}
        changes["settings"] = {key: value for key, value in merged.items() if value is not None}
        rules.settings(changes["settings"])
    with services.database.write() as connection:
        return _shown(repositories.update(connection, repository.id, **changes) if changes else repository)


@operations.add(
    "GET", "/repos/<path:name>/hook", "What a forge has to be told of its webhook", answer=shapes.Hook, public=False
)
def show_hook(name: str) -> shapes.Hook:
    """For who has the role admin for it."""
    return _hook(gate.repository(name, Role.ADMIN))


@operations.add(
    "POST", "/repos/<path:name>/hook", "Give the webhook a new secret", answer=shapes.Hook, status=201, public=False
)
def renew_hook(name: str) -> shapes.Hook:
    """The former one is good until the next time."""
    repository = gate.repository(name, Role.ADMIN)
    services = current()
    with services.database.write() as connection:
        forgekeys.renew_hook_secret(connection, services.keyring, repository.id)
        return _hook(repositories.get(connection, repository.id))


@operations.add(
    "PUT", "/repos/<path:name>/token", "Give the forge's token for a repository", body=ForgeToken, public=False
)
def put_token(name: str, body: ForgeToken) -> None:
    """With it a private repository is fetched, and its forge told how builds end. Empty: none any more."""
    repository = gate.repository(name, Role.ADMIN)
    services = current()
    with services.database.write() as connection:
        forgekeys.set_token(connection, services.keyring, repository.id, body.token)


def _hook(repository: Repository) -> shapes.Hook:
    services = current()
    found = forgekeys.hook_secrets(services.keyring, repository)
    return shapes.Hook(url=f"{services.settings.server_url}/hooks/{repository.id}", secret=found[0] if found else "")


def _shown(repository: Repository) -> shapes.Repository:
    return shapes.repository(repository, gate.role(repository))
