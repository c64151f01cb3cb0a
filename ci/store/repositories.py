"""The repositories that are built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from ci.errors import CiError
from ci.store.schema import repositories

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository at a forge. `id` is ours, `forge_id` the forge's own, which stays when it is renamed."""

    id: int = 0
    forge: str
    forge_url: str
    forge_id: str
    name: str  # owner/name
    clone_url: str = ""
    ssh_url: str = ""
    default_branch: str = ""
    private: bool = False
    trusted: bool = False
    active: bool = True
    last_number: int = 0  # of its builds
    settings: Mapping[str, Any] = field(default_factory=dict)
    hook_secret: str = field(default="", repr=False)  # encrypted, as the next two: see `forgekeys`
    former_hook_secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    created: float = 0.0


def add(connection: sql.Connection, repository: Repository) -> Repository:
    """Add one; it with its id. Raises CiError where the forge has it already here."""
    values = _values(repository)
    try:
        with connection.begin_nested():
            identifier = connection.execute(
                sql.insert(repositories).values(values).returning(repositories.c.id)
            ).scalar_one()
    except IntegrityError as error:
        raise CiError(
            f"repository {repository.name} of {repository.forge_url} is here already", reference="repository-exists"
        ) from error
    return get(connection, identifier)


def get(connection: sql.Connection, identifier: int) -> Repository:
    """By our id. Raises CiError."""
    row = connection.execute(sql.select(repositories).where(repositories.c.id == identifier)).one_or_none()
    if row is None:
        raise CiError(f"no repository {identifier}", reference="no-such-repository")
    return _record(row)


def find(connection: sql.Connection, name: str, *, forge_url: str = "") -> Repository:
    """By its name, where several forges have one of this name with the forge's URL. Raises CiError."""
    wanted = [repositories.c.name == name]
    if forge_url:
        wanted.append(repositories.c.forge_url == forge_url)
    rows = connection.execute(sql.select(repositories).where(*wanted)).all()
    if len(rows) > 1:
        forges = ", ".join(sorted(row.forge_url for row in rows))
        raise CiError(
            f"{name} is the name of several repositories", hint=f"say of which: {forges}", reference="ambiguous"
        )
    if not rows:
        raise CiError(f"no repository {name}", hint="`ci-run repo ls` lists them", reference="no-such-repository")
    return _record(rows[0])


def of_images(connection: sql.Connection, name: str) -> Repository | None:
    """The one whose images are called `name`, which has no capital letters; None where there are none or several."""
    rows = connection.execute(sql.select(repositories).where(sql.func.lower(repositories.c.name) == name)).all()
    return _record(rows[0]) if len(rows) == 1 else None


def update(connection: sql.Connection, identifier: int, **fields: Any) -> Repository:
    """Change fields of one."""
    connection.execute(sql.update(repositories).where(repositories.c.id == identifier).values(fields))
    return get(connection, identifier)


def every(connection: sql.Connection) -> tuple[Repository, ...]:
    """All, by name."""
    rows = connection.execute(sql.select(repositories).order_by(repositories.c.name, repositories.c.forge_url))
    return tuple(_record(row) for row in rows)


def next_number(connection: sql.Connection, identifier: int) -> int:
    """The number of its next build. The row is the transaction's until that ends, so numbers have neither gaps nor
    repeats.
    """
    number: int | None = connection.execute(
        sql.update(repositories)
        .where(repositories.c.id == identifier)
        .values(last_number=repositories.c.last_number + 1)
        .returning(repositories.c.last_number)
    ).scalar_one_or_none()
    if number is None:
        raise CiError(f"no repository {identifier}", reference="no-such-repository")
    return number


def _values(repository: Repository) -> dict[str, Any]:
    names = (column.name for column in repositories.columns)
    return {name: getattr(repository, name) for name in names if name != "id"} | {"settings": dict(repository.settings)}


def _record(row: sql.Row[Any]) -> Repository:
    return Repository(**row._mapping)
