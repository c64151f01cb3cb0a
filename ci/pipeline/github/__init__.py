"""Workflows of GitHub Actions → our own dialect, as far as they are what most workflows are.

`workflows` makes documents of jobs, `steps` of their steps, `actions` says what becomes of `uses`, `triggers` what of
`on`, and `expressions` what of `${{ … }}` and `if`. What has no counterpart is left out and noted with its line. Pure;
called by `ci-run convert`. Semantics by docs.github.com, "Workflow syntax" and "Contexts".
"""

from __future__ import annotations

from ci.pipeline.github.workflows import convert

__all__ = ["convert"]
