"""A Stage whose matrix is made of outputs → the Stages of its cells, when those outputs are written.

The pipeline is read at the build's commit once more, from the mirror. Called by the worker.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline import open_matrix
from ci.pipeline.outputs import OutputError
from ci.pipeline.spec import StageSpec
from ci.pipeline.wire import from_document
from ci.secrets.choosing import choose
from ci.store import builds, repositories, secrets, stages
from ci.store.settling import lock_of
from ci.store.states import State
from ci.trigger import configuration, planning, rules
from ci.trigger.remotes import remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sql

    from ci.mirror.mirrors import Mirrors
    from ci.pipeline.document import Document
    from ci.pipeline.outputs import Reference
    from ci.secrets.keyring import Keyring
    from ci.store.database import Database
    from ci.store.records import Build, Stage
    from ci.store.repositories import Repository


def expand(database: Database, mirrors: Mirrors, keyring: Keyring, stage_id: int, now: float) -> int:
    """Put the cells in the Stage's place, or end it with the reason; the build's id, 0 where nothing was to be done."""
    with database.read() as connection:
        stage = stages.find(connection, stage_id)
        if stage is None or not stage.expands or stage.state is not State.PENDING:
            return 0
        build = builds.get(connection, stage.build_id)
        repository = repositories.get(connection, build.repository_id)
    try:
        documents = _documents(mirrors, keyring, repository, build)
    except CiError as error:
        with database.write() as connection:
            stages.end(connection, stage_id, State.ERROR, now, error=str(error))
        return build.id
    with database.write() as connection:
        lock_of(connection, stage_id)
        found = stages.find(connection, stage_id)
        if found is None or found.state is not State.PENDING:  # somebody was quicker, or has cancelled it
            return 0
        try:
            cells = _cells(connection, keyring, documents, repository, build, found)
        except (OutputError, CiError) as error:
            stages.end(connection, stage_id, State.ERROR, now, error=str(error))
            return build.id
        if cells:
            stages.replace_by(connection, found, cells, now)
        else:
            stages.end(connection, stage_id, State.SKIPPED, now, error="its matrix has no cells")
    return build.id


def _documents(mirrors: Mirrors, keyring: Keyring, repository: Repository, build: Build) -> Sequence[Document]:
    source = remote(repository, keyring, build.event.remote_url)
    mirror = mirrors.fetch(str(repository.id), source, build.event.commit, build.event.full_ref)
    chosen = rules.settings(repository.settings)
    loaded = configuration.read(mirror, build.event.commit, chosen.configuration)
    if loaded is None or not loaded.ok:
        raise CiError("the pipeline at the commit is no more what it was", reference="bad-pipeline")
    return loaded.documents


def _cells(
    connection: sql.Connection,
    keyring: Keyring,
    documents: Sequence[Document],
    repository: Repository,
    build: Build,
    stage: Stage,
) -> tuple[Stage, ...]:
    spec = from_document(StageSpec, stage.spec)
    others = stages.of_build(connection, build.id)
    values = secrets.visible(connection, keyring, repository)
    written = {}
    for source in spec.cells_from:
        writer = _writer(source, others)
        given = choose(values, build.event, from_document(StageSpec, writer.spec)).values.values()
        text = writer.outputs[source.step.partition("/")[2]][source.name]
        if any(secret in text for secret in given):
            raise OutputError(f"{source} has a secret in it, and what a matrix holds is shown")
        written[source] = text
    first = max(one.number for one in others) + 1
    cells = open_matrix.expand(documents, spec, build.event, written, first=first, number=build.number)
    return tuple(replace(one, depends_on=stage.depends_on) for one in planning.stages(cells))


def _writer(source: Reference, others: Sequence[Stage]) -> Stage:
    """The Stage that has written an output."""
    title, _, step = source.step.partition("/")
    for one in others:
        if one.name == title and source.name in one.outputs.get(step, {}):
            return one
    raise OutputError(f"there is no output {source}")
