"""The attestations that somebody asked for, of a target that was built."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sandbox.builder.attest import provenance, spdx
from sandbox.builder.attest.packages import packages, system
from sandbox.builder.attest.statements import Statement, attached
from sandbox.image import digest as digests
from sandbox.image.committing import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.builder.options import BuildOptions
    from sandbox.builder.progress import Progress
    from sandbox.builder.solutions import Solved
    from sandbox.image.layoutwriting import Attached
    from sandbox.image.reference import Reference


def attestations(
    options: BuildOptions, solved: Solved, manifest: bytes, names: Sequence[Reference], progress: Progress
) -> tuple[Attached, ...]:
    """One manifest of statements about the image with `manifest`; none where none are asked for."""
    statements = []
    if options.sbom:
        step = progress.begin("scanning for packages")
        with solved.files as files:
            found, of = packages(files), system(files)
        step.note(f"{len(found)} packages")
        name = names[0].familiar if names else "image"
        created = f"{options.moment[:19]}Z"
        document = spdx.document(name, digests.of(manifest), created, found, of)
        statements.append(Statement(spdx.PREDICATE, document))
        step.done()
    if options.provenance is not None:
        predicate = provenance.predicate(
            options, solved.materials, options.provenance, invocation=uuid.uuid4().hex, finished=now()
        )
        statements.append(Statement(provenance.PREDICATE, predicate))
    return (attached(manifest, names, options.platform, statements),) if statements else ()
