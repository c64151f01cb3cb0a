"""What a document says, checked: everything beyond keys and shapes, for all dialects alike.

`lint` looks at every document and at what they say of each other, and puts all it finds into the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.lint import additions, conditions, references, steps
from ci.pipeline.lint.matrix import check_matrix
from ci.pipeline.lint.values import Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import Document


def lint(documents: Sequence[Document], report: Report) -> None:
    """Check all documents of a file."""
    for document in documents:
        cells = check_matrix(document.matrix, document.rules.variables, report)
        values = Values(report, cells, document.rules)
        values.later = additions.later_names(document.matrix)
        steps.check_document(document, values)
        conditions.check_document(document, report)
        references.check_steps(document, report)
        additions.check_outputs(document, report)
    references.check_documents(documents, report)
    additions.check_stages(documents, report)
